"""``python -m match_service`` and the console script ``match-service``."""

import sys


def main() -> int:
    """Run the command line; the exit code."""
    # Not above: processes that decode for an import run this file again, and need none of it.
    from match_service.cli import main as run  # noqa: PLC0415

    return run()


if __name__ == "__main__":
    sys.exit(main())
