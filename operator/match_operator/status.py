"""The status of a MatchCluster: what is, what is being done, and in one sentence why it is not finished.

Pure. The clock is an argument; the status written before supplies what only history knows: since when a
condition holds, and whether the cluster was ever complete.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from match_operator import names, observed
from match_operator.api import GIVEN, MatchCluster
from match_operator.errors import InvalidSpecError
from match_operator.observed import Observed
from match_operator.plan import Plan, drain, index, membership, requests, snapshots, versions
from match_operator.resolved import GENERATED

Json = dict[str, Any]
CERTIFICATE: Final = (names.CERTIFICATE_KEY, names.PRIVATE_KEY, names.TRUSTED_KEY)
"""What a Secret of the user's with the nodes' certificate holds."""


@dataclass(frozen=True, slots=True)
class Part:
    """How one part of the cluster is."""

    serving: bool
    complete: bool
    reason: str
    message: str


def make(cluster: MatchCluster, seen: Observed, plan: Plan, now: datetime) -> Json:
    """Status of a cluster whose spec can be built."""
    parts = {
        "Elasticsearch": _elasticsearch(cluster, seen),
        "Index": _index(cluster, seen, plan),
        "Api": _api(cluster, seen),
    }
    complete = all(part.complete for part in parts.values()) and not plan.steps and not plan.waiting_for
    serving = all(part.serving for part in parts.values())
    was_ready = holds(seen.status, "Ready")
    ready = serving and (complete or was_ready)
    phase = _phase(cluster, plan, complete=complete, serving=serving, seen=seen)
    unfinished = next((part for part in parts.values() if not part.complete), None)
    waiting_for = "" if complete else (unfinished.message if unfinished else plan.waiting_for)
    if plan.waiting_for and not (unfinished and not unfinished.serving):
        waiting_for = f"waiting for {plan.waiting_for}"
    what = {"Creating": "Creating", "Updating": "Updating", "Degraded": "Recovering"}.get(phase, "")
    verdicts = [
        (
            "Ready",
            ready,
            phase if not ready else "Serving",
            _ready_message(cluster, ready, plan, waiting_for),
        ),
        ("Reconciling", bool(what), what or "Settled", waiting_for or _settled_message(plan)),
        _stalled(plan),
        *((f"{name}Ready", part.serving, part.reason, part.message) for name, part in parts.items()),
    ]
    if cluster.snapshots:
        verdicts.append(_snapshots_verdict(cluster, seen, plan.trouble))
    status: Json = {
        "observedGeneration": cluster.generation,
        "phase": phase,
        "selector": ",".join(f"{k}={v}" for k, v in names.selector(cluster.name, names.API).items()),
        "conditions": conditions(verdicts, cluster.generation, seen.status, now),
        "elasticsearch": _elasticsearch_numbers(cluster, seen),
        "index": _index_numbers(cluster, seen),
        "api": _api_numbers(cluster, seen),
    }
    if cluster.snapshots and (numbers := _snapshots(cluster, seen)):
        status["snapshots"] = numbers
    if what:
        status["operation"] = _operation(what, waiting_for or "the objects just written", seen.status, now)
    return status


def of_request(answer: requests.Answer, now: datetime) -> Json:
    """Status of a MatchSnapshot or MatchRestore."""
    metadata, before = answer.item["metadata"], answer.item.get("status") or {}
    failed = answer.phase in ("Failed", "Refused")
    done = answer.phase == "Completed"
    verdicts = [
        ("Ready", done, answer.phase, answer.message),
        ("Reconciling", not failed and not done, answer.phase, answer.message),
        ("Stalled", failed, answer.phase, answer.message),
    ]
    generation = metadata.get("generation", 0)
    return {
        "observedGeneration": generation,
        "phase": answer.phase,
        "message": answer.message,
        **answer.facts,
        "conditions": conditions(verdicts, generation, before, now),
    }


def _snapshots(cluster: MatchCluster, seen: Observed) -> Json:
    """The snapshots there are and when the next comes; while nothing can be asked, what was known before."""
    assert cluster.snapshots is not None  # noqa: S101 - narrows the type
    found = snapshots.ready(seen)
    before: Json = dict(seen.status.get("snapshots", {}))
    if found is None:
        return before
    good = sorted(
        (s for s in found.snapshots if s.state == "SUCCESS" and s.cluster == cluster.full_name),
        key=lambda s: s.start,
    )
    numbers: Json = {"repository": found.name, "count": len(good)}
    if good:
        numbers |= {"last": good[-1].name, "lastTime": good[-1].start}
    if schedule := cluster.snapshots.schedule:
        numbers["next"] = _time(snapshots.next_time(schedule, seen.now))
    return numbers


def _snapshots_verdict(cluster: MatchCluster, seen: Observed, trouble: str) -> tuple[str, bool, str, str]:
    kind, repository = "SnapshotsReady", snapshots.ready(seen)
    if wrong := snapshots.obstacle(cluster, seen, trouble):
        return (kind, False, *wrong)
    assert repository is not None  # noqa: S101 - narrows the type; nothing stands in the way
    ours = (s for s in repository.snapshots if snapshots.is_scheduled(cluster, s))
    last = max(ours, key=lambda s: s.start, default=None)
    if last and last.state in ("FAILED", "PARTIAL"):
        return (kind, False, "LastFailed", f"Elasticsearch calls {last.name} {last.state}: {last.reason}")
    return (kind, True, "Available", f"snapshots are in the repository {repository.name}")


def differs(new: Json, old: Json, *, count_is_due: bool) -> bool:
    """Whether a status is worth writing. The number of images alone is, but only when due."""

    def essence(status: Json) -> Json:
        index = status.get("index", {})
        kept = index if count_is_due else {k: v for k, v in index.items() if k != "documents"}
        return status | {"index": kept}

    return essence(new) != essence(old)


def _phase(cluster: MatchCluster, plan: Plan, *, complete: bool, serving: bool, seen: Observed) -> str:
    if cluster.paused:
        return "Paused"
    if any(problem.reason == InvalidSpecError.reason for problem in plan.problems):
        return "Invalid"
    if plan.problems:
        return "Stalled"
    if complete:
        return "Ready"
    if not _was_complete(seen.status):
        return "Creating"
    changed = (
        seen.status.get("observedGeneration") != cluster.generation or seen.status.get("phase") == "Updating"
    )
    return "Updating" if serving and (changed or plan.steps or plan.waiting_for) else "Degraded"


def _was_complete(before: Json) -> bool:
    """Whether the cluster was ever whole: only then does a missing part mean loss."""
    return before.get("phase") in ("Ready", "Updating", "Degraded") or holds(before, "Ready")


def holds(status: Json, condition: str) -> bool:
    """Whether a status has a condition that is true."""
    return any(c["type"] == condition and c["status"] == "True" for c in status.get("conditions", []))


def _ready_message(cluster: MatchCluster, ready: bool, plan: Plan, waiting_for: str) -> str:
    if plan.problems:
        return plan.problems[0].message
    if ready:
        return f"images can be added and searched at {names.api_url(cluster.name, cluster.namespace)}"
    return waiting_for or "the objects were just written"


def _settled_message(plan: Plan) -> str:
    return plan.problems[0].message if plan.problems else "everything is as the spec says"


def _stalled(plan: Plan) -> tuple[str, bool, str, str]:
    if plan.problems:
        return ("Stalled", True, plan.problems[0].reason, "; ".join(p.message for p in plan.problems))
    return ("Stalled", False, "Progressing", "nothing stands in the way")


def conditions(
    verdicts: list[tuple[str, bool, str, str]], generation: int, before: Json, now: datetime
) -> list[Json]:
    """Conditions from type, status, reason and message; ``before`` tells since when each is as it is."""
    earlier = {c["type"]: c for c in before.get("conditions", [])}
    conditions = []
    for kind, holds, reason, message in verdicts:
        status = str(holds)
        last = earlier.get(kind, {})
        since = last.get("lastTransitionTime") if last.get("status") == status else None
        conditions.append(
            {
                "type": kind,
                "status": status,
                "reason": reason,
                "message": message,
                "observedGeneration": generation,
                "lastTransitionTime": since or _time(now),
            }
        )
    return conditions


def _operation(what: str, waiting_for: str, before: Json, now: datetime) -> Json:
    last = before.get("operation") or {}
    since = last.get("since") if last.get("what") == what else None
    return {"what": what, "since": since or _time(now), "waitingFor": waiting_for}


def _time(now: datetime) -> str:
    return now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _external(seen: Observed) -> Part:
    """An Elasticsearch that is not ours: all that counts is what our index is like there."""
    if seen.elastic is None:
        return Part(False, False, "Unreachable", f"the external Elasticsearch cannot be used: {seen.silence}")
    health = seen.elastic.health
    summary = f"the external Elasticsearch answers and the health of the index is {health}"
    if health != "green":
        why = f"; {seen.elastic.unassigned}" if seen.elastic.unassigned else ""
        return Part(health == "yellow", False, "HealthNotGreen", summary + why)
    return Part(True, True, "Healthy", summary)


def _elasticsearch(cluster: MatchCluster, seen: Observed) -> Part:
    if cluster.external:
        return _external(seen)
    pods = [p for p in seen.pods(names.ELASTICSEARCH) if p["metadata"]["name"] in membership.wanted(cluster)]
    ready = sum(observed.is_ready(pod) for pod in pods)
    health = seen.elastic.health if seen.elastic else "unknown"
    serving = health in ("green", "yellow")
    summary = f"{ready} of {cluster.nodes} Elasticsearch nodes are ready and its health is {health}"
    own = cluster.security.secret
    lacking = [key for key in CERTIFICATE if own and not observed.text(seen.given.get(own), key)]
    if lacking:
        missing = f"there is no Secret {own} with {', '.join(lacking)}, which elasticsearch.security names"
        return Part(serving, False, "CertificateMissing", f"{summary}; {missing}")
    if ready < cluster.nodes:
        return Part(serving, False, "NodesNotReady", summary + _first_problem(pods))
    if seen.elastic is None:
        return Part(False, False, "Unreachable", f"{summary}: {seen.silence}")
    if health != "green":
        why = f"; {seen.elastic.unassigned}" if seen.elastic.unassigned else ""
        return Part(serving, False, "HealthNotGreen", summary + why)
    return Part(True, True, "Healthy", summary)


def _first_problem(pods: list[Json]) -> str:
    for pod in pods:
        if not observed.is_ready(pod) and (problem := observed.problem(pod)):
            return f"; pod {pod['metadata']['name']}: {problem}"
    return ""


def _index(cluster: MatchCluster, seen: Observed, plan: Plan) -> Part:
    alias = cluster.index.name
    if seen.elastic is None:
        return Part(
            False, False, "Unknown", f"the index {alias} cannot be seen while Elasticsearch does not answer"
        )
    if any(problem.reason in index.NOT_OURS for problem in plan.problems):
        return Part(False, False, "Taken", f"{alias} leads to an index that is not this MatchCluster's")
    if not seen.elastic.indices:
        return Part(False, False, "Missing", f"the index {alias} is not created yet")
    backing = ", ".join(sorted(seen.elastic.indices))
    copies = index.copies(cluster, seen.elastic)
    if copies < cluster.index.replicas:
        return Part(
            True,
            True,
            "ReplicasClamped",
            f"the alias {alias} leads to {backing}; index.replicas is {cluster.index.replicas} but "
            f"{cluster.data_nodes or len(seen.elastic.nodes)} data nodes have room for {copies}",
        )
    return Part(True, True, "Available", f"the alias {alias} leads to {backing}")


def _api(cluster: MatchCluster, seen: Observed) -> Part:
    live = seen.children.get(("Deployment", names.api(cluster.name)))
    if live is None:
        return Part(False, False, "Missing", "the API is not created yet")
    status, wanted = live.get("status", {}), cluster.api.replicas
    ready, updated, total = (status.get(k, 0) for k in ("readyReplicas", "updatedReplicas", "replicas"))
    current = status.get("observedGeneration") == live["metadata"]["generation"]
    summary = f"{ready} of {wanted} API pods are ready"
    auth = cluster.api.auth
    if auth.mode == GIVEN and not observed.text(seen.given.get(auth.secret), auth.key):
        missing = f"there is no Secret {auth.secret} with the file {auth.key}, which api.auth.secretRef names"
        return Part(ready > 0, False, "KeysMissing", f"{summary}; {missing}")
    oidc = auth.oidc
    if oidc and oidc.ca_secret and not observed.text(seen.given.get(oidc.ca_secret), oidc.ca_key):
        missing = (
            f"there is no Secret {oidc.ca_secret} with {oidc.ca_key}, which api.auth.oidc.caSecretRef names"
        )
        return Part(ready > 0, False, "AuthorityMissing", f"{summary}; {missing}")
    if wanted == 0:
        return Part(
            False, True, "ScaledToZero", "the API is scaled to 0; set api.replicas to 1 or more to serve"
        )
    if not current or updated < wanted or total > updated:
        return Part(
            ready > 0,
            False,
            "RollingOut",
            f"{summary}, {updated} of them of the current version" + _first_problem(seen.pods(names.API)),
        )
    if ready < wanted:
        return Part(ready > 0, False, "PodsNotReady", summary + _first_problem(seen.pods(names.API)))
    return Part(True, True, "Available", summary)


def _elasticsearch_numbers(cluster: MatchCluster, seen: Observed) -> Json:
    before = seen.status.get("elasticsearch", {})
    ready = sum(bool((pod := seen.pod(n)) and observed.is_ready(pod)) for n in membership.wanted(cluster))
    leaving, shards = ([], 0) if cluster.external else drain.progress(cluster, seen)
    numbers: Json = {"health": seen.elastic.health if seen.elastic else "unknown", "summary": "external"}
    if not cluster.external:
        numbers |= {"nodes": cluster.nodes, "readyNodes": ready, "summary": f"{ready}/{cluster.nodes}"}
        numbers["secured"] = cluster.security.enabled
    if leaving:
        numbers |= {"leaving": leaving, "shardsLeft": shards}
    uuid = (seen.elastic.uuid if seen.elastic else "") or before.get("clusterUUID")
    # The oldest version speaks for the cluster until the last node has moved on.
    running = [node.version for node in seen.elastic.nodes.values()] if seen.elastic else []
    oldest = min(running, key=versions.parse, default=before.get("version"))
    return numbers | ({"clusterUUID": uuid} if uuid else {}) | ({"version": oldest} if oldest else {})


def _index_numbers(cluster: MatchCluster, seen: Observed) -> Json:
    if seen.elastic is None or not seen.elastic.indices:
        return dict(seen.status.get("index", {}))
    numbers: Json = {
        "documents": seen.elastic.documents,
        "backing": sorted(seen.elastic.indices)[-1],
        "replicas": index.copies(cluster, seen.elastic),
    }
    if moving := index.move(cluster, seen):
        numbers["migration"] = {"from": moving.source, "to": moving.target, "copied": seen.elastic.copied}
    return numbers


def _api_numbers(cluster: MatchCluster, seen: Observed) -> Json:
    live = seen.children.get(("Deployment", names.api(cluster.name)), {}).get("status", {})
    ready = live.get("readyReplicas", 0)
    keys = {GENERATED: names.api_key(cluster.name), GIVEN: cluster.api.auth.secret}.get(cluster.api.auth.mode)
    return {
        "replicas": live.get("replicas", 0),
        "readyReplicas": ready,
        "summary": f"{ready}/{cluster.api.replicas}",
        "url": names.api_url(cluster.name, cluster.namespace),
    } | ({"keys": keys} if keys else {})
