"""What a store gives and keeps for reviewing duplicates: its signatures at one moment, and a job's state.

The state is in the store and not in a process, so that whichever replica is asked knows it. There is one job
for a collection at a time.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from match_service.engine import scan
from match_service.model import Json

SILENT_SECONDS: Final = 60.0
"""A job of which nothing was heard for so long has died with its process."""

State = Literal["running", "done", "failed", "cancelled"]


@dataclass(frozen=True, slots=True)
class Job:
    """One search for duplicates."""

    id: str
    state: State
    min_score: float
    all_orientations: bool
    progress: float = 0.0
    """Share of the comparisons that are made, 0..1."""
    images: int = 0
    groups: int = 0
    started: float = 0.0
    """Seconds since 1970."""
    seen: float = 0.0
    """When its process last wrote, in the same seconds."""
    error: str = ""
    """One sentence where it failed."""

    @property
    def lives(self) -> bool:
        """Whether a process is still at it, by all that can be known."""
        return self.state == "running" and time.time() - self.seen < SILENT_SECONDS

    def told(self) -> "Job":
        """The job as a reader should see it: one that has died has failed."""
        if self.state == "running" and not self.lives:
            return replace(
                self, state="failed", error="The process that was at it has ended; start it again."
            )
        return self

    def body(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Member:
    """An image of a group."""

    filepath: str
    sha256: str
    score: float
    """That of the image of the group which is most like it."""


Group = list[Member]


@dataclass(frozen=True, slots=True)
class Image:
    """What a store knows of an image besides its signature."""

    filepath: str
    sha256: str
    metadata: Json = None


@dataclass(frozen=True, slots=True)
class Collection:
    """All signatures at one moment."""

    parts: Sequence[scan.Rows]
    images: Callable[[NDArray[np.int64]], list[Image | None]]
    """The images of rows (in the order of the parts); None for one that is gone or was replaced since."""


class Review(Protocol):
    """Where duplicates are looked for; methods raise ``StoreUnavailableError`` as a store's do."""

    def collection(self) -> Collection:
        """Everything there is now."""

    def known(self, filepaths: Sequence[str]) -> dict[str, Image]:
        """Those of the images that are there now."""

    def job(self) -> Job | None:
        """The last job, if there was one."""

    def begin(self, job: Job) -> Job:
        """Make ``job`` the last one and forget the groups of others, in one step; returns it.

        While another still runs, nothing changes and that one is returned.
        """

    def update(self, job: Job) -> bool:
        """Replace the job of this id by its new state; False if it is not the last or no longer runs."""

    def keep_groups(self, job: Job, groups: Sequence[Group]) -> None:
        """Keep the groups of a job, in their order."""

    def groups(self, job: Job, offset: int, limit: int) -> list[Group]:
        """A page of the groups kept of a job."""
