"""How nodes leave: smaller and removed node sets, and node sets that are to hold no data or to vote no more.

A leaving node is first emptied by Elasticsearch (allocation is excluded from it), then looked at again, then
asked to give up its vote if it has one, and only then does its StatefulSet get one replica less, under the
resource version that was seen. Everything Elasticsearch was told is read back at each look and compared with
what holds now, so exclusions go when a node is gone, when the spec is reverted, and after a crash between
two steps.

Allocation is excluded by settings and not by the shutdown API's type ``remove``: every server has the
settings, and what is left on a node is asked of the shards themselves.
"""

from collections.abc import Collection, Iterator
from typing import Any, Final

from match_operator import names, observed
from match_operator.api import MatchCluster
from match_operator.observed import Elastic, Observed, Shard
from match_operator.plan import founding, membership
from match_operator.plan.steps import (
    AdmitVoters,
    ChangeSettings,
    DropVotes,
    ExcludeVoter,
    Plan,
    Problem,
    Remove,
    Shrink,
    Step,
)

Json = dict[str, Any]

EXCLUDE: Final = "cluster.routing.allocation.exclude._name"
MARK: Final = "cluster.metadata.match_operator_draining"
"""Stands beside ``EXCLUDE`` with those of its names that are ours."""
HEADROOM: Final = 0.15
"""Part of a volume that Elasticsearch keeps free: the low disk watermark, whose default is 85 percent."""
MAX_HEADROOM: Final = 200 * 2**30


def make(cluster: MatchCluster, seen: Observed) -> Plan:
    """What to do about nodes that are to leave, or what that waits for."""
    leaving = membership.leaving(cluster, seen)
    empty = tuple(_empty_node_sets(cluster, seen))
    if seen.elastic is None:
        return Plan(empty, waiting_for=_silent(seen, leaving[0]) if leaving else "")
    elastic = seen.elastic
    tidy = (*empty, *_votes(cluster, seen, elastic))
    emptied = _to_empty(cluster, elastic, leaving)
    if not leaving and not emptied:
        return Plan((*tidy, *_exclude(elastic, [])))
    started = set(excluded(elastic)) & set(emptied)
    if not started:
        if reason := _not_yet(cluster, seen, emptied):
            return Plan((*tidy, *_exclude(elastic, [])), waiting_for=reason)
        if problem := _no_room(elastic, emptied):
            return Plan((*tidy, *_exclude(elastic, [])), (problem,))
    steps, waiting = _removals(cluster, seen, elastic, leaving)
    return Plan((*tidy, *_exclude(elastic, emptied), *steps), waiting_for=waiting)


def _silent(seen: Observed, name: str) -> str:
    reason = f"Elasticsearch to answer before {name} can be removed: {seen.silence}"
    if founding.formed(seen):
        return reason
    return f"{reason}; as it has never answered yet, the MatchCluster may also be deleted and made anew"


def holds_replicas(cluster: MatchCluster, seen: Observed) -> bool:
    """Whether the number of copies must not be lowered yet: nodes are to leave and none began to."""
    if seen.elastic is None:
        return True
    emptied = _to_empty(cluster, seen.elastic, membership.leaving(cluster, seen))
    return bool(emptied) and not set(excluded(seen.elastic)) & set(emptied)


def progress(cluster: MatchCluster, seen: Observed) -> tuple[list[str], int]:
    """Nodes that are leaving, and copies of shards still on them."""
    leaving = membership.leaving(cluster, seen)
    return leaving, len(left_on(cluster, seen.elastic, leaving)) if seen.elastic else 0


def left_on(cluster: MatchCluster, elastic: Elastic, nodes: list[str]) -> list[Shard]:
    """Copies of shards that must still leave some nodes.

    A replica need not, once every data node that stays has a started copy: there is no place for one more.
    """
    staying = {name for name, s in membership.wanted(cluster).items() if s.is_data and name in elastic.nodes}
    started: dict[tuple[str, int], set[str]] = {}
    for shard in elastic.shards:
        if shard.started:
            started.setdefault((shard.index, shard.number), set()).add(shard.node)
    return [
        shard
        for shard in membership.shards_on(elastic, nodes)
        if shard.primary or not staying or not staying <= started.get((shard.index, shard.number), set())
    ]


def _to_empty(cluster: MatchCluster, elastic: Elastic, leaving: list[str]) -> list[str]:
    """Members to exclude from allocation: those that leave, and those that are to hold no data."""
    wanted = membership.wanted(cluster)
    dataless = [
        name
        for name, node in elastic.nodes.items()
        if name in wanted and node.is_data and not wanted[name].is_data
    ]
    return sorted({*leaving, *dataless})


