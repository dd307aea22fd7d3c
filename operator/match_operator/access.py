"""How Elasticsearch is reached and as whom: the one place that knows where address and credentials come from.

The client at the end takes what this says and never asks where it was. Pure: Secrets were read before.
"""

from dataclasses import dataclass, field

from match_operator import names
from match_operator.api import MatchCluster
from match_operator.observed import Observed


@dataclass(frozen=True, slots=True)
class Access:
    """Equal values reach the same server as the same user, so a client is kept as long as they are."""

    url: str
    username: str = ""
    """Empty: nobody is asked for."""
    password: str = field(default="", repr=False)
    authority: str = field(default="", repr=False)
    """Certificates to trust, as PEM; empty: those that the system trusts."""


def to_elasticsearch(cluster: MatchCluster, seen: Observed) -> Access:
    """Access to the cluster's Elasticsearch for the operator.

    Raises ``ElasticsearchError`` with a sentence when a Secret that it takes is missing or lacks a key.
    """
    del seen
    return Access(names.elasticsearch_url(cluster.name, cluster.namespace))
