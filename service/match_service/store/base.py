"""What the service asks of a store; every store passes tests/contract/test_store.py."""

from collections.abc import Iterable, Sequence
from typing import Final, Protocol

from match_service.model import Match, Record, Stored, Views

DISTANCE_CUTOFF: Final = 0.45
"""image-match's default: farther images are not matches."""


class Store(Protocol):
    """Signatures by filepath, searchable by distance.

    Methods raise ``StoreUnavailableError`` where the store cannot be reached or cannot
    promise the answer; an acknowledged ``add`` or ``delete`` is durable and seen by every later call.
    """

    def add(self, record: Record) -> None:
        """Keep ``record``, replacing whatever its filepath held, in one atomic step."""

    def add_new(self, record: Record) -> bool:
        """Keep ``record`` unless its filepath holds an image, in one atomic step; whether it was kept."""

    def add_many(self, records: Iterable[Record], *, visible: bool = False) -> None:
        """Keep all of ``records`` durably; much faster than one by one.

        If it raises, some may have been kept and others not; adding them all again is harmless. Every later
        call sees them only with ``visible``, as a store may be slow to show much at once.
        """

    def get(self, filepath: str) -> Stored | None:
        """What exactly ``filepath`` holds, None for nothing."""

    def page(self, after: str | None, limit: int) -> list[Stored]:
        """Up to ``limit`` images whose filepaths follow ``after`` in code-point order; None is the start.

        Page by page this reaches every image that is there from the first page to the last.
        """

    def delete(self, filepath: str) -> bool:
        """Forget exactly ``filepath``; whether there was anything to forget."""

    def delete_many(self, filepaths: Sequence[str]) -> int:
        """Forget all of ``filepaths``, at most 1,000; how many there were."""

    def search(self, views: Views, *, cutoff: float = DISTANCE_CUTOFF) -> list[Match]:
        """Images nearer than ``cutoff`` to any of the views, nearest first, each once with its best view.

        Equal distances are ordered by filepath, so that an answer never depends on chance.
        """

    def count(self) -> int:
        """Number of images."""

    def filepaths(self, offset: int, limit: int) -> list[str]:
        """A page of all filepaths in code-point order; any offset is allowed."""

    def check(self) -> None:
        """Return if searches can be answered now, else raise ``StoreUnavailableError``."""

    def close(self) -> None:
        """Release files and connections; the store is not used afterwards."""
