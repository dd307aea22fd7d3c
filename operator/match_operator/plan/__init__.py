"""What to do next: the difference between what should be and what is, ruled by what is safe.

Pure. Each rule answers with a step, or with the sentence that says what it waits for. Steps are few and
small; the next reconcile looks again and goes on, so any of them may be repeated, or lost in a crash.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from match_operator import names, observed
from match_operator.api import MatchCluster
from match_operator.merge import drift
from match_operator.observed import Observed
from match_operator.plan import (
    awareness,
    drain,
    founding,
    index,
    ownership,
    refusals,
    restart,
    security,
    snapshots,
    versions,
    volumes,
)
from match_operator.plan.steps import (
    Apply,
    KeepResolved,
    Plan,
    Problem,
    Recreate,
    Remove,
    Shrink,
    Step,
)

Json = dict[str, Any]

REMOVABLE: Final = (
    "ConfigMap",
    "Secret",
    "Service",
    "PodDisruptionBudget",
    "HorizontalPodAutoscaler",
    "NetworkPolicy",
    "Job",
)
"""Kinds of which an object goes when it is no longer wanted; what holds or serves data goes otherwise."""


def make(cluster: MatchCluster, wanted: list[Json], seen: Observed) -> Plan:
    """Plan for one reconcile."""
    if remains := [item for item in seen.children.values() if _is_foreign(item, cluster)]:
        name = remains[0]["metadata"]["name"]
        kind = remains[0]["kind"]
        return Plan(
            waiting_for=f"{len(remains)} objects of a deleted MatchCluster of the same name are still being "
            f"removed, {kind} {name} first"
        )
    wanted = [item for item in wanted if _may_be(cluster, item, seen)]
    growth = volumes.make(cluster, seen)
    # Nodes of an external Elasticsearch are somebody else's, whatever they are called.
    leaving = Plan() if cluster.external else drain.make(cluster, seen)
    problems = [
        *growth.problems,
        *versions.problems(cluster, seen),
        *security.problems(cluster),
        *founding.problems(cluster, seen),
        *index.problems(cluster, seen),
        *leaving.problems,
    ]
    steps: list[Step] = []
    if cluster.annotation != cluster.resolved.annotation:
        steps.append(KeepResolved(cluster.resolved.annotation))
    frozen = {problem.node_set for problem in problems}
    # A StatefulSet that is made anew takes the spec as it is, so not while part of that is refused.
    steps += [step for step in growth.steps if not isinstance(step, Recreate) or not frozen & {"*"}]
    steps += _child_steps(cluster, wanted, seen, frozen)
    hold = not cluster.external and drain.holds_replicas(cluster, seen)
    steps += [] if cluster.external else awareness.steps(cluster, seen)
    steps += index.steps(cluster, seen, problems, hold_replicas=hold)
    recreated = [step.item for step in steps if isinstance(step, Recreate)]
    # One that is made anew around its pods has first to be there again.
    steps += [step for step in leaving.steps if not isinstance(step, Shrink) or step.item not in recreated]
    rolling = Plan() if cluster.external else restart.make(cluster, seen)
    # Revisions of a StatefulSet that is about to change say nothing about its pods.
    revised = any(refusals.changes_pods(step) for step in steps)
    steps += () if revised else rolling.steps
    waiting_for = leaving.waiting_for or rolling.waiting_for or growth.waiting_for
    waiting_for = waiting_for or index.waiting_for(cluster, seen)
    # Nodes mount the volume of snapshots only once all of them have been restarted.
    idle = not any(problem.reason in index.NOT_OURS for problem in problems) and not rolling.steps
    aside = tuple(snapshots.steps(cluster, seen)) if idle and not rolling.waiting_for else ()
    otherwise = rolling.steps if revised else ()
    return Plan(tuple(steps), tuple(problems), waiting_for, aside, otherwise=otherwise)


def _may_be(cluster: MatchCluster, item: Json, seen: Observed) -> bool:
    """Whether an object may exist: the API is let loose only on an index that is known to be ours."""
    there = (item["kind"], item["metadata"]["name"]) in seen.children
    return there or item["kind"] != "Deployment" or ownership.is_ours(cluster, seen)


def _is_foreign(item: Json, cluster: MatchCluster) -> bool:
    """Whether an object still belongs to an earlier MatchCluster of the same name."""
    if item["kind"] in ("Pod", "PersistentVolumeClaim") or observed.is_somebody_elses(item):
        return False
    return observed.controller_uid(item) not in (None, cluster.uid)


def _child_steps(
    cluster: MatchCluster, wanted: list[Json], seen: Observed, frozen: set[str]
) -> Iterator[Step]:
    """Applies and removals; existing objects of the node sets that are ``frozen`` stay as they are."""
    kept = set()
    for item in wanted:
        ref = (item["kind"], item["metadata"]["name"])
        kept.add(ref)
        live = seen.children.get(ref)
        node_set = item["metadata"]["labels"].get(names.NODE_SET_LABEL)
        if live is None:
            yield Apply(item, "missing")
        elif node_set and frozen & {"*", node_set}:
            continue
        elif item["kind"] == "StatefulSet" and (observed.is_terminating(live) or volumes.differs(item, live)):
            continue  # its claims cannot be changed; volumes.py has it made anew
        elif item["kind"] == "Job" and observed.fingerprint(live) != observed.fingerprint(item):
            yield Remove(live)  # a Job cannot be changed; the next look makes it anew
        elif observed.fingerprint(live) != observed.fingerprint(item):
            yield Apply(item, "changed")
        elif path := drift(item, live, _rewritten(item, seen)):
            yield Apply(item, path)
    for ref, live in seen.children.items():
        removable = ref[0] in REMOVABLE
        is_node_set = names.NODE_SET_LABEL in live["metadata"]["labels"]
        is_ours = observed.controller_uid(live) == cluster.uid
        if ref not in kept and removable and not is_node_set and is_ours:
            yield Remove(live)


def _rewritten(item: Json, seen: Observed) -> Mapping[str, Any]:
    known = seen.rewritten.get((item["kind"], item["metadata"]["name"]))
    return known.values if known and known.fingerprint == observed.fingerprint(item) else {}


__all__ = ["Plan", "Problem", "make"]
