"""What to do next: the difference between what should be and what is, ruled by what is safe.

Pure. Each rule answers with a step, or with the sentence that says what it waits for. Steps are few and
small; the next reconcile looks again and goes on, so any of them may be repeated, or lost in a crash.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import match_index
from match_operator import names, observed, quantities
from match_operator.api import MatchCluster
from match_operator.merge import drift
from match_operator.observed import Elastic, Observed

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class KeepResolved:
    """Write the resolved versions and images to the MatchCluster."""

    annotation: str


@dataclass(frozen=True, slots=True)
class Apply:
    """Server-side apply of a child."""

    item: Json
    why: str
    """"missing", "changed", or the path that drifted."""


@dataclass(frozen=True, slots=True)
class Remove:
    """Delete a child that is no longer wanted."""

    item: Json


@dataclass(frozen=True, slots=True)
class ReplacePod:
    """Delete a pod so that its StatefulSet makes it anew from the current template."""

    pod: Json
    why: str


@dataclass(frozen=True, slots=True)
class PutTemplate:
    """Create or replace the index template."""

    name: str
    body: Json


@dataclass(frozen=True, slots=True)
class CreateIndex:
    """Create the first backing index together with its alias."""

    name: str
    body: Json


@dataclass(frozen=True, slots=True)
class UpdateIndex:
    """Change dynamic settings of a backing index."""

    name: str
    settings: Json


Step = KeepResolved | Apply | Remove | ReplacePod | PutTemplate | CreateIndex | UpdateIndex


@dataclass(frozen=True, slots=True)
class Problem:
    """Something only the user can mend; ``message`` says how."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps to take now, in order; what cannot be done; what the next step waits for."""

    steps: tuple[Step, ...] = ()
    problems: tuple[Problem, ...] = ()
    waiting_for: str = ""


def make(cluster: MatchCluster, wanted: list[Json], seen: Observed) -> Plan:
    """Plan for one reconcile."""
    if remains := [item for item in seen.children.values() if _is_foreign(item, cluster)]:
        name = remains[0]["metadata"]["name"]
        kind = remains[0]["kind"]
        return Plan(
            waiting_for=f"{len(remains)} objects of a deleted MatchCluster of the same name are still being "
            f"removed, {kind} {name} first"
        )
    problems = [
        *_node_set_problems(wanted, seen),
        *_version_problems(cluster, seen),
        *_index_problems(cluster, seen),
    ]
    steps: list[Step] = []
    if cluster.annotation != cluster.resolved.annotation:
        steps.append(KeepResolved(cluster.resolved.annotation))
    steps += _child_steps(wanted, seen, frozen=bool(problems))
    steps += _index_steps(cluster, seen.elastic, problems)
    replacements, waiting_for = _rollout(cluster, seen)
    if not any(isinstance(step, Apply) and step.item["kind"] == "StatefulSet" for step in steps):
        # Revisions of a StatefulSet that is about to change say nothing about its pods.
        steps += replacements
    return Plan(tuple(steps), tuple(problems), waiting_for)


def _is_foreign(item: Json, cluster: MatchCluster) -> bool:
    """Whether an object still belongs to an earlier MatchCluster of the same name."""
    uid = observed.controller_uid(item)
    return item["kind"] not in ("Pod", "PersistentVolumeClaim") and uid not in (None, cluster.uid)


def _child_steps(wanted: list[Json], seen: Observed, *, frozen: bool) -> Iterator[Step]:
    """Applies and removals; ``frozen`` leaves existing node sets as they are."""
    kept = set()
    for item in wanted:
        ref = (item["kind"], item["metadata"]["name"])
        kept.add(ref)
        live = seen.children.get(ref)
        if live is None:
            yield Apply(item, "missing")
        elif frozen and names.NODE_SET_LABEL in item["metadata"]["labels"]:
            continue
        elif _applied(live) != _applied(item):
            yield Apply(item, "changed")
        elif path := drift(item, live):
            yield Apply(item, path)
    for ref, live in seen.children.items():
        if ref not in kept and ref[0] in (
            "ConfigMap",
            "Service",
            "PodDisruptionBudget",
            "HorizontalPodAutoscaler",
        ):
            is_node_set = names.NODE_SET_LABEL in live["metadata"]["labels"]
            if observed.controller_uid(live) is not None and not is_node_set:
                yield Remove(live)


