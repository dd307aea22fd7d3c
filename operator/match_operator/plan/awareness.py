"""Copies of a shard on different Kubernetes nodes, and in different zones, as far as there are enough.

Elasticsearch lets each value of an attribute have at most an even share of a shard's copies, and puts none on
a node that lacks it. That is right until the nodes that stay could not hold all copies that way: a drain to
fewer Kubernetes nodes would then never end, and health would stay yellow and hold up every later change. So
awareness of Kubernetes nodes is asked for by a setting of the cluster, not in elasticsearch.yml, once every
data node has the attribute; and both kinds are left out for as long as they cannot be had.

Kubernetes is asked where a node is and what its pod was made with. Where it does not know, nothing changes.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final

from match_operator import names
from match_operator.api import MatchCluster
from match_operator.observed import Elastic, Observed
from match_operator.plan import membership
from match_operator.plan.steps import ChangeSettings

Json = dict[str, Any]

SETTING: Final = names.AWARENESS_SETTING
MARK: Final = "cluster.metadata.match_operator_awareness"
"""Stands beside ``SETTING`` with the same value where that is ours."""
UNKNOWN: Final = "?"
SPOKEN: Final = {
    names.HOST_ATTRIBUTE: "different Kubernetes nodes",
    names.ZONE_ATTRIBUTE: "nodes in different zones",
}


def steps(cluster: MatchCluster, seen: Observed) -> Iterator[ChangeSettings]:
    """The change of the setting that is needed now; what somebody else set is left alone."""
    elastic = seen.elastic
    if elastic is None or not elastic.uuid:
        return
    there, ours = elastic.settings.get(SETTING), elastic.settings.get(MARK)
    if there != ours:
        if ours is not None:
            yield ChangeSettings({MARK: None}, f"leaving {SETTING} to whoever changed it")
        return
    places = {names.HOST_ATTRIBUTE: _hosts(cluster, seen), names.ZONE_ATTRIBUTE: _zones(cluster, seen)}
    if any(UNKNOWN in where.values() for where in places.values()):
        return
    kept = [attribute for attribute, where in places.items() if _holds(cluster, elastic, where)]
    value = ",".join(kept)
    wanted = None if value == _in_file(cluster) else value
    if wanted != there:
        said = " and ".join(SPOKEN[attribute] for attribute in kept)
        why = f"keeping copies of a shard on {said}" if said else "letting copies of a shard be on any node"
        yield ChangeSettings({SETTING: wanted, MARK: wanted}, why)


def _in_file(cluster: MatchCluster) -> str:
    """What elasticsearch.yml says of it: see ``desired/elasticsearch.py``."""
    return names.ZONE_ATTRIBUTE if cluster.zoned else ""


def _hosts(cluster: MatchCluster, seen: Observed) -> Mapping[str, str]:
    """Kubernetes node by data node; none where the copies are not to be kept apart by it."""
    own = any(SETTING in node_set.config for node_set in cluster.node_sets)
    return {} if own or not cluster.node_awareness else _by_node(seen, _host)


def _zones(cluster: MatchCluster, seen: Observed) -> Mapping[str, str]:
    return _by_node(seen, _zone) if cluster.zoned else {}


def _by_node(seen: Observed, place: Any) -> Mapping[str, str]:
    members = seen.elastic.nodes.items() if seen.elastic else ()
    return {name: place(seen.pod(name)) for name, node in members if node.is_data}


def _host(pod: Json | None) -> str:
    """Where a pod runs, if its Elasticsearch knows that too; empty if it does not."""
    if pod is None or not pod["spec"].get("nodeName"):
        return UNKNOWN
    variables = [v["name"] for c in pod["spec"].get("containers", []) for v in c.get("env") or []]
    name: str = pod["spec"]["nodeName"]
    return name if names.HOST_VARIABLE in variables else ""


def _zone(pod: Json | None) -> str:
    if pod is None:
        return UNKNOWN
    zone: str = (pod["spec"].get("nodeSelector") or {}).get(names.ZONE_LABEL, "")
    return zone


def _holds(cluster: MatchCluster, elastic: Elastic, where: Mapping[str, str]) -> bool:
    """Whether the nodes that stay have the attribute, and hold as many copies with it as without."""
    wanted = membership.wanted(cluster)
    staying = {name: place for name, place in where.items() if name in wanted and wanted[name].is_data}
    if not staying or not all(staying.values()):
        return False
    most = max([cluster.index_replicas + 1, *Counter((s.index, s.number) for s in elastic.shards).values()])
    share = -(-most // len({place for place in where.values() if place}))
    room = sum(min(nodes, share) for nodes in Counter(staying.values()).values())
    return room >= min(most, len(staying))
