"""One reconcile, top to bottom: parse, observe, build, plan, apply, status.

It always starts from what is there now and never from what changed, so it may run at any time, any number of
times, and die anywhere. Reads happen in ``_observe``, writes in ``_apply`` and for the status.
"""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

from match_operator import api, desired, metrics, names, observed, plan, status
from match_operator.clients.elastic import ElasticClient
from match_operator.clients.events import Recorder
from match_operator.clients.kube import Kube
from match_operator.config import Config
from match_operator.desired import elasticsearch
from match_operator.errors import ElasticsearchError, InvalidSpecError
from match_operator.plan import index, membership, restart, steps

Json = dict[str, Any]
Key = tuple[str, str]
"""Namespace and name."""

LOG = logging.getLogger(__name__)
BUSY_SECONDS: Final = 2.0
"""Time to the next look while something is under way of which Kubernetes sends no event."""
COUNT_SECONDS: Final = 60.0
"""Shortest time between two writes of a status in which only the number of images differs."""


@dataclass
class Reconciler:
    """What every reconcile shares; the rest lives in the cluster."""

    config: Config
    kube: Kube
    connect: Callable[[str], ElasticClient] = ElasticClient
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))
    may_write: Callable[[], None] = field(default=lambda: None)
    """Asked before each write; raises ``NotLeadingError`` where another operator may be acting."""
    _elastic: dict[str, ElasticClient] = field(default_factory=dict)
    _counted: dict[Key, float] = field(default_factory=dict)
    _events: Recorder = field(init=False)

    def __post_init__(self) -> None:
        self._events = Recorder(self.kube)

    def __call__(self, key: Key) -> float | None:
        """Bring one MatchCluster nearer to its spec.

        Returns seconds until the next look, or None when the object is gone.
        """
        body = self.kube.cluster(*key)
        if body is None or body["metadata"].get("deletionTimestamp"):
            self._forget(key)
            return None
        try:
            cluster = api.from_body(body, self.config)
            seen = self._observe(cluster, body)
            replicas = membership.replicas(cluster, seen)
            first_masters = _first_masters(cluster, seen, replicas)
            wanted = desired.build(cluster, first_masters, replicas, index.move(cluster, seen))
            todo = plan.make(cluster, wanted, seen)
            todo = plan.Plan(problems=todo.problems) if cluster.paused else self._apply(body, todo)
        except InvalidSpecError as error:
            self._report(key, body, status.invalid(body, str(error), self.now()))
            return self.config.resync_seconds
        new = status.make(cluster, seen, todo, self.now())
        self._report(key, body, new)
        return BUSY_SECONDS if "operation" in new or todo.steps else self.config.resync_seconds

    def _observe(self, cluster: api.MatchCluster, body: Json) -> observed.Observed:
        children = self.kube.children(cluster.namespace, cluster.name)
        before = body.get("status") or {}
        pods = observed.Observed(children, status=before).pods(names.ELASTICSEARCH)
        if not any(observed.is_ready(pod) for pod in pods):
            return observed.Observed(children, status=before)
        try:
            elastic = self._client(body).observe(cluster.index.name)
        except ElasticsearchError as error:
            return observed.Observed(children, silence=str(error), status=before)
        return observed.Observed(children, elastic, status=before)

    def _apply(self, body: Json, todo: plan.Plan) -> plan.Plan:
        """Take the steps; the plan as it then stands, with what was refused or must wait."""
        taken: list[steps.Step] = []
        for step in todo.steps:
            name = "/".join(_key(body))
            LOG.info("%s: %s", name, step, extra={"cluster": name, "reason": step.reason})
            try:
                self._take(body, step)
            except ElasticsearchError as error:
                todo = replace(todo, waiting_for=f"Elasticsearch ({step}): {error}")
                break
            except InvalidSpecError as error:
                if not isinstance(step, steps.GrowVolume):
                    raise
                # A full disk's neighbours go on growing, and everything else goes on as well.
                refused = plan.Problem("VolumeGrowthRefused", f"{step} is refused: {error}")
                todo = replace(todo, problems=(*todo.problems, refused))
            else:
                taken.append(step)
                metrics.decided(_key(body), step.reason)
        for reason in dict.fromkeys(step.reason for step in taken):
            said = "; ".join(str(step) for step in taken if step.reason == reason)
            self._events.say(body, reason, said)
        return replace(todo, steps=tuple(taken))

    def _take(self, body: Json, step: steps.Step) -> None:
        self.may_write()
        match step:
            case steps.KeepResolved(annotation):
                self.kube.annotate(body, {names.RESOLVED_ANNOTATION: annotation})
            case steps.Apply(item, why):
                self.kube.apply(item, missing=why == "missing")
            case steps.Remove(item) | steps.ReplacePod(item):
                self.kube.delete(item)
            case steps.Recreate(item):
                self.kube.delete(item, orphan=True)
            case steps.Shrink(item, replicas, policy):
                retention = {"whenDeleted": policy, "whenScaled": policy}
                kept = {"persistentVolumeClaimRetentionPolicy": retention} if policy else {}
                self.kube.change(item, {"replicas": replicas} | kept)
            case steps.GrowVolume(claim, size):
                self.kube.change(claim, {"resources": {"requests": {"storage": size}}})
            case _:
                tell(self._client(body), step)

    def _report(self, key: Key, body: Json, new: Json) -> None:
        old = body.get("status") or {}
        metrics.observe(key, new)
        due = time.monotonic() - self._counted.get(key, float("-inf")) >= COUNT_SECONDS
        if not status.differs(new, old, count_is_due=due):
            return
        self.may_write()
        self.kube.write_status(body, new)
        self._counted[key] = time.monotonic()
        self._announce(body, old, new)

    def _announce(self, body: Json, old: Json, new: Json) -> None:
        """An Event when the phase is another, or what stands in the way; not when only its numbers are."""
        ready, stalled = (_condition(new, kind) for kind in ("Ready", "Stalled"))
        refused = stalled["status"] == "True"
        if new["phase"] != old.get("phase"):
            reason, warning = new["phase"], new["phase"] in ("Degraded", "Stalled", "Invalid")
        elif refused and stalled["reason"] != _condition(old, "Stalled").get("reason"):
            reason, warning = stalled["reason"], True
        else:
            return
        self._events.say(body, reason, (stalled if refused else ready)["message"], warning=warning)

    def _client(self, body: Json) -> ElasticClient:
        url = names.elasticsearch_url(body["metadata"]["name"], body["metadata"]["namespace"])
        if url not in self._elastic:
            self._elastic[url] = self.connect(url)
        return self._elastic[url]

    def _forget(self, key: Key) -> None:
        self._counted.pop(key, None)
        namespace, name = key
        if client := self._elastic.pop(names.elasticsearch_url(name, namespace), None):
            client.close()


