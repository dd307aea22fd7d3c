"""What cannot change about the security of an Elasticsearch that runs."""

from collections.abc import Iterator

from match_operator.api import MatchCluster
from match_operator.parts import DISABLED, ENABLED
from match_operator.plan.steps import Problem


def problems(cluster: MatchCluster) -> Iterator[Problem]:
    """Nodes with TLS and nodes without cannot speak to each other, so no way leads across."""
    now, asked = (ENABLED if on else DISABLED for on in (cluster.security.enabled, cluster.security.asked))
    if now != asked:
        yield Problem(
            "SecurityImmutable",
            f"elasticsearch.security.mode cannot become {asked} for nodes that were founded with {now}; set "
            f"{now}; for {asked} make another MatchCluster and bring the images there by /export and /import",
        )
