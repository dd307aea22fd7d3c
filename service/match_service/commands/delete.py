"""``match-service delete``: forget images by filepath."""

import argparse

from match_service.commands.common import add_service

NAME = "delete"
HELP = "forget the images at exactly these filepaths"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("filepaths", metavar="FILEPATH", nargs="+", help="one that is not there is no error")
    add_service(parser)


def run(options: argparse.Namespace) -> int:
    """Delete them; silent if it worked."""
    from match_service.commands.collection import opened  # noqa: PLC0415

    with opened(options) as images:
        for filepath in options.filepaths:
            images.delete(filepath)
    return 0
