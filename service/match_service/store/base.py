"""What the service asks of a store; every store passes tests/contract/test_store.py."""

from collections.abc import Iterable, Sequence
from typing import Final, Protocol, TypeAlias

from match_service.model import Match, Record, Stored, Views
from match_service.store.review import Review

Facts: TypeAlias = dict[str, str | int]
Change: TypeAlias = tuple[int, ...]
"""Numbers by which a store knows one change of a filepath from all later ones."""

DISTANCE_CUTOFF: Final = 0.45
"""image-match's default: farther images are not matches."""


class Store(Protocol):
    """Signatures by filepath, searchable by distance.

    Methods raise ``StoreUnavailableError`` where the store cannot be reached or cannot
    promise the answer; an acknowledged ``add`` or ``delete`` is durable and seen by every later call.
    """

    @property
    def review(self) -> Review:
        """Where duplicates are looked for."""

    def add(self, record: Record) -> None:
        """Keep ``record``, replacing whatever its filepath held, in one atomic step."""

    def add_new(self, record: Record) -> Change | None:
        """Keep ``record`` unless its filepath holds an image, in one atomic step; None if it does."""

    def withdraw(self, filepath: str, change: Change) -> bool:
        """Forget what ``add_new`` kept, unless the filepath has changed since; whether it had not."""

    def add_many(self, records: Iterable[Record], *, visible: bool = False) -> dict[str, str]:
        """Keep ``records`` durably, much faster than one by one; by filepath why some were not kept.

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

    def search(
        self, views: Views, *, cutoff: float = DISTANCE_CUTOFF, limit: int | None = None
    ) -> list[Match]:
        """Images nearer than ``cutoff`` to any of the views, nearest first, each once with its best view.

        Equal distances are ordered by filepath, so that an answer never depends on chance. With ``limit``
        only the first so many, which may be much quicker.
        """

    def count(self) -> int:
        """Number of images."""

    def filepaths(self, offset: int, limit: int) -> list[str]:
        """A page of all filepaths in code-point order; any offset is allowed."""

    def check(self) -> Facts:
        """How searches are answered now: ``search`` names the way, numbers say what with.

        Raises ``StoreUnavailableError`` if they cannot be answered.
        """

    def close(self) -> None:
        """Release files and connections; the store is not used afterwards."""
