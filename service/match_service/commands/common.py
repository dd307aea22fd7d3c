"""What several commands share: errors, the options that say where images are, and printing."""

import argparse
import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from match_service.settings import Settings, SettingsError


class CommandError(Exception):
    """A command cannot do what it was asked; its text is one sentence."""


class WrongUseError(CommandError):
    """The command line or the environment is wrong."""


def add_service(parser: argparse.ArgumentParser) -> None:
    """The options that say which service is asked."""
    parser.add_argument(
        "--url",
        default=os.environ.get("MATCH_URL") or None,
        help="ask this service (default: MATCH_URL); without either, the store itself that the environment "
        "names is used: MATCH_DATA, by default match.db, or ELASTICSEARCH_URL",
    )
    parser.add_argument(
        "--key-file",
        type=Path,
        metavar="FILE",
        help="file with the service's API key (default: the key in MATCH_KEY)",
    )


def settings() -> Settings:
    """The environment's, or ``WrongUseError``."""
    try:
        return Settings.from_environ()
    except SettingsError as error:
        raise WrongUseError(str(error)) from error


def add_json(parser: argparse.ArgumentParser) -> None:
    """The option for scripts."""
    parser.add_argument("--json", action="store_true", help="one JSON value per line, for scripts")


def key(options: argparse.Namespace) -> str | None:
    """The API key, which is never taken from the command line, where all users could read it."""
    if options.key_file is None:
        return os.environ.get("MATCH_KEY", "").strip() or None
    path: Path = options.key_file
    try:
        return path.read_text("utf-8").strip() or None
    except (OSError, UnicodeDecodeError) as error:
        raise WrongUseError(f"{path} cannot be read as a key: {error}.") from error


def image(text: str) -> str | bytes:
    """An image as a command line names it: a path, a URL, or - for standard input."""
    return sys.stdin.buffer.read() if text == "-" else text


def print_json(value: object) -> None:
    """One line."""
    print(json.dumps(value))


def print_table(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Rows with a heading, numbers to the right; a column in which no row has anything is left out."""
    shown = [{name: _cell(row.get(name)) for name in columns} for row in rows]
    kept = [name for name in columns if any(row[name] for row in shown)]
    lines = [{name: name for name in kept}, *shown]
    widths = {name: max(len(line[name]) for line in lines) for name in kept}
    for line in lines:
        cells = (
            line[name].rjust(widths[name]) if name == "score" else line[name].ljust(widths[name])
            for name in kept
        )
        print("  ".join(cells).rstrip())


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.1f}"
    return value if isinstance(value, str) else json.dumps(value)
