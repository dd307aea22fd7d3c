"""What a reconcile saw of the world, read once at its beginning and never written to."""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from match_operator import names

Json = dict[str, Any]
Ref = tuple[str, str]
"""Kind and name."""

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Node:
    """A member of the Elasticsearch cluster."""

    id: str
    """Kept with its volume, so a pod made anew over the same volume has the same."""
    version: str
    is_master: bool = True
    """Whether it may vote."""
    is_data: bool = True
    """Whether it may hold shards."""


@dataclass(frozen=True, slots=True)
class Shard:
    """One copy of a shard of any index, hidden ones too."""

    index: str
    number: int
    primary: bool
    started: bool
    """A relocating copy is started: it serves where it is until it has moved."""
    node: str
    """Where it is; empty while it is nowhere."""
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class Disk:
    """What Elasticsearch says of a data node's volume, in bytes, and how many shards are on it."""

    total: int
    free: int
    shards: int


@dataclass(frozen=True, slots=True)
class Shutdown:
    """A node's entry in the node shutdown API."""

    node_id: str
    reason: str
    """Whose it is and which node it means: the API keeps no name, and a node may be away."""
    complete: bool
    explanation: str = ""
    """Why it is not complete."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A snapshot in the repository."""

    name: str
    state: str
    """SUCCESS, PARTIAL, FAILED, IN_PROGRESS or what else Elasticsearch calls it."""
    start: str
    """When it was begun, as RFC 3339 in UTC."""
    end: str
    """When it ended; empty while it has not."""
    indices: tuple[str, ...]
    cluster: str = ""
    """Namespace and name of the MatchCluster whose it is, as it was written there; empty for none."""
    scheduled: bool = False
    """Whether the schedule made it, not a MatchSnapshot."""
    reason: str = ""
    """Why it failed."""


@dataclass(frozen=True, slots=True)
class Repository:
    """A snapshot repository and what of ours is in it."""

    name: str
    body: Json | None
    """Its type and settings as registered; None where it is not."""
    snapshots: tuple[Snapshot, ...] = ()
    silence: str = ""
    """Why its snapshots cannot be listed, in Elasticsearch's words."""

    def find(self, name: str) -> Snapshot | None:
        """A snapshot by its name."""
        return next((s for s in self.snapshots if s.name == name), None)


@dataclass(frozen=True, slots=True)
class Glance:
    """What of an Elasticsearch concerns one collection most; each field is ``Elastic``'s."""

    health: str
    indices: Mapping[str, Json]
    spare: Mapping[str, Json]
    documents: int


@dataclass(frozen=True, slots=True)
class Elastic:
    """An Elasticsearch cluster that answered."""

    uuid: str
    """Empty until a master was elected for the first time."""
    health: str
    moving_shards: int
    """Shards that are relocating, initializing, or being looked for on the nodes' disks."""
    nodes: Mapping[str, Node]
    """Members by name."""
    master: str
    """Name of the elected master."""
    template: Json | None
    """The index template of the alias, as stored."""
    indices: Mapping[str, Json]
    """Settings, mappings and aliases by name of every index behind the alias."""
    documents: int
    review: bool = True
    """Whether there is the index in which reviews of duplicates are kept."""
    spare: Mapping[str, Json] = field(default_factory=dict)
    """Likewise of our backing indices not behind it: the target of a move, or a source that was left."""
    copied: int = 0
    """Images in the newest of these."""
    shards: tuple[Shard, ...] = ()
    disks: Mapping[str, Disk] = field(default_factory=dict)
    """By name of data node."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """Persistent cluster settings by dotted name."""
    overrides: Mapping[str, str] = field(default_factory=dict)
    """Transient cluster settings, which win over the persistent ones. The operator sets none."""
    voters: frozenset[str] = frozenset()
    """Ids of the nodes whose votes elect a master."""
    excluded_voters: tuple[str, ...] = ()
    """Names of the nodes that were asked to give up their vote."""
    shutdowns: tuple[Shutdown, ...] | None = None
    """Entries of the node shutdown API; None where the server does not offer it."""
    unassigned: str = ""
    """Why a shard copy that is nowhere goes nowhere, in Elasticsearch's words."""
    stuck: str = ""
    """Why a shard that should leave a node cannot, in Elasticsearch's words."""
    repository: Repository | None = None
    """The repository that the spec names; None where it names none."""
    restored: Mapping[str, bool] = field(default_factory=dict)
    """By name of index into which a snapshot is restored: whether all its shards are there."""

    @property
    def glance(self) -> Glance:
        """What a glance would have seen."""
        return Glance(self.health, self.indices, self.spare, self.documents)


@dataclass(frozen=True, slots=True)
class Rewritten:
    """What became of values of an object as soon as it was applied, so that another apply mends nothing.

    The API server drops some empty values and fills others in, and webhooks change what they like.
    """

    fingerprint: str
    """Of the object that was applied."""
    values: Mapping[str, Any]
    """By path; None where nothing was left."""