def _applied(item: Json) -> str | None:
    annotations = item["metadata"].get("annotations") or {}
    value: str | None = annotations.get(names.APPLIED_ANNOTATION)
    return value


def _node_set_problems(wanted: list[Json], seen: Observed) -> Iterator[Problem]:
    sets = {item["metadata"]["name"]: item for item in wanted if item["kind"] == "StatefulSet"}
    for live in seen.of_kind("StatefulSet"):
        name = live["metadata"]["name"]
        label = live["metadata"]["labels"][names.NODE_SET_LABEL]
        item = sets.get(name)
        if item is None:
            yield Problem(
                "NodeSetRemovalUnsupported",
                f"node set {label} cannot be removed yet, since its shards would have to be moved first; "
                "put it back into elasticsearch.nodeSets",
            )
            continue
        count, running = item["spec"]["replicas"], live["spec"]["replicas"]
        if count < running:  # also when somebody scaled the StatefulSet by hand: the new nodes hold shards
            yield Problem(
                "ScaleDownUnsupported",
                f"node set {label} has {running} nodes and cannot shrink to {count} yet, since the shards "
                f"of the leaving nodes would have to be moved first; set its count to {running} or more",
            )
        if _claim(item) != _claim(live):
            yield Problem(
                "StorageImmutable",
                f"the storage of node set {label} cannot be changed yet; set it back to {_claim(live)} "
                "or add a second node set with the new storage",
            )


def _claim(item: Json) -> str:
    spec = item["spec"]["volumeClaimTemplates"][0]["spec"]
    size = quantities.parse(spec["resources"]["requests"]["storage"])
    return (
        f"{size / 2**30:f}".rstrip("0").rstrip(".")
        + f"Gi of class {spec.get('storageClassName', '(default)')}"
    )


def _version_problems(cluster: MatchCluster, seen: Observed) -> Iterator[Problem]:
    running = max((version(v) for v in seen.elastic.nodes.values()), default=None) if seen.elastic else None
    if running is None:
        running = version(seen.status.get("elasticsearch", {}).get("version") or "0.0.0")
    asked = version(cluster.resolved.elasticsearch_version)
    if running == (0, 0, 0) or asked >= running:
        if running != (0, 0, 0) and (
            asked[0] > running[0] + 1 or (asked[0] > running[0] and running < (8, 18, 0))
        ):
            yield Problem(
                "VersionSkipUnsupported",
                f"Elasticsearch {_text(running)} cannot become {_text(asked)} in one step; set "
                f"elasticsearch.version to the newest {running[0]}.x first",
            )
        return
    yield Problem(
        "DowngradeUnsupported",
        f"Elasticsearch runs {_text(running)} and cannot go back to {_text(asked)}; set "
        f"elasticsearch.version to {_text(running)} or higher",
    )


def version(text: str) -> tuple[int, ...]:
    """A version in the form that compares; a suffix such as -SNAPSHOT is dropped."""
    return tuple(int(part) for part in text.partition("-")[0].split("."))


