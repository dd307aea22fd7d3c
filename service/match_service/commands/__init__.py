"""The subcommands of ``match-service`` beside ``serve``, one module each.

A module has ``NAME``, ``HELP``, ``arguments`` and ``run``, and is listed here. What takes long to import is
imported when a command runs, so that --help does not wait for it.
"""

import argparse
import os
import sys
from typing import Final, Protocol

from match_service.commands import add, compare, count, delete, import_, keys, list_, search
from match_service.commands.common import CommandError, WrongUseError


class Command(Protocol):
    """What each module of this package offers."""

    NAME: str
    HELP: str

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the command's arguments."""

    def run(self, options: argparse.Namespace) -> int:
        """Do it; the exit code. Raises ``CommandError`` with a sentence for the user."""


ALL: Final[tuple[Command, ...]] = (import_, add, delete, search, compare, list_, count, keys)


def register(parsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add all commands to the command line; each sets ``run``."""
    for command in ALL:
        parser = parsers.add_parser(
            command.NAME,
            help=command.HELP,
            description=f"{command.HELP[0].upper()}{command.HELP[1:]}.",
            epilog=getattr(command, "EPILOG", None),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.arguments(parser)
        parser.set_defaults(run=command.run)


def run(options: argparse.Namespace) -> int:
    """Run the chosen command; what goes wrong is said in one sentence on standard error."""
    try:
        code: int = options.run(options)
        sys.stdout.flush()
    except CommandError as error:
        print(f"match-service: {error}", file=sys.stderr)
        return 2 if isinstance(error, WrongUseError) else 1
    except BrokenPipeError:
        # The reader (head, less) has seen enough; the interpreter must not complain at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except KeyboardInterrupt:
        print("match-service: interrupted.", file=sys.stderr)
        return 130
    return code