@dataclass(frozen=True, slots=True)
class Observed:
    """Children by kind and name, and Elasticsearch where it answered."""

    children: Mapping[Ref, Json]
    elastic: Elastic | None = None
    silence: str = "no Elasticsearch node is ready yet"
    """Why ``elastic`` is None."""
    status: Json = field(default_factory=dict)
    """The status written last."""
    requests: tuple[Json, ...] = ()
    """MatchSnapshots and MatchRestores that name the cluster."""
    now: datetime = EPOCH
    """When this was seen."""
    given: Mapping[str, Json | None] = field(default_factory=dict)
    """The user's own Secrets that the spec names, by name; None where there is none of that name."""
    rewritten: Mapping[Ref, Rewritten] = field(default_factory=dict)
    """What the API server made of the last apply of a child."""

    def of_kind(self, kind: str) -> list[Json]:
        """Children of a kind, by name."""
        return [item for (k, _), item in sorted(self.children.items()) if k == kind]

    def pods(self, component: str) -> list[Json]:
        """Pods of a component, by name."""
        return [
            p for p in self.of_kind("Pod") if p["metadata"]["labels"].get(names.COMPONENT_LABEL) == component
        ]

    def pod(self, name: str) -> Json | None:
        """A pod by its name."""
        return self.children.get(("Pod", name))

    def works(self, name: str) -> bool:
        """Whether an Elasticsearch node is ready in Kubernetes and a member in Elasticsearch."""
        pod = self.pod(name)
        return pod is not None and is_ready(pod) and self.elastic is not None and name in self.elastic.nodes

    def secret(self, name: str) -> Json | None:
        """A Secret of ours by its name."""
        return self.children.get(("Secret", name))

    @property
    def restoring(self) -> frozenset[str]:
        """Indices into which a snapshot is being restored; nothing else is done with them."""
        return frozenset(
            status["index"]
            for item in self.requests
            for status in [item.get("status") or {}]
            if item["kind"] == names.RESTORE_KIND and status.get("phase") == "Restoring"
        )


def text(secret: Json | None, key: str) -> str:
    """What a Secret holds under ``key``; empty where it holds nothing or nothing that is text."""
    try:
        return base64.b64decode((secret or {}).get("data", {}).get(key) or "", validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""


def controller_uid(item: Json) -> str | None:
    """UID of the object's controller."""
    owner = _controller(item)
    return owner["uid"] if owner else None


def is_somebody_elses(item: Json) -> bool:
    """Whether a controller that is no MatchCluster made an object, which has our label all the same.

    Pods are their StatefulSet's and ReplicaSet's, and so may volumes be.
    """
    owner = _controller(item)
    if owner is None or item["kind"] in ("Pod", "PersistentVolumeClaim"):
        return False
    return owner["kind"] != names.KIND or not owner["apiVersion"].startswith(f"{names.GROUP}/")


def _controller(item: Json) -> Json | None:
    owners = item["metadata"].get("ownerReferences") or []
    return next((o for o in owners if o.get("controller")), None)


def fingerprint(item: Json) -> str:
    """Of what was applied as this object; empty where it was not the operator."""
    value: str = (item["metadata"].get("annotations") or {}).get(names.APPLIED_ANNOTATION, "")
    return value


def is_ready(pod: Json) -> bool:
    """Whether a pod is Ready and stays."""
    conditions = pod.get("status", {}).get("conditions") or []
    return not is_terminating(pod) and any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def is_terminating(pod: Json) -> bool:
    """Whether a pod is being deleted."""
    return bool(pod["metadata"].get("deletionTimestamp"))


def problem(pod: Json) -> str:
    """Why a pod is not ready, in the scheduler's or the kubelet's words; empty while nothing is wrong."""
    status = pod.get("status", {})
    for condition in status.get("conditions") or []:
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return f"it cannot be scheduled: {condition.get('message', condition.get('reason', ''))}"
        if is_terminating(pod) and condition.get("reason") == "DeletionByTaintManager":
            node = pod.get("spec", {}).get("nodeName", "")
            return (
                f"its Kubernetes node {node} is lost or being emptied; it comes back with the node, or on "
                f"another one once a node that is gone for good is forgotten: kubectl delete node {node}"
            )
    for container in [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]:
        waiting = container.get("state", {}).get("waiting") or {}
        last = container.get("lastState", {}).get("terminated") or {}
        if waiting.get("reason") in (None, "ContainerCreating", "PodInitializing"):
            continue
        # A container writes its last words for the kubelet, if anything; the kubelet says only that it waits.
        exited = (
            f" after exit code {last['exitCode']} ({last.get('reason', '')})" if "exitCode" in last else ""
        )
        last_words = (last.get("message") or "").strip().rpartition("\n")[2][:300]
        said = last_words or waiting.get("message", "")
        return f"{waiting['reason']}{exited}: {said}".rstrip(": ")
    return ""