def _not_yet(cluster: MatchCluster, seen: Observed, emptied: list[str]) -> str:
    """Why emptying cannot begin: those who stay could not take over."""
    elastic = seen.elastic
    assert elastic is not None  # noqa: S101 - narrows the type
    wanted = membership.wanted(cluster)
    holding = bool(membership.shards_on(elastic, emptied))
    takers = [n for n in elastic.nodes if n in wanted and n not in emptied and elastic.nodes[n].is_data]
    if holding and len(takers) <= cluster.index_replicas:
        return (
            f"{cluster.index_replicas + 1 - len(takers)} more data nodes to join before the shards of "
            f"{', '.join(emptied)} can move"
        )
    if not any(n in wanted and wanted[n].is_master and elastic.nodes[n].is_master for n in elastic.nodes):
        return f"a master node that stays to join before {', '.join(emptied)} can go"
    return ""


def _no_room(elastic: Elastic, emptied: list[str]) -> Problem | None:
    """Whether the nodes that stay have too little disk for what would move to them."""
    copies = {(s.index, s.number): s.bytes for s in elastic.shards if s.started and s.node in emptied}
    here = {(s.index, s.number) for s in elastic.shards if s.started and s.node not in emptied}
    # At least one copy of each shard must fit; more copies go where there is room.
    need = sum(size for shard, size in copies.items() if shard not in here)
    stay = [disk for name, disk in elastic.disks.items() if name not in emptied]
    room = sum(max(0, int(d.free - min(HEADROOM * d.total, MAX_HEADROOM))) for d in stay)
    if need <= room:
        return None
    return Problem(
        "NoRoomForShards",
        f"the shards of {', '.join(emptied)} hold {_gib(need)} and the nodes that stay have room for "
        f"{_gib(room)}; set the count back, or give the nodes that stay larger volumes",
    )


def _gib(number: int) -> str:
    return f"{number / 2**30:.1f} GiB"


# --- what Elasticsearch is told --------------------------------------------------------------------------


def excluded(elastic: Elastic) -> list[str]:
    """Nodes that the operator keeps shards off."""
    return [name for name in elastic.settings.get(MARK, "").split(",") if name]


def _exclude(elastic: Elastic, emptied: list[str]) -> Iterator[Step]:
    """Exclude from allocation exactly these nodes, beside those that somebody else excluded."""
    ours = excluded(elastic)
    there = [name for name in elastic.settings.get(EXCLUDE, "").split(",") if name]
    others = [name for name in there if name not in ours]
    if sorted(there) == sorted({*others, *emptied}) and sorted(ours) == emptied:
        return
    settings = {EXCLUDE: ",".join([*others, *(n for n in emptied if n not in others)]) or None}
    why = f"moving all shards off {', '.join(emptied)}" if emptied else "letting shards on all nodes again"
    yield ChangeSettings(settings | {MARK: ",".join(emptied) or None}, why)


def _votes(cluster: MatchCluster, seen: Observed, elastic: Elastic) -> Iterator[Step]:
    """Give votes back once nobody who was to give up his is still there, and drop those of the dead."""
    wanted = membership.wanted(cluster)

    def going(name: str) -> bool:
        if name in wanted:
            return name in elastic.nodes and elastic.nodes[name].is_master and not wanted[name].is_master
        return name in elastic.nodes or seen.pod(name) is not None

    if elastic.excluded_voters and not any(going(name) for name in elastic.excluded_voters):
        yield AdmitVoters(elastic.excluded_voters)
    elif not elastic.excluded_voters and (dead := membership.dead_votes(cluster, elastic)):
        yield DropVotes(tuple(dead))


def gives_up_vote(elastic: Elastic, name: str, going: Collection[str]) -> tuple[list[Step], str]:
    """Steps, and what they wait for, until nobody misses the vote of a master; neither when that is so."""
    node = elastic.nodes.get(name)
    if node is None or not node.is_master:
        return [], ""
    if name not in elastic.excluded_voters:
        if elastic.excluded_voters and not set(elastic.excluded_voters) & set(going):
            # Asked of one whose turn it was before the spec changed.
            return [AdmitVoters(elastic.excluded_voters)], f"{name} to give up its vote"
        if elastic.excluded_voters:
            return [], f"{elastic.excluded_voters[0]} to be gone before {name} gives up its vote"
        if reason := membership.missed_vote(elastic, name):
            return [], reason
        return [ExcludeVoter(name)], f"{name} to give up its vote"
    if node.id in elastic.voters:
        return [], f"{name} to give up its vote"
    return [], ""


# --- removals --------------------------------------------------------------------------------------------


