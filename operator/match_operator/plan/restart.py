"""When a node of Elasticsearch may be restarted, and how Elasticsearch is told.

A rolling change replaces pods whose template is not the newest. The rules, each with its reason in words:

- A node that does not work and is outdated is replaced at once, so a corrected spec always takes effect.
- Working ones go as many at a time as ``maxUnavailable`` leaves after those that do not work.
- Data before masters, masters one at a time, the elected master last.
- Health must be green. Yellow will do where no waiting could help: with a single data node, and while a
  version is being raised, since no copy goes from a newer node to an older one.
- Every shard on the node must have a started copy elsewhere, unless its index has no copies by intent.

Before its pod goes, Elasticsearch hears of it: by the node shutdown API, else by allowing only primaries to
be allocated and a flush. What was told is read back from the server at each look and taken back when it no
longer holds, so nothing is left behind by a crash, a reverted spec or a node that never comes back.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from match_operator import names, observed
from match_operator.api import MatchCluster, NodeSet
from match_operator.observed import Elastic, Observed
from match_operator.plan import drain, founding, membership, versions
from match_operator.plan.steps import (
    ChangeSettings,
    DropShutdown,
    Flush,
    Plan,
    PutShutdown,
    ReplacePod,
    Step,
)

Json = dict[str, Any]

ENABLE: Final = "cluster.routing.allocation.enable"
MARK: Final = "cluster.metadata.match_operator_restarting"
"""Stands beside ``ENABLE`` while it is ours, with the names of the nodes it is for."""
REASON: Final = "match-operator restarts "


def make(cluster: MatchCluster, seen: Observed) -> Plan:
    """Nodes to restart now, or what the next restart waits for."""
    outdated, unsettled = _outdated(cluster, seen)
    broken = [pod for pod in outdated if _is_broken(pod, seen)]
    if seen.elastic is None:
        waiting = unsettled or (f"Elasticsearch to answer: {seen.silence}" if outdated else "")
        return Plan(tuple(_replace(broken)), waiting_for="" if broken else waiting)
    if unsettled or broken:
        tidy = _taken_back(cluster, seen, seen.elastic, [])
        return Plan((*tidy, *_replace(broken)), waiting_for="" if broken else unsettled)
    chosen, reason = _choose(cluster, seen, outdated)
    ready, prepared, waiting = _prepare(membership.wanted(cluster), seen.elastic, chosen)
    tidy = _taken_back(cluster, seen, seen.elastic, [_name(pod) for pod in chosen])
    return Plan((*tidy, *prepared, *(_go(pod) for pod in ready)), waiting_for=waiting or reason)


def _replace(broken: list[Json]) -> Iterator[Step]:
    for pod in broken:
        yield ReplacePod(pod, "it does not work and its template has changed")


def _go(pod: Json) -> ReplacePod:
    return ReplacePod(pod, "its template has changed")


def _name(pod: Json) -> str:
    name: str = pod["metadata"]["name"]
    return name


def _is_broken(pod: Json, seen: Observed) -> bool:
    """Neither ready nor a member: nothing is lost with it."""
    return not observed.is_ready(pod) and not (seen.elastic and _name(pod) in seen.elastic.nodes)


def _outdated(cluster: MatchCluster, seen: Observed) -> tuple[list[Json], str]:
    """Pods of an older revision that are not yet going, in the order in which they go.

    Or what must first happen for the revisions to be believed.
    """
    found, unsettled = [], ""
    for node_set in seen.of_kind("StatefulSet"):
        if node_set["metadata"]["generation"] != node_set.get("status", {}).get("observedGeneration"):
            unsettled = f"Kubernetes to take note of the new StatefulSet {node_set['metadata']['name']}"
            continue
        revision = node_set["status"].get("updateRevision")
        label = node_set["metadata"]["labels"][names.NODE_SET_LABEL]
        found += [
            pod
            for pod in seen.pods(names.ELASTICSEARCH)
            if pod["metadata"]["labels"].get(names.NODE_SET_LABEL) == label
            and (pod["metadata"]["labels"].get(names.REVISION_LABEL) != revision or _was_misled(pod, seen))
            and not observed.is_terminating(pod)
        ]
    wanted = membership.wanted(cluster)
    elected = seen.elastic.master if seen.elastic else ""

    def turn(pod: Json) -> tuple[bool, bool, str, int]:
        name = _name(pod)
        is_master = name in wanted and wanted[name].is_master
        return (is_master, name == elected, name.rpartition("-")[0], -names.ordinal(name))

    return sorted(found, key=turn), unsettled


def _was_misled(pod: Json, seen: Observed) -> bool:
    """Whether a node has not the roles of its ConfigMap, and was started before that was last written.

    A ConfigMap is written before its StatefulSet. A pod that starts between the two and outlives a spec that
    is taken back has the revision that is asked for again, and the settings that are not.
    """
    node = seen.elastic.nodes.get(_name(pod)) if seen.elastic else None
    told = seen.children.get(("ConfigMap", _name(pod).rpartition("-")[0]))
    if node is None or told is None:
        return False
    written = max((entry.get("time", "") for entry in told["metadata"].get("managedFields", ())), default="")
    if pod.get("status", {}).get("startTime", "") > written:
        return False
    roles = founding.config_of(told).get("node.roles")
    return roles is not None and (node.is_master, node.is_data) != ("master" in roles, "data" in roles)


def _choose(cluster: MatchCluster, seen: Observed, outdated: list[Json]) -> tuple[list[Json], str]:
    """Working outdated pods that may go together now, and why no further one may."""
    wanted = membership.wanted(cluster)
    here = [pod for pod in outdated if _name(pod) in wanted]  # those that leave need no new template
    if not here:
        return [], ""
    missing = sorted(name for name in wanted if not seen.works(name))
    chosen: list[Json] = []
    reason = ""
    for pod in here:
        name = _name(pod)
        away = [*missing, *map(_name, chosen)]
        reason = _unsafe(cluster, seen, name, away)
        if reason:
            break
        chosen.append(pod)
    return chosen, "" if chosen else reason


def _unsafe(cluster: MatchCluster, seen: Observed, name: str, away: Sequence[str]) -> str:
    """Why a node may not be restarted while those ``away`` are; empty when it may."""
    wanted, elastic = membership.wanted(cluster), seen.elastic
    assert elastic is not None  # noqa: S101 - narrows the type; make() asks only when it answered
    if name not in elastic.nodes:
        # Kubernetes calls a pod ready for some seconds more or less than it is a member.
        return f"node {name} to join the cluster"
    others = [node for node in away if node != name]
    if len(others) >= cluster.max_unavailable:
        return _absence(cluster, seen, others)
    if reason := unhealthy(cluster, elastic):
        return reason
    if elastic.nodes[name].is_data and not wanted[name].is_data:
        if name not in drain.excluded(elastic):
            return f"shards to be kept off {name}, which is to hold no data"
        if left := membership.shards_on(elastic, [name]):
            return f"{len(left)} shards to leave {name}, which is to hold no data"
    elif lonely := _sole_copy(elastic, name, others):
        return lonely
    absent = [node for node in others if node in wanted and wanted[node].is_master]
    if wanted[name].is_master and absent:
        return f"the master node {absent[0]} to come back before {name} is restarted"
    return membership.missed_vote(elastic, name) if wanted[name].is_master else ""


def _absence(cluster: MatchCluster, seen: Observed, missing: list[str]) -> str:
    absent = [name for name in missing if not ((pod := seen.pod(name)) and observed.is_ready(pod))]
    if absent:
        return f"{len(absent)} of {cluster.nodes} Elasticsearch nodes to become ready"
    return f"node {missing[0]} to join the cluster"


def unhealthy(cluster: MatchCluster, elastic: Elastic) -> str:
    """Why no node may be restarted in this state of health; empty when one may."""
    if elastic.health == "red":
        return "the health of Elasticsearch to become green; it is red"
    if elastic.moving_shards:
        return f"{elastic.moving_shards} shards to reach their nodes"
    asked = versions.parse(cluster.resolved.elasticsearch_version)
    running = {versions.parse(node.version) for node in elastic.nodes.values()}
    raising = len(running) > 1 and min(running) < asked
    if elastic.health != "green" and not raising and cluster.data_nodes > 1:
        return f"the health of Elasticsearch to become green; it is {elastic.health}"
    return ""


def _sole_copy(elastic: Elastic, name: str, away: Sequence[str]) -> str:
    copies: dict[tuple[str, int], list[str]] = {}
    holders = [node for node in elastic.nodes.values() if node.is_data]
    replicated = {(s.index, s.number) for s in elastic.shards if not s.primary}
    for shard in elastic.shards:
        if shard.started:
            copies.setdefault((shard.index, shard.number), []).append(shard.node)
    for (index, number), where in sorted(copies.items()):
        elsewhere = [node for node in where if node != name and node not in away]
        if name in where and not elsewhere and (index, number) in replicated and len(holders) > 1:
            return f"a second copy of shard {number} of index {index}, whose only one is on {name}"
    return ""


# --- what Elasticsearch is told --------------------------------------------------------------------------


def _prepare(
    wanted: Mapping[str, NodeSet], elastic: Elastic, chosen: list[Json]
) -> tuple[list[Json], list[Step], str]:
    """Pods that may go now, what Elasticsearch must hear before, and what that waits for."""
    demoted = [pod for pod in chosen if not wanted[_name(pod)].is_master]
    for pod in demoted:
        steps, waiting = drain.gives_up_vote(elastic, _name(pod), elastic.excluded_voters)
        if waiting:
            return [], steps, waiting
    if not chosen:
        return [], [], ""
    # A node whose shutdown is announced is not ready, also when it is back, until the entry is taken away.
    # Where no other node is left, nobody could be reached who would take it away.
    if elastic.shutdowns is None or len(chosen) >= len(wanted):
        return _prepare_by_settings(elastic, chosen)
    known = {entry.node_id: entry for entry in elastic.shutdowns}
    ready, steps, waiting = [], list[Step](), ""
    for pod in chosen:
        node_id = elastic.nodes[_name(pod)].id
        entry = known.get(node_id)
        if entry is None:
            steps.append(PutShutdown(_name(pod), node_id))
        elif entry.complete:
            ready.append(pod)
        else:
            waiting = f"Elasticsearch to let {_name(pod)} go: {entry.explanation or 'it prepares for that'}"
    return ready, steps, waiting


def _prepare_by_settings(elastic: Elastic, chosen: list[Json]) -> tuple[list[Json], list[Step], str]:
    """Only primaries may be allocated meanwhile, so no copy is made anew of what is soon back."""
    found = elastic.overrides.get(ENABLE) or (
        "all" if MARK in elastic.settings else elastic.settings.get(ENABLE)
    )
    if found not in (None, "all"):
        return [], [], f"{ENABLE} to be removed or set to all; somebody set it to {found}"
    node_names = ",".join(sorted(map(_name, chosen)))
    hold: list[Step] = []
    if elastic.settings.get(MARK) != node_names:
        why = f"holding back copies of shards while {node_names} restarts"
        hold.append(ChangeSettings({ENABLE: "primaries", MARK: node_names}, why))
    return chosen, [*hold, Flush()], ""


def _taken_back(cluster: MatchCluster, seen: Observed, elastic: Elastic, chosen: list[str]) -> Iterator[Step]:
    """What Elasticsearch was told and no longer holds: the node is back, unwanted, or not to go any more."""
    wanted = membership.wanted(cluster)

    def under_way(name: str) -> bool:
        return name in chosen or (name in wanted and not seen.works(name))

    def away(name: str) -> bool:
        pod = seen.pod(name)
        return pod is None or observed.is_terminating(pod) or name not in elastic.nodes

    for entry in elastic.shutdowns or ():
        if entry.reason.startswith(REASON):
            name = entry.reason.removeprefix(REASON)
            # Not before it is ready: while its entry stands, Elasticsearch keeps its readiness port closed.
            if name not in chosen and not (name in wanted and away(name)):
                yield DropShutdown(name, entry.node_id)
    marked = [name for name in elastic.settings.get(MARK, "").split(",") if name]
    # A node with a problem of its own may be long in coming: its shards' copies must not wait for it.
    lost = [name for name in marked if (pod := seen.pod(name)) and observed.problem(pod)]
    if MARK in elastic.settings and not any(under_way(name) and name not in lost for name in marked):
        yield ChangeSettings({ENABLE: None, MARK: None}, "allowing copies of shards again")
