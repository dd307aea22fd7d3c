"""What a reconcile saw of the world, read once at its beginning and never written to."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from match_operator import names

Json = dict[str, Any]
Ref = tuple[str, str]
"""Kind and name."""


@dataclass(frozen=True, slots=True)
class Elastic:
    """An Elasticsearch cluster that answered."""

    uuid: str
    """Empty until a master was elected for the first time."""
    health: str
    moving_shards: int
    """Shards that are relocating or initializing."""
    nodes: Mapping[str, str]
    """Versions by name of node."""
    template: Json | None
    """The index template of the alias, as stored."""
    indices: Mapping[str, Json]
    """Settings, mappings and aliases by name of every index behind the alias."""
    documents: int


@dataclass(frozen=True, slots=True)
class Observed:
    """Children by kind and name, and Elasticsearch where it answered."""

    children: Mapping[Ref, Json]
    elastic: Elastic | None = None
    silence: str = "no Elasticsearch node is ready yet"
    """Why ``elastic`` is None."""
    status: Json = field(default_factory=dict)
    """The status written last."""

    def of_kind(self, kind: str) -> list[Json]:
        """Children of a kind, by name."""
        return [item for (k, _), item in sorted(self.children.items()) if k == kind]

    def pods(self, component: str) -> list[Json]:
        """Pods of a component, by name."""
        return [
            p for p in self.of_kind("Pod") if p["metadata"]["labels"].get(names.COMPONENT_LABEL) == component
        ]

    @property
    def formed(self) -> bool:
        """Whether Elasticsearch has ever elected a master, now or by our own record."""
        if self.elastic and self.elastic.uuid:
            return True
        if self.status.get("elasticsearch", {}).get("clusterUUID"):
            return True
        configs = [c for c in self.of_kind("ConfigMap") if names.NODE_SET_LABEL in c["metadata"]["labels"]]
        return bool(configs) and not any(
            "cluster.initial_master_nodes" in c.get("data", {}).get(names.CONFIG_KEY, "") for c in configs
        )


def controller_uid(item: Json) -> str | None:
    """UID of the object's controller."""
    owners = item["metadata"].get("ownerReferences") or []
    return next((o["uid"] for o in owners if o.get("controller")), None)


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
    for container in [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]:
        waiting = container.get("state", {}).get("waiting") or {}
        last = container.get("lastState", {}).get("terminated") or {}
        if waiting.get("reason") in (None, "ContainerCreating", "PodInitializing"):
            continue
        exited = (
            f" after exit code {last['exitCode']} ({last.get('reason', '')})" if "exitCode" in last else ""
        )
        return f"{waiting['reason']}{exited}: {waiting.get('message', '')}".rstrip(": ")
    return ""
