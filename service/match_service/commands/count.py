"""``match-service count``: how many images there are."""

import argparse

from match_service.commands.common import add_json, add_service

NAME = "count"
HELP = "print the number of images"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_json(parser)
    add_service(parser)


def run(options: argparse.Namespace) -> int:
    """Print it; a number is JSON already."""
    from match_service.commands.collection import opened  # noqa: PLC0415

    with opened(options) as images:
        print(images.count())
    return 0
