"""``match-service keys``: API keys, which only their hashes are kept of."""

import argparse
import os
from pathlib import Path

from match_service.commands.common import CommandError

NAME = "keys"
HELP = "make API keys"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    from match_service.keys import SCOPES  # noqa: PLC0415

    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    new = actions.add_parser("new", help="make a key and show it once, with the line for the file of keys")
    new.add_argument("name", help="whose it is; shown in the access log")
    new.add_argument("--scope", choices=SCOPES, default="read", help="what it is good for (default: read)")
    new.add_argument("--file", type=Path, help="add the line to this file, making it if it is not there")


def run(options: argparse.Namespace) -> int:
    """Make a key; it is shown now and never again."""
    from match_service.keys import KeysError, new  # noqa: PLC0415

    try:
        token, line = new(options.name, options.scope)
        if options.file is not None:
            _append(options.file, line)
    except (KeysError, OSError, UnicodeDecodeError) as error:
        raise CommandError(str(error)) from error
    print(f"key:  {token}")
    if options.file is None:
        print(f"line: {line}")
    else:
        print(f"added to {options.file}; a running service knows it at once")
    return 0


def _append(path: Path, line: str) -> None:
    """Add ``line`` to the file, readable by its owner alone; ``KeysError`` if it is no file of keys."""
    from match_service.keys import parse  # noqa: PLC0415

    old = path.read_text("utf-8") if path.exists() else ""
    parse([*old.splitlines(), line], str(path))
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with open(handle, "a", encoding="utf-8") as file:  # noqa: PTH123 - made for its owner alone
        file.write(f"{line}\n" if not old or old.endswith("\n") else f"\n{line}\n")
