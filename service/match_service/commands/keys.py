"""``match-service keys``: make API keys."""

import argparse
import os
from pathlib import Path

from match_service.commands.common import CommandError
from match_service.keys import KeysError, new, parse
from match_service.model import SCOPES

NAME = "keys"
HELP = "make API keys"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    making = actions.add_parser("new", help="make a key and show it once, with the line for the file of keys")
    making.add_argument("name", help="whose it is; shown in the access log")
    making.add_argument("--scope", choices=SCOPES, default="read", help="what it is good for (default: read)")
    making.add_argument("--file", type=Path, help="add the line to this file, making it if it is not there")


def run(options: argparse.Namespace) -> int:
    """Print the key, and its line or where that went."""
    path: Path | None = options.file
    try:
        token, line = new(options.name, options.scope)
        if path is not None:
            old = path.read_text("utf-8") if path.exists() else ""
            parse([*old.splitlines(), line], str(path))
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            with open(handle, "a", encoding="utf-8") as file:  # noqa: PTH123 - made for its owner alone
                file.write(f"{line}\n" if not old or old.endswith("\n") else f"\n{line}\n")
    except (KeysError, OSError, UnicodeDecodeError) as error:
        raise CommandError(str(error)) from error
    print(f"key:  {token}")
    print(f"line: {line}" if path is None else f"added to {path}; a running service knows it at once")
    return 0
