"""Have the operator look and report, and change nothing, until `matchctl resume`.

Only what the operator does stops: Elasticsearch and Kubernetes go on, and so does what is being served.
"""

import argparse
import json
import sys
from typing import Any

from match_operator import names


def arguments(parser: argparse.ArgumentParser) -> None:
    """What may be given."""
    parser.add_argument("name", help="of the MatchCluster")
    parser.add_argument("-n", "--namespace", default="default", help="default: default")


def run(options: argparse.Namespace, connection: Any) -> int:
    """Set spec.paused; exit code 1 where that is refused."""
    return setting(options, connection, paused=True)


def setting(options: argparse.Namespace, connection: Any, *, paused: bool) -> int:
    """Write spec.paused and say what that means; the exit code."""
    answer = connection.patch(
        version=names.API_VERSION,
        url=f"namespaces/{options.namespace}/{names.PLURAL}/{options.name}",
        headers={"Content-Type": "application/merge-patch+json"},
        data=json.dumps({"spec": {"paused": paused}}),
    )
    if answer.status_code != 200:
        print(f"matchctl: {answer.json().get('message', answer.status_code)}", file=sys.stderr)
        return 1
    if paused:
        print(f"{options.name} is left as it is until `matchctl resume {options.name}`")
    else:
        print(f"{options.name} is looked after again")
    return 0
