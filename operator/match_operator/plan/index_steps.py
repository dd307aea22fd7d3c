"""What the operator can do to the index: make it, move it, keep it in snapshots and take it from there.

As ``steps`` has it, each may be repeated, or lost in a crash, and says in words what it does.
"""

from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class PutTemplate:
    """Create or replace the index template."""

    name: str
    body: Json
    reason = "UpdatingIndex"

    def __str__(self) -> str:
        return f"writing index template {self.name}"


@dataclass(frozen=True, slots=True)
class CreateIndex:
    """Create a backing index, the first one together with its alias; or the index of reviews."""

    name: str
    body: Json
    reason = "UpdatingIndex"

    def __str__(self) -> str:
        return f"creating index {self.name}"


@dataclass(frozen=True, slots=True)
class AbandonIndex:
    """Give up a move: the source stays the collection."""

    alias: str
    source: str
    targets: tuple[str, ...]
    """All in one request, so that no mover that lives on switches to another of them."""
    reason = "MovingIndex"

    def __str__(self) -> str:
        return f"giving up the move to index {', '.join(self.targets)}; {self.source} stays"


@dataclass(frozen=True, slots=True)
class AllowWrites:
    """Lift what a move that ended in the middle has left on the collection; fails if its mover goes on."""

    alias: str
    index: str
    target: str = ""
    badges: tuple[str, ...] = ()
    """Of the movers to ``target``, taken from it in the same request."""
    reason = "MovingIndex"

    def __str__(self) -> str:
        return f"letting index {self.index} take writes again"


@dataclass(frozen=True, slots=True)
class DropIndex:
    """Delete the index that all images have been moved from."""

    name: str
    current: str
    reason = "MovingIndex"

    def __str__(self) -> str:
        return f"deleting index {self.name}, all of whose images are in {self.current}"


@dataclass(frozen=True, slots=True)
class MarkIndex:
    """Say in an index of a shared Elasticsearch whose it is."""

    name: str
    meta: Json
    """All of the mapping's ``_meta``."""
    reason = "UpdatingIndex"

    def __str__(self) -> str:
        return f"marking index {self.name} as this MatchCluster's"


@dataclass(frozen=True, slots=True)
class UpdateIndex:
    """Change dynamic settings of a backing index."""

    name: str
    settings: Json
    reason = "UpdatingIndex"

    def __str__(self) -> str:
        return f"setting {', '.join(f'{k} to {v}' for k, v in self.settings.items())} on index {self.name}"


@dataclass(frozen=True, slots=True)
class PutRepository:
    """Register a snapshot repository, or change how it is registered."""

    name: str
    body: Json
    reason = "Snapshotting"

    def __str__(self) -> str:
        return f"registering the snapshot repository {self.name}"


@dataclass(frozen=True, slots=True)
class TakeSnapshot:
    """Begin a snapshot of an index; one of the name that exists stays as it is."""

    repository: str
    name: str
    index: str
    metadata: Json
    reason = "Snapshotting"

    def __str__(self) -> str:
        return f"making the snapshot {self.name} of index {self.index}"


@dataclass(frozen=True, slots=True)
class DropSnapshots:
    """Delete snapshots that are no longer kept."""

    repository: str
    names: tuple[str, ...]
    reason = "Snapshotting"

    def __str__(self) -> str:
        return f"deleting {', '.join(self.names)} from the snapshot repository"


@dataclass(frozen=True, slots=True)
class RestoreSnapshot:
    """Begin to restore the one index of a snapshot under another name, behind no alias."""

    repository: str
    name: str
    source: str
    target: str
    settings: Json
    reason = "Restoring"

    def __str__(self) -> str:
        return f"restoring the snapshot {self.name} into index {self.target}"


@dataclass(frozen=True, slots=True)
class SwitchIndex:
    """Move the alias from one index to another in one step; fails if it is elsewhere."""

    alias: str
    source: str
    target: str
    reason = "Restoring"

    def __str__(self) -> str:
        return f"moving the alias {self.alias} from index {self.source} to {self.target}"


@dataclass(frozen=True, slots=True)
class DropReplaced:
    """Delete an index that a restore has replaced, or one that was not to be restored."""

    name: str
    why: str
    reason = "Restoring"

    def __str__(self) -> str:
        return f"deleting index {self.name}, {self.why}"


IndexStep = (
    PutTemplate
    | CreateIndex
    | AbandonIndex
    | AllowWrites
    | DropIndex
    | MarkIndex
    | UpdateIndex
    | PutRepository
    | TakeSnapshot
    | DropSnapshots
    | RestoreSnapshot
    | SwitchIndex
    | DropReplaced
)
