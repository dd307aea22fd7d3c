"""Restore a snapshot into a MatchCluster, the same or a new one, and wait until it serves.

It creates a MatchRestore, which is there to be looked at afterwards; so may any client.
"""

import argparse
from datetime import UTC, datetime
from typing import Any

from match_operator import names
from match_operator.commands import asking


def arguments(parser: argparse.ArgumentParser) -> None:
    """What may be given."""
    parser.add_argument("cluster", help="name of the MatchCluster that is to have the images")
    parser.add_argument("--snapshot", required=True, help="its name in the repository")
    parser.add_argument("--overwrite", action="store_true", help="images that are there now may be lost")
    parser.add_argument("--name", help="of the MatchRestore; default: the cluster's with the time")
    asking.arguments(parser)


def run(options: argparse.Namespace, connection: Any) -> int:
    """Ask and follow; exit code 1 where it is refused, fails or is not over in time."""
    name = options.name or f"{options.cluster}-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    asked = asking.Asked(connection, names.RESTORE_KIND, options.namespace, name)
    spec = {"cluster": options.cluster, "snapshot": options.snapshot, "overwrite": options.overwrite}
    status = asked.create(spec, options.seconds)
    return 0 if not options.seconds or status.get("phase") == "Completed" else 1
