"""One reconcile, top to bottom: parse, observe, build, plan, apply, status.

It always starts from what is there now and never from what changed, so it may run at any time, any number of
times, and die anywhere. Reads happen in ``_children`` and ``_elasticsearch``, writes in ``_apply`` and for
the status.
"""

import contextlib
import logging
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

from match_operator import access, api, credentials, desired, metrics, names, observed, plan, status, unread
from match_operator.calm import Calm, long_rest
from match_operator.clients import external
from match_operator.clients.elastic import ElasticClient
from match_operator.clients.events import Recorder
from match_operator.clients.kube import Kube
from match_operator.clients.pool import Clients
from match_operator.config import Config
from match_operator.credentials import Chance
from match_operator.errors import ElasticsearchError, ForbiddenError, InvalidSpecError
from match_operator.merge import drifts
from match_operator.plan import founding, index, membership, refusals, requests, snapshots, steps
from match_operator.telling import tell

Json = dict[str, Any]
Key = tuple[str, str]
"""Namespace and name."""

LOG = logging.getLogger(__name__)
BUSY_SECONDS: Final = 2.0
"""Time to the next look while something is under way of which Kubernetes sends no event."""
SILENT_SECONDS: Final = 15.0
"""Time to the next try of an external Elasticsearch that could not be used."""
COUNT_SECONDS: Final = 60.0
"""Shortest time between two writes of a status in which only the number of images differs."""


