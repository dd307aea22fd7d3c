"""Moving a collection to another index while it is read, added to and deleted from; nothing is lost.

It exists because ``_reindex`` copies what was there when it began: it carries neither later writes nor
deletes, nor the words, which no ``_source`` holds. docs/design/migration.md has the protocol and why it
is right; this file is the protocol and nothing else, so that a test can run it against a model of two
indices through every interleaving and crash. ``store/indices.py`` does its steps in Elasticsearch.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple, Protocol

FEW_CHANGES: Final = 1_000
"""A round that copied no more than this leaves so little that writers may be asked to wait."""
MOST_ROUNDS: Final = 50
"""Rounds before writers are asked to wait however many changes still come."""
FENCES: Final = 5
"""Attempts to finish under the fence; each one is given up rather than keep writers waiting."""
RANGE_IMAGES: Final = 10_000

log = logging.getLogger("match_service")


class Change(NamedTuple):
    """A document as it was left by the change number ``seq_no`` of its shard."""

    id: str
    seq_no: int
    document: dict[str, Any]


class Surplus(NamedTuple):
    """A document of the target that the source no longer has, as it was found."""

    id: str
    seq_no: int
    primary_term: int


class Count(NamedTuple):
    """Documents of a range of filepaths in both indices."""

    source: int
    target: int


class GaveUpError(Exception):
    """The collection could not be moved now: the source serves as before, and the next try goes on."""


class Indices(Protocol):
    """The two indices of a move; each method is one step that may be repeated, and may be the last one."""

    def switched(self) -> bool:
        """Whether the alias is on the target already."""

    def take_over(self) -> None:
        """Become the one mover and lift the fence of who was it before, nothing of whom is under way then."""

    def saved(self) -> list[int]:
        """Per source shard the change up to which everything was copied; -1 for none."""

    def save(self, seen: Sequence[int]) -> None:
        """Remember ``seen`` for a successor."""

    def checkpoints(self) -> list[int]:
        """Per source shard a change up to which none can be taken back and all are visible in every copy."""

    def changes(self, shard: int, after: int, until: int) -> Iterator[list[Change]]:
        """Documents as they are, in order of their last change n, where ``after`` < n <= ``until``."""

    def put(self, changes: Iterable[Change]) -> None:
        """Write into the target where it holds nothing newer of the document. Fails once taken over."""

    def show(self) -> None:
        """Make all that was put or removed visible in every copy of the target."""

    def bounds(self, images: int) -> list[str]:
        """Filepaths that cut the target into ranges of about ``images``."""

    def count(self, low: str | None, high: str | None) -> Count:
        """How many visible documents have ``low`` <= filepath < ``high``; None is unbounded."""

    def surplus(self, low: str | None, high: str | None) -> list[Surplus]:
        """Documents that the target has and, asked afterwards, the source has not."""

    def remove(self, surplus: Iterable[Surplus]) -> None:
        """Delete from the target those that are still as they were found. Fails once taken over."""

    def fence(self) -> None:
        """From the return on no write reaches the source; writers wait. Fails if another has taken over."""

    def unfence(self) -> None:
        """Let writers write into the source again. Fails if another has taken over."""

    def unequal(self) -> list[str]:
        """Filepaths, of a random sample of the source, whose document in the target is not the same."""

    def switch(self) -> None:
        """Put the alias on the target in one step. Fails if another has taken over."""


class Mover:
    """Carries the collection over; a new one goes on where one that died has stopped."""

    def __init__(self, indices: Indices) -> None:
        self._indices = indices
        self._seen: list[int] = []
        self._bounds: list[str] = []

    def run(self) -> None:
        """Return when the alias is on the target; raises ``GaveUpError`` and what the steps raise."""
        if self._indices.switched():
            return
        self._indices.take_over()
        self._seen = self._indices.saved()
        for number in range(MOST_ROUNDS):
            copied = self._copy()
            log.info("Round %d of the move copied %d images.", number + 1, copied)
            if copied <= FEW_CHANGES:
                break
        self._bounds = self._indices.bounds(RANGE_IMAGES)
        self._remove_surplus()
        for _ in range(FENCES):
            if self._finish():
                return
            self._copy()
            self._remove_surplus()
        raise GaveUpError("The two indices never came to hold the same images.")

    def _copy(self) -> int:
        """Copy what has changed since the last time; how many images that were."""
        copied = 0
        checkpoints = self._indices.checkpoints()
        for shard, until in enumerate(checkpoints):
            if until < self._seen[shard]:
                raise GaveUpError("The source was restored from a snapshot during the move.")
            for page in self._indices.changes(shard, self._seen[shard], until):
                self._indices.put(page)
                copied += len(page)
                self._seen[shard] = page[-1].seq_no
                self._indices.save(self._seen)
            self._seen[shard] = until
        self._indices.save(self._seen)
        self._indices.show()
        return copied

    def _remove_surplus(self) -> None:
        """Delete what was deleted from the source, which shows in no change: only a count betrays it."""
        edges: list[str | None] = [None, *self._bounds, None]
        for low, high in self._differing(edges):
            self._indices.remove(self._indices.surplus(low, high))
        self._indices.show()

    def _differing(self, edges: list[str | None]) -> Iterator[tuple[str | None, str | None]]:
        """Of the ranges between ``edges``, those of unequal counts, found by halving."""
        count = self._indices.count(edges[0], edges[-1])
        if count.source == count.target:
            return
        if len(edges) == 2:
            yield edges[0], edges[1]
            return
        middle = len(edges) // 2
        yield from self._differing(edges[: middle + 1])
        yield from self._differing(edges[middle:])

    def _finish(self) -> bool:
        """Under the fence: copy the rest, and switch if the target then is the source."""
        self._indices.fence()
        switched = False
        try:
            self._copy()
            self._remove_surplus()
            # All of the source is in the target now; so equal numbers mean equal sets.
            count = self._indices.count(None, None)
            if count.source == count.target:
                if unequal := self._indices.unequal():
                    raise GaveUpError(f"{unequal[0]} is not the same in both indices.")
                self._indices.switch()
                switched = True
        finally:
            if not switched:
                self._indices.unfence()
        return switched
