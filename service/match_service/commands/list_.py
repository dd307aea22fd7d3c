"""``match-service list``: the filepaths there are."""

import argparse
import itertools

from match_service.commands.common import add_json, add_service, print_json

NAME = "list"
HELP = "print all filepaths in code-point order, one per line"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--limit", type=int, metavar="N", help="stop after N")
    add_json(parser)
    add_service(parser)


def run(options: argparse.Namespace) -> int:
    """Print them while they come."""
    from match_service.commands.collection import opened  # noqa: PLC0415

    with opened(options) as images:
        for filepath in itertools.islice(images.list(), options.limit):
            if options.json:
                print_json(filepath)
            else:
                print(filepath)
    return 0
