"""``match-service add``: keep one image."""

import argparse

from match_service.commands.common import WrongUseError, add_service, image

NAME = "add"
HELP = "keep an image, replacing what is at its filepath"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("image", metavar="IMAGE", help="file, http(s) URL, or - for standard input")
    parser.add_argument("--filepath", help="the name to keep it under (default: IMAGE as given)")
    parser.add_argument("--metadata", metavar="JSON", help="any JSON value to keep beside it")
    add_service(parser)


def run(options: argparse.Namespace) -> int:
    """Add it; silent if it worked."""
    from match_service.api.params import parse_metadata  # noqa: PLC0415
    from match_service.commands.collection import opened  # noqa: PLC0415

    if options.filepath is None and options.image == "-":
        raise WrongUseError("An image from standard input needs a --filepath.")
    with opened(options, make=True) as images:
        metadata = None if options.metadata is None else parse_metadata(options.metadata)
        images.add(options.filepath or options.image, image(options.image), metadata)
    return 0
