"""What `matchctl` does beside showing the status: each command in a module of its own."""

import argparse
from collections.abc import Callable
from typing import Any, Final

from match_operator.commands import (
    completion,
    diff,
    doctor,
    logs,
    pause,
    port_forward,
    render,
    restart,
    restore,
    resume,
    snapshot,
)

Run = Callable[[argparse.Namespace, Any], int]
"""From options and a connection (None for ``OFFLINE``) to the exit code."""

_MODULES: Final = (
    render, diff, logs, port_forward, restart, pause, resume, snapshot, restore, doctor, completion,
)  # fmt: skip
OFFLINE: Final = frozenset({"render", "completion"})
"""Commands that ask no cluster."""


def add_parsers(commands: Any) -> None:
    """Describe each command to argparse's subparsers."""
    for module in _MODULES:
        name = module.__name__.rpartition(".")[2].replace("_", "-")
        parser = commands.add_parser(name, help=_first_line(module))
        module.arguments(parser)
        parser.set_defaults(run=module.run)


def _first_line(module: Any) -> str:
    text: str = module.__doc__
    return text.partition("\n")[0].rstrip(".")
