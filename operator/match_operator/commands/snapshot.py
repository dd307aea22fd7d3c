"""Make a snapshot of a MatchCluster's images now, and wait until it is whole.

It creates a MatchSnapshot, which is there to be looked at afterwards; so may any client.
"""

import argparse
import sys
from datetime import UTC, datetime
from typing import Any

from match_operator import names
from match_operator.commands import asking


def arguments(parser: argparse.ArgumentParser) -> None:
    """What may be given."""
    parser.add_argument("cluster", help="name of the MatchCluster")
    parser.add_argument("--name", help="of the MatchSnapshot; default: the cluster's with the time")
    asking.arguments(parser)


def run(options: argparse.Namespace, connection: Any) -> int:
    """Ask and follow; exit code 1 where it is refused, fails or is not over in time."""
    name = options.name or f"{options.cluster}-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    asked = asking.Asked(connection, names.SNAPSHOT_KIND, options.namespace, name)
    status = asked.create({"cluster": options.cluster}, options.seconds)
    if status.get("phase") != "Completed":
        return 0 if not options.seconds else 1
    print(f"matchctl restore CLUSTER --snapshot {status['snapshot']} brings it back", file=sys.stderr)
    return 0
