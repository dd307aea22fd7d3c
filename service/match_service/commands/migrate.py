"""``match-service migrate``: what the operator's Job runs to move a collection to another index."""

import argparse
import signal
from types import FrameType
from typing import NoReturn

from match_service.commands.common import CommandError, WrongUseError, settings

NAME = "migrate"
HELP = "move all images to another index of the same Elasticsearch while they are searched and changed"
EPILOG = """\
The alias of ELASTICSEARCH_INDEX is on the one index and, when this ends, on the other, which must exist and
be empty, or hold what an earlier attempt has copied: the same command again goes on from there.
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--from", required=True, dest="source", metavar="INDEX", help="behind the alias now")
    parser.add_argument("--to", required=True, dest="target", metavar="INDEX", help="behind the alias then")


def run(options: argparse.Namespace) -> int:
    """Move; 0 when the alias is on the target."""
    import logging  # noqa: PLC0415

    from match_service.store.connection import client_of  # noqa: PLC0415
    from match_service.store.indices import move  # noqa: PLC0415
    from match_service.store.migration import GaveUpError  # noqa: PLC0415

    chosen = settings()
    if not chosen.elasticsearch_url:
        raise WrongUseError("migrate needs ELASTICSEARCH_URL.")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("elastic_transport").setLevel(logging.ERROR)
    # The first process of a container gets no signal that it does not ask for.
    signal.signal(signal.SIGTERM, _end)
    ca_certs, credentials = chosen.elasticsearch_ca_certs or None, chosen.elasticsearch_credentials or None
    with client_of(chosen.elasticsearch_url, ca_certs, credentials) as client:
        try:
            move(client, chosen.elasticsearch_index, options.source, options.target)
        except GaveUpError as error:
            raise CommandError(str(error)) from error
    print(f"All images are in {options.target}.")
    return 0


def _end(number: int, _: FrameType | None) -> NoReturn:
    """Leave by an exception, so that a fence is lifted on the way out."""
    raise SystemExit(128 + number)
