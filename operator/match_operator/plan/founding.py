"""Which nodes may found the Elasticsearch cluster, and whether it is founded.

Every node that may vote must start with the same list of founders, and none with any once the cluster is
founded: with two lists, or with one given late, two clusters could be founded. A node reads the list only as
it starts. So from when a node that may vote can have been started, the list is what its ConfigMap says,
whatever the spec has come to ask for meanwhile; until then nothing is lost by making it anew. A ConfigMap
that was written for nodes that could never start, because a crash or a refusal came before, says nothing.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from match_operator import names
from match_operator.api import MatchCluster
from match_operator.desired import elasticsearch
from match_operator.observed import Observed
from match_operator.plan import membership
from match_operator.plan.steps import Problem

Json = dict[str, Any]


def formed(seen: Observed) -> bool:
    """Whether Elasticsearch has ever elected a master, now or by our own record."""
    if seen.elastic and seen.elastic.uuid:
        return True
    if seen.status.get("elasticsearch", {}).get("clusterUUID"):
        return True
    return any(names.FOUNDERS_SETTING not in config for config in _read_by_voters(seen))


def first_masters(cluster: MatchCluster, seen: Observed, replicas: Mapping[str, int]) -> tuple[str, ...]:
    """The founders to name in each ConfigMap; empty once the cluster is founded."""
    if formed(seen):
        return ()
    return tuple(_told(seen)) or elasticsearch.initial_masters(cluster, replicas)


def problems(cluster: MatchCluster, seen: Observed) -> Iterator[Problem]:
    """A spec that leaves too few of those who were told to found the cluster."""
    if cluster.external or formed(seen):
        return
    told = _told(seen)
    lost = [name for name in told if not _can_vote(name, cluster, seen)]
    if lost and 2 * len(lost) >= len(told):
        yield Problem(
            "FoundersMissing",
            f"Elasticsearch is not founded yet and waits for more than half of {', '.join(told)}, which its "
            f"nodes were told when they started; ask for {', '.join(lost)} as masters again until it is "
            "founded, or delete the MatchCluster and make it anew",
            "*",
        )


def _can_vote(name: str, cluster: MatchCluster, seen: Observed) -> bool:
    """Whether a founder is a master by the spec, or leaves and may still run as one."""
    wanted = membership.wanted(cluster)
    if name in wanted:
        return wanted[name].is_master
    return names.ordinal(name) < membership.present(name.rpartition("-")[0], seen)


def _told(seen: Observed) -> list[str]:
    """Founders by the ConfigMaps of those who may have read them; empty where nobody may."""
    return next((list(config[names.FOUNDERS_SETTING]) for config in _read_by_voters(seen)), [])


def _read_by_voters(seen: Observed) -> Iterator[Json]:
    """elasticsearch.yml of each node set that may vote and of which a node may have been started."""
    for item in seen.of_kind("ConfigMap"):
        if names.NODE_SET_LABEL in item["metadata"]["labels"] and membership.present(
            item["metadata"]["name"], seen
        ):
            config = config_of(item)
            if "master" in config.get("node.roles", ()):
                yield config


def config_of(item: Json) -> Json:
    """What a node set's ConfigMap tells its nodes; nothing where somebody made it unreadable."""
    text = item.get("data", {}).get(names.CONFIG_KEY, "")
    try:
        config = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - both are safe
    except yaml.YAMLError:
        return {}  # somebody edited it; it is written anew in this look
    return config if isinstance(config, dict) else {}