@dataclass
class Reconciler:
    """What every reconcile shares; the rest lives in the cluster."""

    config: Config
    kube: Kube
    connect: Callable[[access.Access], ElasticClient] = external.connect
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))
    may_write: Callable[[], None] = field(default=lambda: None)
    """Asked before each write; raises ``NotLeadingError`` where another operator may be acting."""
    token: Callable[[], str] = field(default=lambda: secrets.token_urlsafe(32))
    _clients: Clients = field(init=False)
    _counted: dict[Key, float] = field(default_factory=dict)
    _rewritten: dict[Key, dict[observed.Ref, observed.Rewritten]] = field(default_factory=dict)
    """Lost with the process, which then applies such a child once more."""
    _events: Recorder = field(init=False)
    calm: Calm = field(default_factory=Calm)

    def __post_init__(self) -> None:
        self._clients = Clients(self.connect)
        self._events = Recorder(self.kube)

    def __call__(self, key: Key) -> float | None:
        """Bring one MatchCluster nearer to its spec.

        Returns seconds until the next look, or None when the object is gone.
        """
        heard = self.calm.heard(key)
        body = self.kube.cluster(*key)
        if body is None or body["metadata"].get("deletionTimestamp"):
            self._forget(key)
            for item in self.kube.requests(*key):
                self._answer(requests.orphaned(item))
            return None
        if self.calm.holds(key, body, self._clients.of(key)):
            return long_rest(self.config.resync_seconds)
        try:
            cluster = api.from_body(body, self.config)
            seen = self._children(cluster, body)
        except (InvalidSpecError, ForbiddenError) as error:
            self._report(key, body, self._unread(body, error))
            return self.config.resync_seconds
        known = credentials.make(cluster, seen, Chance(self.token, self.now()))
        seen = self._elasticsearch(cluster, seen, known)
        todo = _plan(cluster, seen, known)
        todo = plan.Plan(problems=todo.problems) if cluster.paused else self._apply(body, todo)
        new = status.make(cluster, seen, todo, self.now())
        self._report(key, body, new)
        under_way = [self._answer(answer) for answer in requests.answers(cluster, seen, todo.trouble)]
        # With a problem there is no operation, though nodes may be on their way all the same.
        busy = "operation" in new or todo.steps or todo.waiting_for or any(under_way)
        busy = busy or (todo.aside and not todo.trouble)
        if cluster.external and seen.elastic is None:
            return SILENT_SECONDS
        if busy:
            return BUSY_SECONDS
        if (
            cluster.external
            and seen.elastic
            and new["phase"] == "Ready"
            and not (cluster.snapshots or known.ending)
        ):
            self.calm.keep(key, body, cluster.index.name, seen.elastic, heard)
            return long_rest(self.config.resync_seconds)
        return self._rest(cluster)

    def _children(self, cluster: api.MatchCluster, body: Json) -> observed.Observed:
        children = self._ours(_key(body))
        given = {name: self.kube.secret(cluster.namespace, name) for name in cluster.given_secrets}
        return observed.Observed(
            children,
            status=body.get("status") or {},
            given=given,
            requests=self.kube.requests(cluster.namespace, cluster.name),
            now=self.now(),
            rewritten=self._rewritten.get((cluster.namespace, cluster.name), {}),
        )

    def _ours(self, key: Key) -> dict[observed.Ref, Json]:
        """What the MatchCluster consists of; somebody else's of the same label counts as not there."""
        children = self.kube.children(*key)
        return {ref: item for ref, item in children.items() if not observed.is_somebody_elses(item)}

    def _elasticsearch(
        self, cluster: api.MatchCluster, seen: observed.Observed, known: credentials.Credentials
    ) -> observed.Observed:
        if not cluster.external and not any(observed.is_ready(p) for p in seen.pods(names.ELASTICSEARCH)):
            return seen
        try:
            to = access.to_elasticsearch(cluster, credentials.known(seen, known))
            client = self._clients.connected((cluster.namespace, cluster.name), to)
            return replace(seen, elastic=_look(client, cluster, seen))
        except ElasticsearchError as error:
            return replace(seen, silence=str(error))

    def _unread(self, body: Json, error: InvalidSpecError | ForbiddenError) -> Json:
        """The status where the spec, or what there is, cannot be read."""
        key, health, children = _key(body), "", None
        with contextlib.suppress(ForbiddenError):
            children = observed.Observed(self._ours(key))
        if client := self._clients.of(key):
            try:
                health = client.observe(body["spec"]["index"]["name"]).health
            except ElasticsearchError:
                health = "unknown"
        return unread.make(body, plan.Problem(error.reason, str(error)), children, health, self.now())

    def _apply(self, body: Json, todo: plan.Plan) -> plan.Plan:
        """Take the steps; the plan as it then stands, with what was refused or must wait."""
        tried = _Tried()
        self._take_each(body, todo.steps, tried)
        if not tried.waiting_for and not any(map(refusals.changes_pods, tried.taken)):
            self._take_each(body, todo.otherwise, tried)
        trouble = self._apply_aside(body, todo.aside)
        for reason in dict.fromkeys(step.reason for step in tried.taken):
            said = "; ".join(str(step) for step in tried.taken if step.reason == reason)
            self._events.say(body, reason, said)
        # What several steps were refused for is told once.
        problems = dict.fromkeys(refusals.problem(*refusal) for refusal in tried.refused)
        return replace(
            todo,
            steps=tuple(tried.taken),
            problems=(*todo.problems, *problems),
            waiting_for=tried.waiting_for or todo.waiting_for,
            trouble=trouble,
        )

    def _take_each(self, body: Json, todo: tuple[steps.Step, ...], tried: "_Tried") -> None:
        for step in todo:
            if refusals.builds_on(step, [refused for refused, _ in tried.refused]):
                continue
            _log(_key(body), step)
            try:
                self._take(body, step)
            except ElasticsearchError as error:
                tried.waiting_for = f"Elasticsearch ({step}): {error}"
                return
            except (InvalidSpecError, ForbiddenError) as error:
                tried.refused.append((step, error))
            else:
                tried.taken.append(step)
                metrics.decided(_key(body), step.reason)

    def _apply_aside(self, body: Json, aside: tuple[steps.Step, ...]) -> str:
        """Take steps for snapshots; why one of them could not be."""
        for step in aside:
            _log(_key(body), step)
            try:
                self._tell(_key(body), step)
            except ElasticsearchError as error:
                return f"{step}: {error}"
            self._events.say(body, step.reason, str(step))
        return ""

    def _take(self, body: Json, step: steps.Step) -> None:
        self.may_write()
        match step:
            case steps.KeepResolved(annotation):
                self.kube.annotate(body, {names.RESOLVED_ANNOTATION: annotation})
            case steps.Apply(item, why):
                self._note(_key(body), item, self.kube.apply(item, missing=why == "missing"))
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
                self._tell(_key(body), step)

    def _note(self, key: Key, item: Json, answer: Json) -> None:
        made = observed.Rewritten(observed.fingerprint(item), dict(drifts(item, answer)))
        self._rewritten.setdefault(key, {})[item["kind"], item["metadata"]["name"]] = made

    def _answer(self, answer: requests.Answer) -> bool:
        """Do what a request needs now and say so in its status; whether it is under way."""
        item, message = answer.item, answer.message
        key = (item["metadata"]["namespace"], item["spec"]["cluster"])
        for step in answer.steps:
            LOG.info("%s/%s: %s", item["metadata"]["namespace"], item["metadata"]["name"], step)
            try:
                self._tell(key, step)
            except ElasticsearchError as error:
                message = f"Elasticsearch ({step}): {error}"
                break
            self._events.say(item, step.reason, str(step))
        new = status.of_request(replace(answer, message=message), self.now())
        if new != item.get("status"):
            self.may_write()
            self.kube.write_status(item, new)
            if answer.phase != requests.phase(item):
                failed = answer.phase in ("Failed", "Refused")
                self._events.say(item, answer.phase, message, warning=failed)
        return answer.phase in ("Running", "Restoring")

    def _rest(self, cluster: api.MatchCluster) -> float:
        """Seconds until a settled cluster is looked at again; the schedule of snapshots wakes it."""
        resync = self.config.resync_seconds
        if not cluster.snapshots or not cluster.snapshots.schedule:
            return resync
        now = self.now()
        due = (snapshots.next_time(cluster.snapshots.schedule, now) - now).total_seconds()
        return min(resync, due + 1.0)

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

    def _tell(self, key: Key, step: steps.Step) -> None:
        self.may_write()
        elastic = self._clients.of(key)
        assert elastic is not None  # noqa: S101 - a step is planned for what a client saw in this look
        tell(elastic, step)

    def _forget(self, key: Key) -> None:
        self._counted.pop(key, None)
        self._rewritten.pop(key, None)
        self.calm.forget(key)
        self._clients.leave(key)