def _removals(
    cluster: MatchCluster, seen: Observed, elastic: Elastic, leaving: list[str]
) -> tuple[list[Step], str]:
    """The removal of each StatefulSet's last node, if that is empty; masters one at a time."""
    steps, waits = list[Step](), list[str]()
    masters_going = any(elastic.nodes[n].is_master for n in _stopping(seen, leaving) if n in elastic.nodes)
    for name, removal in _last_nodes(cluster, seen, leaving):
        is_master = name in elastic.nodes and elastic.nodes[name].is_master
        if is_master and masters_going:
            waits.append(f"a master node to be gone before {name} goes")
            continue
        before, reason = _before_removal(cluster, elastic, name, _stopping(seen, leaving))
        steps += before
        if reason:
            waits.append(reason)
        else:
            steps.append(removal)
        masters_going = masters_going or is_master
    if left := left_on(cluster, elastic, leaving):
        sizes = sum(shard.bytes for shard in left)
        stuck = f"; {elastic.stuck}" if elastic.stuck else ""
        return steps, f"{len(left)} shards ({_gib(sizes)}) to leave {', '.join(leaving)}{stuck}"
    gone = ", ".join(leaving)
    return steps, waits[0] if waits else (f"{gone} to be gone" if gone else "")


def _last_nodes(cluster: MatchCluster, seen: Observed, leaving: list[str]) -> Iterator[tuple[str, Step]]:
    """Nodes that are next to go, and how."""
    for item in seen.of_kind("StatefulSet"):
        replicas = item["spec"]["replicas"] - 1
        name = f"{item['metadata']['name']}-{replicas}"
        if name in leaving:
            yield name, Shrink(item, replicas, _policy(cluster, item))
    for name in leaving:
        pod = seen.pod(name)
        if pod and name not in _stopping(seen, leaving) and not _set_of(seen, name):
            yield name, Remove(pod)  # its StatefulSet was being made anew when its node set was removed


def _set_of(seen: Observed, name: str) -> Json | None:
    return seen.children.get(("StatefulSet", name.rpartition("-")[0]))


def _stopping(seen: Observed, leaving: list[str]) -> list[str]:
    """Leaving nodes that Kubernetes is about to stop, or stops."""

    def stops(name: str) -> bool:
        item, pod = _set_of(seen, name), seen.pod(name)
        kept = item is not None and names.ordinal(name) < item["spec"]["replicas"]
        orphaned = item is None and pod is not None and not observed.is_terminating(pod)
        return not kept and not orphaned

    return [name for name in leaving if stops(name)]


def _before_removal(
    cluster: MatchCluster, elastic: Elastic, name: str, going: Collection[str]
) -> tuple[list[Step], str]:
    """What must happen before a leaving node's pod may go."""
    if name not in elastic.nodes:
        # What only its disk may hold would be lost to the cluster, though the volume is kept.
        if elastic.health == "red":
            return [], f"the health of Elasticsearch, which is red, before the absent {name} is removed"
        # Health was read before it was missing; shards are read after, so they know what went with it.
        if missing := sum(shard.primary and not shard.started for shard in elastic.shards):
            return [], f"{missing} primary shards to be started before the absent {name} is removed"
        return [], ""
    if name not in excluded(elastic):
        return [], f"shards to be kept off {name}"
    if left_on(cluster, elastic, [name]):
        return [], f"shards to leave {name}"
    return gives_up_vote(elastic, name, going)


def _policy(cluster: MatchCluster, item: Json) -> str:
    """What becomes of the volume of a node that leaves; empty where the StatefulSet says it already."""
    wanted = {names.node_set(cluster.name, node_set.name) for node_set in cluster.node_sets}
    return "" if item["metadata"]["name"] in wanted else cluster.volumes.on_scale_down


def _empty_node_sets(cluster: MatchCluster, seen: Observed) -> Iterator[Step]:
    """StatefulSet and ConfigMap of a removed node set, once its last node is gone."""
    wanted = {names.node_set(cluster.name, node_set.name) for node_set in cluster.node_sets}
    pods = {pod["metadata"]["name"].rpartition("-")[0] for pod in seen.pods(names.ELASTICSEARCH)}
    for item in seen.of_kind("StatefulSet"):
        name = item["metadata"]["name"]
        if name in wanted or item["spec"]["replicas"] or name in pods:
            continue
        if item.get("status", {}).get("observedGeneration") == item["metadata"]["generation"]:
            yield Remove(item)
    for item in seen.of_kind("ConfigMap"):
        name = item["metadata"]["name"]
        is_node_set = names.NODE_SET_LABEL in item["metadata"]["labels"]
        if (
            is_node_set
            and name not in wanted
            and ("StatefulSet", name) not in seen.children
            and name not in pods
        ):
            yield Remove(item)
