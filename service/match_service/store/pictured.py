"""A store beside which thumbnails are kept: whatever adds or deletes images, their pictures follow.

A picture that cannot be kept is only missed, for the image is added already. One that cannot be deleted
keeps its image from being deleted: what was deleted is nowhere any more.
"""

import logging
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from match_service.errors import StoreUnavailableError
from match_service.model import Match, Record, Stored, Views
from match_service.store.base import DISTANCE_CUTOFF, Change, Facts, Store
from match_service.store.review import Review
from match_service.thumbnails import Thumbnails

WRITERS: Final = 8
"""Pictures of a batch on their way at once: an object store takes its time for each."""

log = logging.getLogger(__name__)


class PicturedStore:
    """``store`` with ``thumbnails``, as a ``Store``."""

    def __init__(self, store: Store, thumbnails: Thumbnails) -> None:
        self._store = store
        self._thumbnails = thumbnails

    @property
    def review(self) -> Review:
        return self._store.review

    def add(self, record: Record) -> None:
        self._store.add(record)
        self._keep(record)

    def add_new(self, record: Record) -> Change | None:
        added = self._store.add_new(record)
        if added:
            self._keep(record)
        return added

    def withdraw(self, filepath: str, change: Change) -> bool:
        withdrawn = self._store.withdraw(filepath, change)
        if withdrawn:  # only now: the picture may be that of another image
            self._thumbnails.delete(filepath)
        return withdrawn

    def add_many(self, records: Iterable[Record], *, visible: bool = False) -> dict[str, str]:
        batch = list(records)
        refused = self._store.add_many(batch, visible=visible)
        last = {record.filepath: record for record in batch if record.filepath not in refused}
        with ThreadPoolExecutor(WRITERS) as pool:
            list(pool.map(self._keep, last.values()))
        return refused

    def get(self, filepath: str) -> Stored | None:
        return self._store.get(filepath)

    def page(self, after: str | None, limit: int) -> list[Stored]:
        return self._store.page(after, limit)

    def delete(self, filepath: str) -> bool:
        self._thumbnails.delete(filepath)
        return self._store.delete(filepath)

    def delete_many(self, filepaths: Sequence[str]) -> int:
        for filepath in filepaths:
            self._thumbnails.delete(filepath)
        return self._store.delete_many(filepaths)

    def search(
        self, views: Views, *, cutoff: float = DISTANCE_CUTOFF, limit: int | None = None
    ) -> list[Match]:
        return self._store.search(views, cutoff=cutoff, limit=limit)

    def count(self) -> int:
        return self._store.count()

    def filepaths(self, offset: int, limit: int) -> list[str]:
        return self._store.filepaths(offset, limit)

    def check(self) -> Facts:
        return self._store.check()

    def close(self) -> None:
        self._store.close()

    def _keep(self, record: Record) -> None:
        """Keep the record's picture; of one without, the picture of what it replaced goes."""
        try:
            if record.thumbnail is None:
                self._thumbnails.delete(record.filepath)
            else:
                self._thumbnails.put(record.filepath, record.thumbnail)
        except StoreUnavailableError as error:
            log.warning("No thumbnail was kept: %s", error)
