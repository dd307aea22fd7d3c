"""Which nodes of Elasticsearch should be there, which are to go, and what is still on them."""

from collections.abc import Iterable, Mapping

from match_operator import names, observed
from match_operator.api import MatchCluster, NodeSet
from match_operator.observed import Elastic, Observed, Shard


def wanted(cluster: MatchCluster) -> Mapping[str, NodeSet]:
    """Node sets by the names of the nodes that the spec asks for."""
    return {
        names.node(cluster.name, node_set.name, ordinal): node_set
        for node_set in cluster.node_sets
        for ordinal in range(node_set.count)
    }


def leaving(cluster: MatchCluster, seen: Observed) -> list[str]:
    """Nodes that exist in Kubernetes or in Elasticsearch and are not asked for, highest ordinal first."""
    ours = names.node_set(cluster.name, "")
    found = {pod["metadata"]["name"] for pod in seen.pods(names.ELASTICSEARCH)}
    found |= {name for name in (seen.elastic.nodes if seen.elastic else ()) if name.startswith(ours)}
    found = {name for name in found if name.rpartition("-")[2].isdigit()}
    for item in seen.of_kind("StatefulSet"):
        name = item["metadata"]["name"]
        found |= {f"{name}-{ordinal}" for ordinal in range(item["spec"]["replicas"])}
    return sorted(
        found - set(wanted(cluster)), key=lambda n: (n.rpartition("-")[0], names.ordinal(n)), reverse=True
    )


def data_nodes(cluster: MatchCluster, elastic: Elastic) -> int:
    """Members that hold shards and stay; in an external Elasticsearch all do."""
    stay = wanted(cluster)
    return sum(node.is_data for name, node in elastic.nodes.items() if cluster.external or name in stay)


def shards_on(elastic: Elastic, nodes: Iterable[str]) -> list[Shard]:
    """Copies of shards on some nodes, in whatever state."""
    names_of_nodes = set(nodes)
    return [shard for shard in elastic.shards if shard.node in names_of_nodes]


def dead_votes(cluster: MatchCluster, elastic: Elastic) -> list[str]:
    """Ids of voters that will not come back: no member has them, though every master asked for is here.

    Elasticsearch drops such votes itself, but not below three: of three nodes the last two then need one
    another for as long as both are there, and neither may leave or restart.
    """
    here = {name for name, node in elastic.nodes.items() if node.is_master}
    if not here.issuperset(name for name, node_set in wanted(cluster).items() if node_set.is_master):
        return []
    return sorted(elastic.voters - {member.id for member in elastic.nodes.values()})


def missed_vote(elastic: Elastic, name: str) -> str:
    """Why the others could elect no master without a node's vote; empty when they could, or never could."""
    node = elastic.nodes.get(name)
    votes = elastic.voters - ({node.id} if node else set())
    here = votes & {member.id for member in elastic.nodes.values()}
    if len(votes) < 2 or 2 * len(here) > len(votes):
        return ""
    return (
        f"a master node to come back, since without {name} there would be {len(here)} of {len(votes)} votes"
    )


def replicas(cluster: MatchCluster, seen: Observed) -> dict[str, int]:
    """Replicas to write now by name of StatefulSet: never fewer than there are nodes, which may hold shards.

    Only a ``Shrink`` lowers them. Where the StatefulSet is missing, its pods say how many there are; where
    those are missing too, its volumes do, so a MatchCluster made anew over them finds all its shards.
    """
    return {
        name: max(node_set.count, present(name, seen))
        for node_set in cluster.node_sets
        for name in [names.node_set(cluster.name, node_set.name)]
    }


def present(name: str, seen: Observed) -> int:
    """Nodes of a node set, by the name of its StatefulSet, that there are or of which there is a trace."""
    live = seen.children.get(("StatefulSet", name))
    if live is not None:
        replicas: int = live["spec"]["replicas"]
        return replicas
    pods = [p["metadata"]["name"] for p in seen.pods(names.ELASTICSEARCH)]
    claims = [
        c["metadata"]["name"].removeprefix(names.volume(""))
        for c in seen.of_kind("PersistentVolumeClaim")
        if not observed.is_terminating(c)
    ]
    for nodes in (pods, claims):
        ordinals = [names.ordinal(n) for n in nodes if n.rpartition("-")[0] == name]
        if ordinals:
            return max(ordinals) + 1
    return 0