def _key(body: Json) -> Key:
    return body["metadata"]["namespace"], body["metadata"]["name"]


def _condition(status: Json, kind: str) -> Json:
    return next((c for c in status.get("conditions", []) if c["type"] == kind), {})


def tell(elastic: ElasticClient, step: steps.Step) -> None:
    """Take a step that concerns Elasticsearch; raises ``ElasticsearchError``."""
    match step:
        case steps.ChangeSettings(settings):
            elastic.change_settings(settings)
        case steps.Flush():
            elastic.flush()
        case steps.PutShutdown(node, node_id):
            elastic.put_shutdown(node_id, restart.REASON + node)
        case steps.DropShutdown(_, node_id):
            elastic.drop_shutdown(node_id)
        case steps.ExcludeVoter(node):
            elastic.exclude_voter(node)
        case steps.AdmitVoters():
            elastic.admit_voters()
        case _:
            _tell_index(elastic, step)


def _tell_index(elastic: ElasticClient, step: steps.Step) -> None:
    match step:
        case steps.PutTemplate(name, template):
            elastic.put_template(name, template)
        case steps.CreateIndex(name, body):
            elastic.create_index(name, body)
        case steps.AbandonIndex(alias, source, target):
            elastic.abandon_index(alias, source, target)
        case steps.AllowWrites(alias, name):
            elastic.allow_writes(alias, name)
        case steps.DropIndex(name):
            elastic.drop_index(name)
        case steps.UpdateIndex(name, settings):
            elastic.update_index(name, settings)


def _first_masters(
    cluster: api.MatchCluster, seen: observed.Observed, replicas: Mapping[str, int]
) -> tuple[str, ...]:
    """Nodes that may found the Elasticsearch cluster: those of the first try, until it is founded."""
    if seen.formed:
        return ()
    made = {item["metadata"]["name"]: int(item["spec"]["replicas"]) for item in seen.of_kind("StatefulSet")}
    first_try = {name: made.get(name, 0) for name in replicas}
    return elasticsearch.initial_masters(cluster, first_try if made else replicas)