def _text(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


def _index_problems(cluster: MatchCluster, seen: Observed) -> Iterator[Problem]:
    alias = cluster.index.name
    for name, index in seen.elastic.indices.items() if seen.elastic else ():
        if name == alias or not index.get("mappings", {}).get("_meta", {}).get("match"):
            yield Problem(
                "IndexTaken",
                f"the index {name} stands where the alias {alias} should lead and was not made by this "
                "operator; remove it from Elasticsearch",
            )
        elif (shards := int(index["settings"]["index"]["number_of_shards"])) != cluster.index.shards:
            yield Problem(
                "ShardsImmutable",
                f"index {name} has {shards} shards, which cannot be changed yet; set index.shards to that",
            )


def _index_steps(cluster: MatchCluster, elastic: Elastic | None, problems: list[Problem]) -> Iterator[Step]:
    if (
        elastic is None
        or not elastic.uuid
        or any(p.reason in ("IndexTaken", "ShardsImmutable") for p in problems)
    ):
        return
    alias, index = cluster.index.name, cluster.index
    body = match_index.template_body(alias, index.shards, cluster.index_replicas, index.refresh_interval)
    if elastic.template is None or drift(body, elastic.template):
        yield PutTemplate(match_index.template_name(alias), body)
    if not elastic.indices:
        yield CreateIndex(match_index.backing_index(alias), match_index.index_body(alias))
    wanted = {"number_of_replicas": str(cluster.index_replicas), "refresh_interval": index.refresh_interval}
    for name, live in elastic.indices.items():
        settings = live["settings"]["index"]
        changed = {k: v for k, v in wanted.items() if settings.get(k) != v}
        if changed:
            yield UpdateIndex(name, changed)


def _rollout(cluster: MatchCluster, seen: Observed) -> tuple[list[Step], str]:
    """Pods to replace now, or what the next replacement waits for.

    Outdated pods that do not work are replaced at once: a corrected spec always takes effect.
    Working ones go one at a time, data before masters, and only while every shard has its copies.
    """
    outdated = []
    for node_set in sorted(seen.of_kind("StatefulSet"), key=lambda s: _is_master(cluster, s)):
        if node_set["metadata"]["generation"] != node_set.get("status", {}).get("observedGeneration"):
            return [], f"Kubernetes to take note of the new StatefulSet {node_set['metadata']['name']}"
        outdated += _outdated(node_set, seen)
    if not outdated:
        return [], ""
    if broken := [pod for pod in outdated if not observed.is_ready(pod)]:
        return [ReplacePod(pod, "it does not work and its template has changed") for pod in broken], ""
    if reason := unsafe_to_restart(cluster, seen):
        return [], reason
    return [ReplacePod(outdated[0], "its template has changed")], ""


def _is_master(cluster: MatchCluster, item: Json) -> bool:
    label = item["metadata"]["labels"][names.NODE_SET_LABEL]
    return any(node_set.is_master for node_set in cluster.node_sets if node_set.name == label)


def _outdated(node_set: Json, seen: Observed) -> list[Json]:
    """Pods of an older revision that are not yet going, highest ordinal first."""
    revision = node_set.get("status", {}).get("updateRevision")
    label = node_set["metadata"]["labels"][names.NODE_SET_LABEL]
    pods = [
        pod
        for pod in seen.pods(names.ELASTICSEARCH)
        if pod["metadata"]["labels"].get(names.NODE_SET_LABEL) == label
        and pod["metadata"]["labels"].get(names.REVISION_LABEL) != revision
        and not observed.is_terminating(pod)
    ]
    return sorted(pods, key=lambda pod: -int(pod["metadata"]["name"].rpartition("-")[2]))


def unsafe_to_restart(cluster: MatchCluster, seen: Observed) -> str:
    """Why no working Elasticsearch node may be restarted now; empty when one may."""
    ready = [pod["metadata"]["name"] for pod in seen.pods(names.ELASTICSEARCH) if observed.is_ready(pod)]
    if len(ready) < cluster.nodes:
        return f"{cluster.nodes - len(ready)} of {cluster.nodes} Elasticsearch nodes to become ready"
    if seen.elastic is None:
        return f"Elasticsearch to answer: {seen.silence}"
    if missing := sorted(set(ready) - set(seen.elastic.nodes)):
        return f"node {missing[0]} to join the cluster"
    if seen.elastic.health != "green":
        return f"the health of Elasticsearch to become green; it is {seen.elastic.health}"
    if seen.elastic.moving_shards:
        return f"{seen.elastic.moving_shards} shards to reach their nodes"
    return ""
