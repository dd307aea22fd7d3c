"""One reconcile, top to bottom: parse, observe, build, plan, apply, status.

It always starts from what is there now and never from what changed, so it may run at any time, any number of
times, and die anywhere. Reads happen in ``_observe``, writes in ``_apply`` and for the status.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

from match_operator import api, desired, names, observed, plan, status
from match_operator.clients.elastic import ElasticClient
from match_operator.clients.kube import Kube
from match_operator.config import Config
from match_operator.desired import elasticsearch
from match_operator.errors import ElasticsearchError, InvalidSpecError

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
    _elastic: dict[str, ElasticClient] = field(default_factory=dict)
    _counted: dict[Key, float] = field(default_factory=dict)

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
            first_masters = _first_masters(cluster, seen)
            todo = plan.make(cluster, desired.build(cluster, first_masters), seen)
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
            elastic = self._client(cluster).observe(cluster.index.name)
        except ElasticsearchError as error:
            return observed.Observed(children, silence=str(error), status=before)
        return observed.Observed(children, elastic, status=before)

    def _apply(self, body: Json, todo: plan.Plan) -> plan.Plan:
        """Take the steps; the plan as it then stands, with what Elasticsearch would not do yet."""
        for step in todo.steps:
            LOG.info("%s/%s: %s", body["metadata"]["namespace"], body["metadata"]["name"], describe(step))
            try:
                self._take(body, step)
            except ElasticsearchError as error:
                return replace(todo, waiting_for=f"Elasticsearch ({describe(step)}): {error}")
        if todo.steps:
            self.kube.event(body, _reason(todo.steps), "; ".join(describe(step) for step in todo.steps))
        return todo

    def _take(self, body: Json, step: plan.Step) -> None:
        match step:
            case plan.KeepResolved(annotation):
                self.kube.annotate(body, {names.RESOLVED_ANNOTATION: annotation})
            case plan.Apply(item, why):
                self.kube.apply(item, missing=why == "missing")
            case plan.Remove(item) | plan.ReplacePod(item):
                self.kube.delete(item)
            case plan.PutTemplate(name, template):
                self._client_of(body).put_template(name, template)
            case plan.CreateIndex(name, index):
                self._client_of(body).create_index(name, index)
            case plan.UpdateIndex(name, settings):
                self._client_of(body).update_index(name, settings)

    def _report(self, key: Key, body: Json, new: Json) -> None:
        old = body.get("status") or {}
        due = time.monotonic() - self._counted.get(key, float("-inf")) >= COUNT_SECONDS
        if not status.differs(new, old, count_is_due=due):
            return
        self.kube.write_status(body, new)
        self._counted[key] = time.monotonic()
        if new["phase"] != old.get("phase"):
            ready = next(c for c in new["conditions"] if c["type"] == "Ready")
            stalled = next(c for c in new["conditions"] if c["type"] == "Stalled")
            warning = new["phase"] in ("Degraded", "Stalled", "Invalid")
            message = stalled["message"] if stalled["status"] == "True" else ready["message"]
            self.kube.event(body, new["phase"], message, warning=warning)

    def _client(self, cluster: api.MatchCluster) -> ElasticClient:
        return self._connected(names.elasticsearch_url(cluster.name, cluster.namespace))

    def _client_of(self, body: Json) -> ElasticClient:
        metadata = body["metadata"]
        return self._connected(names.elasticsearch_url(metadata["name"], metadata["namespace"]))

    def _connected(self, url: str) -> ElasticClient:
        if url not in self._elastic:
            self._elastic[url] = self.connect(url)
        return self._elastic[url]

    def _forget(self, key: Key) -> None:
        self._counted.pop(key, None)
        namespace, name = key
        if client := self._elastic.pop(names.elasticsearch_url(name, namespace), None):
            client.close()


def _first_masters(cluster: api.MatchCluster, seen: observed.Observed) -> tuple[str, ...]:
    """Nodes that may found the Elasticsearch cluster: those of the first try, until it is founded."""
    if seen.formed:
        return ()
    made = seen.of_kind("StatefulSet")
    if not made:
        return elasticsearch.initial_masters(cluster)
    masters = {names.node_set(cluster.name, s.name) for s in cluster.node_sets if s.is_master}
    return tuple(
        f"{item['metadata']['name']}-{ordinal}"
        for item in made
        if item["metadata"]["name"] in masters
        for ordinal in range(item["spec"]["replicas"])
    )


def describe(step: plan.Step) -> str:
    """A step in words, for logs and events."""
    match step:
        case plan.KeepResolved():
            return "keeping the resolved versions and images with the object"
        case plan.Apply(item, why):
            verb = {"missing": "creating", "changed": "updating"}.get(why, f"repairing {why} of")
            return f"{verb} {item['kind']} {item['metadata']['name']}"
        case plan.Remove(item):
            return f"removing {item['kind']} {item['metadata']['name']}"
        case plan.ReplacePod(pod, why):
            return f"replacing pod {pod['metadata']['name']}, because {why}"
        case plan.PutTemplate(name):
            return f"writing index template {name}"
        case plan.CreateIndex(name):
            return f"creating index {name}"
        case plan.UpdateIndex(name, settings):
            return f"setting {', '.join(f'{k} to {v}' for k, v in settings.items())} on index {name}"


def _reason(steps: tuple[plan.Step, ...]) -> str:
    if any(isinstance(step, plan.ReplacePod) for step in steps):
        return "ReplacingNode"
    applies = [step for step in steps if isinstance(step, plan.Apply)]
    if any(step.why not in ("missing", "changed") for step in applies):
        return "Repairing"
    if applies:
        return "Applying"
    return "UpdatingIndex" if any(not isinstance(step, plan.KeepResolved) for step in steps) else "Resolving"
