"""The command line ``match-service``."""

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from importlib.metadata import version

from match_service import commands
from match_service.settings import Settings, SettingsError

EPILOG = """\
Configuration is read from the environment: PORT, MATCH_HOST, MATCH_DATA, ELASTICSEARCH_URL,
ELASTICSEARCH_INDEX, ALL_ORIENTATIONS, WORKER_COUNT and more (docs/http-api.md lists all).
With nothing set, `match-service serve` keeps images in ./match.db and answers on http://127.0.0.1:8888.
"""


def parser() -> argparse.ArgumentParser:
    """The command line's grammar."""
    made = argparse.ArgumentParser(
        prog="match-service",
        description="Reverse image search over HTTP.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--version", action="version", version=version("match-operator"))
    parsers = made.add_subparsers(dest="command", required=True, metavar="COMMAND")
    parsers.add_parser("serve", help="answer the Match API until told to stop")
    commands.register(parsers)
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code (2 for a wrong setting or command line, 1 for a failure)."""
    options = parser().parse_args(arguments)
    if options.command != "serve":
        return commands.run(options)
    try:
        settings = Settings.from_environ()
    except SettingsError as error:
        print(f"match-service: {error}", file=sys.stderr)
        return 2
    return _serve(settings)


def _serve(settings: Settings) -> int:
    parent, folder = os.getpid(), tempfile.mkdtemp(prefix="match-metrics-")
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder  # before the import of metrics
    # Imported here so that --help and a wrong setting do not wait for numpy and Flask.
    from match_service import server  # noqa: PLC0415

    try:
        server.serve(settings)
    except server.CannotServeError as error:
        print(f"match-service: {error}", file=sys.stderr)
        return 1
    finally:
        if os.getpid() == parent:  # workers leave by here as well
            shutil.rmtree(folder, ignore_errors=True)
    return 0
