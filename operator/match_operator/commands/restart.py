"""Ask for a restart of the Elasticsearch nodes, of the API pods, or of both.

It sets an annotation, so the operator restarts them by the same rules as for a change of the spec.
"""

import argparse
import json
import sys
from datetime import UTC, datetime
from typing import Any

from match_operator import names


def arguments(parser: argparse.ArgumentParser) -> None:
    """What may be given."""
    parser.add_argument("name", help="of the MatchCluster")
    parser.add_argument("-n", "--namespace", default="default", help="default: default")
    parser.add_argument("--elasticsearch", action="store_true", help="the nodes alone")
    parser.add_argument("--api", action="store_true", help="the API pods alone")


def run(options: argparse.Namespace, connection: Any) -> int:
    """Annotate the MatchCluster; exit code 1 where that is refused."""
    both = options.elasticsearch == options.api
    asked = {
        names.RESTART_ELASTICSEARCH_ANNOTATION: both or options.elasticsearch,
        names.RESTART_API_ANNOTATION: both or options.api,
    }
    now = datetime.now(UTC).isoformat(timespec="seconds")
    answer = connection.patch(
        version=names.API_VERSION,
        url=f"namespaces/{options.namespace}/{names.PLURAL}/{options.name}",
        headers={"Content-Type": "application/merge-patch+json"},
        data=json.dumps({"metadata": {"annotations": {key: now for key, yes in asked.items() if yes}}}),
    )
    if answer.status_code != 200:
        print(f"matchctl: {answer.json().get('message', answer.status_code)}", file=sys.stderr)
        return 1
    print(f"the restart was asked for; `matchctl status {options.name}` shows how far it is")
    return 0
