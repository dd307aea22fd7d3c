"""Larger volumes at any time, also on a cluster that is red because they are full; smaller ones never.

The claims are patched one by one, whatever the health. When all of them ask for the new size, the
StatefulSet, whose own template of claims cannot be changed, is made anew around its running pods.
"""

from collections.abc import Iterator
from typing import Any

from match_operator import names, quantities
from match_operator.api import MatchCluster, NodeSet
from match_operator.observed import Observed, is_terminating
from match_operator.plan.steps import GrowVolume, Plan, Problem, Recreate, Step

Json = dict[str, Any]


def make(cluster: MatchCluster, seen: Observed) -> Plan:
    """Claims to grow and StatefulSets to make anew, or what that waits for."""
    steps, problems, waits = list[Step](), list[Problem](), list[str]()
    for node_set in cluster.node_sets:
        live = seen.children.get(("StatefulSet", names.node_set(cluster.name, node_set.name)))
        if live and (problem := _refused(node_set, live)):
            problems.append(problem)
            continue
        claims = list(_claims(cluster, node_set, seen))
        wanted = quantities.parse(node_set.storage_size)
        small = [c for c in claims if quantities.parse(_requested(c)) < wanted]
        unbound = [c["metadata"]["name"] for c in small if c.get("status", {}).get("phase") != "Bound"]
        waits += [f"volume {name} to be there before it can grow" for name in unbound]
        small = [c for c in small if c["metadata"]["name"] not in unbound]
        steps += [GrowVolume(claim, node_set.storage_size) for claim in small]
        if live and not small and quantities.parse(_requested(_template(live))) < wanted:
            if is_terminating(live):
                waits.append(f"Kubernetes to let go of StatefulSet {live['metadata']['name']}")
            else:
                steps.append(Recreate(live))
        waits += _growing(claims)
    return Plan(tuple(steps), tuple(problems), waits[0] if waits else "")


def differs(item: Json, live: Json) -> bool:
    """Whether a StatefulSet asks for other volumes than the live one does."""
    return quantities.parse(_requested(_template(item))) != quantities.parse(_requested(_template(live)))


def _refused(node_set: NodeSet, live: Json) -> Problem | None:
    template = _template(live)["spec"]
    size, name = template["resources"]["requests"]["storage"], template.get("storageClassName", "")
    way_out = "or rename the node set: its shards then move to nodes with new volumes"
    if node_set.storage_class and node_set.storage_class != name:
        return Problem(
            "StorageClassImmutable",
            f"the volumes of node set {node_set.name} are of class {name or '(default)'} and cannot become "
            f"{node_set.storage_class}; set storage.className back, {way_out}",
            node_set.name,
        )
    if quantities.parse(node_set.storage_size) < quantities.parse(size):
        return Problem(
            "VolumeShrinkUnsupported",
            f"the volumes of node set {node_set.name} have {size} and cannot shrink to "
            f"{node_set.storage_size}; set storage.size to {size} or more, {way_out}",
            node_set.name,
        )
    return None


def _claims(cluster: MatchCluster, node_set: NodeSet, seen: Observed) -> Iterator[Json]:
    for ordinal in range(node_set.count):
        name = names.volume(names.node(cluster.name, node_set.name, ordinal))
        claim = seen.children.get(("PersistentVolumeClaim", name))
        if claim and not is_terminating(claim):
            yield claim


def _growing(claims: list[Json]) -> Iterator[str]:
    """Claims whose volume has not yet the size that was asked for, with the storage driver's words."""
    for claim in claims:
        capacity = claim.get("status", {}).get("capacity", {}).get("storage")
        if not capacity or quantities.parse(capacity) >= quantities.parse(_requested(claim)):
            continue
        said = [
            f"{c['type']}: {c.get('message') or c.get('reason') or c['status']}"
            for c in claim["status"].get("conditions") or []
        ]
        name = claim["metadata"]["name"]
        yield f"volume {name} to grow from {capacity} to {_requested(claim)}" + (
            f" ({said[0]})" if said else ""
        )


def _template(item: Json) -> Json:
    template: Json = item["spec"]["volumeClaimTemplates"][0]
    return template


def _requested(claim: Json) -> str:
    return str(claim["spec"]["resources"]["requests"]["storage"])