@dataclass
class _Tried:
    """What became of the steps of a plan."""

    taken: list[steps.Step] = field(default_factory=list)
    refused: list[tuple[steps.Step, InvalidSpecError | ForbiddenError]] = field(default_factory=list)
    waiting_for: str = ""


def _plan(cluster: api.MatchCluster, seen: observed.Observed, known: credentials.Credentials) -> plan.Plan:
    replicas = membership.replicas(cluster, seen)
    first_masters = founding.first_masters(cluster, seen, replicas)
    try:
        wanted = desired.build(cluster, first_masters, replicas, index.move(cluster, seen), known)
    except InvalidSpecError as error:
        return plan.Plan(problems=(plan.Problem(error.reason, str(error)),))
    return plan.make(cluster, wanted, seen)


def _key(body: Json) -> Key:
    return body["metadata"]["namespace"], body["metadata"]["name"]


def _log(key: Key, step: steps.Step) -> None:
    name = "/".join(key)
    LOG.info("%s: %s", name, step, extra={"cluster": name, "reason": step.reason})


def _look(client: ElasticClient, cluster: api.MatchCluster, seen: observed.Observed) -> observed.Elastic:
    restores = [i for i in seen.requests if i["kind"] == names.RESTORE_KIND]
    wanted = {i["spec"]["snapshot"] for i in restores if requests.phase(i) not in requests.FINAL}
    if cluster.snapshots and wanted:
        client.refresh(cluster.index.name)  # an index whose images are not yet visible is not empty
    elastic = client.observe(cluster.index.name)
    if cluster.snapshots is None:
        return elastic
    return replace(
        elastic,
        repository=client.repository(snapshots.repository(cluster), cluster.index.name, sorted(wanted)),
        restored={name: client.is_whole(name) for name in seen.restoring if name in elastic.spare},
    )


def _condition(status: Json, kind: str) -> Json:
    return next((c for c in status.get("conditions", []) if c["type"] == kind), {})
