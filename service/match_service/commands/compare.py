"""``match-service compare``: how alike two images are."""

import argparse
import dataclasses

from match_service.commands.common import WrongUseError, add_json, add_service, image, print_json

NAME = "compare"
HELP = "print the score of two images: 100 for equal signatures, below 55 they are no matches"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("first", metavar="A", help="file, http(s) URL, or - for standard input")
    parser.add_argument("second", metavar="B", help="likewise")
    add_json(parser)
    add_service(parser)


def run(options: argparse.Namespace) -> int:
    """Print the score."""
    from match_service.commands.collection import opened  # noqa: PLC0415

    if options.first == options.second == "-":
        raise WrongUseError("Only one of the images can come from standard input.")
    with opened(options) as images:
        answer = images.compare(image(options.first), image(options.second))
    if options.json:
        print_json(dataclasses.asdict(answer))
    else:
        print(f"{answer.score:.1f}")
    return 0
