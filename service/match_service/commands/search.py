"""``match-service search``: stored images like a given one."""

import argparse
import dataclasses
import sys

from match_service.commands.common import add_json, add_service, image, print_json, print_table

NAME = "search"
HELP = "find stored images like this one, best first"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("image", metavar="IMAGE", help="file, http(s) URL, or - for standard input")
    parser.add_argument(
        "--all-orientations",
        action=argparse.BooleanOptionalAction,
        help="also find it turned, mirrored and inverted, or not (default: as the service is set)",
    )
    parser.add_argument(
        "--thorough", action="store_true", help="also find what it is a crop, slight turn or screenshot of"
    )
    parser.add_argument("--min-score", type=_score, metavar="N", help="least score, 40 to 100 (default: 55)")
    parser.add_argument("--limit", type=_limit, metavar="N", help="print the best N only")
    add_json(parser)
    add_service(parser)


def _score(text: str) -> float:
    score = float(text)
    if not 40 <= score <= 100:
        raise ValueError(text)
    return score


def _limit(text: str) -> int:
    limit = int(text)
    if not 0 <= limit <= 10_000:
        raise ValueError(text)
    return limit


def run(options: argparse.Namespace) -> int:
    """Print the matches; finding none is no failure."""
    from match_client import SearchOptions  # noqa: PLC0415
    from match_service.commands.collection import opened  # noqa: PLC0415

    asked: SearchOptions = {}
    if options.all_orientations is not None:
        asked["all_orientations"] = options.all_orientations
    if options.thorough:
        asked["thorough"] = True
    if options.min_score is not None:
        asked["min_score"] = options.min_score
    if options.limit is not None:
        asked["limit"] = options.limit
    with opened(options) as images:
        rows = [dataclasses.asdict(match) for match in images.search(image(options.image), **asked)]
    if options.json:
        for row in rows:
            print_json(row)
    elif rows:
        print_table(("score", "filepath", "orientation", "metadata"), rows)
    else:
        print("No image is like it.", file=sys.stderr)
    return 0
