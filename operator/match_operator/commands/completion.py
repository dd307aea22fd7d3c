"""Print a script with which a shell completes matchctl's commands and options.

`source <(matchctl completion bash)` in ~/.bashrc; for zsh save it as _matchctl in a folder of $fpath.
"""

import argparse
from typing import Any

import shtab


def arguments(parser: argparse.ArgumentParser) -> None:
    """What may be given."""
    parser.add_argument("shell", choices=shtab.SUPPORTED_SHELLS)


def run(options: argparse.Namespace, _connection: Any) -> int:
    """Print the script."""
    print(shtab.complete(options.parser, shell=options.shell))
    return 0
