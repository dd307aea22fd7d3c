"""What the operator can do: small steps, each of which may be repeated, or lost in a crash.

Each says in words what it does, for logs and events, and by what reason an event calls it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from match_operator.plan.index_steps import IndexStep

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class KeepResolved:
    """Write the resolved versions and images to the MatchCluster."""

    annotation: str
    reason = "Resolving"

    def __str__(self) -> str:
        return "keeping the resolved versions and images with the object"


@dataclass(frozen=True, slots=True)
class Apply:
    """Server-side apply of a child."""

    item: Json
    why: str
    """"missing", "changed", or the path that drifted."""

    @property
    def reason(self) -> str:
        """By what reason an event calls it."""
        return "Applying" if self.why in ("missing", "changed") else "Repairing"

    def __str__(self) -> str:
        verb = {"missing": "creating", "changed": "updating"}.get(self.why, f"repairing {self.why} of")
        return f"{verb} {_called(self.item)}"


@dataclass(frozen=True, slots=True)
class Remove:
    """Delete a child that is no longer wanted."""

    item: Json
    reason = "Removing"

    def __str__(self) -> str:
        return f"removing {_called(self.item)}"


@dataclass(frozen=True, slots=True)
class ReplacePod:
    """Delete a pod so that its StatefulSet makes it anew from the current template."""

    pod: Json
    why: str
    reason = "ReplacingNode"

    def __str__(self) -> str:
        return f"replacing pod {self.pod['metadata']['name']}, because {self.why}"


@dataclass(frozen=True, slots=True)
class ChangeSettings:
    """Change persistent settings of the Elasticsearch cluster, all or none; None removes one."""

    settings: Mapping[str, str | None]
    why: str
    reason = "MovingShards"

    def __str__(self) -> str:
        return self.why


@dataclass(frozen=True, slots=True)
class Flush:
    """Write what is in memory to disk, so that shards are quickly back after a restart."""

    reason = "ReplacingNode"

    def __str__(self) -> str:
        return "flushing all indices"


@dataclass(frozen=True, slots=True)
class PutShutdown:
    """Tell Elasticsearch that a node will be restarted."""

    node: str
    node_id: str
    reason = "ReplacingNode"

    def __str__(self) -> str:
        return f"preparing node {self.node} for its restart"


@dataclass(frozen=True, slots=True)
class DropShutdown:
    """Tell Elasticsearch that a node's restart is over, or will not be."""

    node: str
    node_id: str
    reason = "ReplacingNode"

    def __str__(self) -> str:
        return f"ending the restart of node {self.node}"


@dataclass(frozen=True, slots=True)
class ExcludeVoter:
    """Have a node give up its vote, so that its going cannot cost a majority."""

    node: str
    reason = "RemovingNode"

    def __str__(self) -> str:
        return f"taking the vote of node {self.node}"


@dataclass(frozen=True, slots=True)
class DropVotes:
    """Have the votes of nodes that will not come back count no more."""

    node_ids: tuple[str, ...]
    reason = "RemovingNode"

    def __str__(self) -> str:
        return f"dropping the votes of masters that are gone for good: {', '.join(self.node_ids)}"


@dataclass(frozen=True, slots=True)
class AdmitVoters:
    """Let every node vote again."""

    nodes: tuple[str, ...]
    reason = "RemovingNode"

    def __str__(self) -> str:
        return f"forgetting that {', '.join(self.nodes)} gave up their votes"


@dataclass(frozen=True, slots=True)
class Shrink:
    """Lower a StatefulSet's replicas, only if it is as it was seen."""

    item: Json
    replicas: int
    policy: str
    """Retain or Delete: what becomes of its volumes; empty leaves that as it is."""
    reason = "RemovingNode"

    def __str__(self) -> str:
        return f"removing node {self.item['metadata']['name']}-{self.replicas}"


@dataclass(frozen=True, slots=True)
class GrowVolume:
    """Ask for a larger volume."""

    claim: Json
    size: str
    reason = "GrowingVolume"

    def __str__(self) -> str:
        return f"growing volume {self.claim['metadata']['name']} to {self.size}"


@dataclass(frozen=True, slots=True)
class Recreate:
    """Delete a StatefulSet but not its pods, so that it can be made anew around them."""

    item: Json
    reason = "GrowingVolume"

    def __str__(self) -> str:
        return f"making {_called(self.item)} anew around its pods, since its volumes grew"


Step = (
    IndexStep
    | KeepResolved
    | Apply
    | Remove
    | ReplacePod
    | ChangeSettings
    | Flush
    | PutShutdown
    | DropShutdown
    | ExcludeVoter
    | DropVotes
    | AdmitVoters
    | Shrink
    | GrowVolume
    | Recreate
)


@dataclass(frozen=True, slots=True)
class Problem:
    """Something only the user can mend; ``message`` says how."""

    reason: str
    message: str
    node_set: str = ""
    """Node set that stays as it is meanwhile; "*" means all of them."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps to take now, in order; what cannot be done; what the next step waits for."""

    steps: tuple[Step, ...] = ()
    problems: tuple[Problem, ...] = ()
    waiting_for: str = ""
    aside: tuple[Step, ...] = ()
    """Steps for snapshots: what serves does not depend on them, so nothing waits for them."""
    trouble: str = ""
    """Why one of these could not be taken."""
    otherwise: tuple[Step, ...] = ()
    """Steps to take where none of the changes of a StatefulSet could be made."""


def _called(item: Json) -> str:
    return f"{item['kind']} {item['metadata']['name']}"
