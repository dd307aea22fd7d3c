"""The store for one machine: nothing to install, exact answers, a single file that survives a crash.

The file is the truth. Every process keeps the packed signatures in memory, reads what others have
changed before each answer, and compares the query with every one of them.
"""

import json
import sqlite3
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from match_service.engine import scan
from match_service.model import Json, Match, Record, Stored, Views
from match_service.store.base import DISTANCE_CUTOFF, Change, Facts
from match_service.store.database import Database
from match_service.store.memory import Found, SignatureTable, Snapshot
from match_service.store.ranking import rank
from match_service.store.review_embedded import EmbeddedReview
from match_service.store.together import Together

KEPT_REMOVALS: Final = 100_000
"""Removals that stay listed; a process that has missed more reads all signatures anew."""

_LOAD_ROWS: Final = 65536
_LOOKUP_ROWS: Final = 500
_MAX_INTEGER: Final = 2**63 - 1


class EmbeddedStore:
    """A ``Store`` in one SQLite file, shared by the threads of this and by other processes."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._adds = Together(self.add_many)
        self.review = EmbeddedReview(database, self._snapshot)
        self._reset()
        with database.read() as connection:
            self._catch_up(connection)

    @classmethod
    def open(cls, path: str | Path) -> "EmbeddedStore":
        """Open or make the file at ``path``; ``StoreUnavailableError`` says why it cannot be used.

        To be called in the process that uses the store, not before a fork.
        """
        return cls(Database(Path(path)))

    def add(self, record: Record) -> None:
        """Keep ``record``, replacing what its filepath held; it is on the disk when this returns."""
        self._adds.put(record)

    def add_new(self, record: Record) -> Change | None:
        """Keep ``record`` unless its filepath holds an image."""
        half = scan.pack_halves(record.signature[None, :])[0]
        with self._database.write() as connection:
            if connection.execute("SELECT 1 FROM image WHERE filepath = ?", (record.filepath,)).fetchone():
                return None
            return (_insert(connection, record, half.tobytes(), time.time()),)

    def withdraw(self, filepath: str, change: Change) -> bool:
        """Forget what ``add_new`` kept, unless the filepath has changed since."""
        with self._database.write() as connection:
            row = connection.execute("SELECT sequence FROM image WHERE filepath = ?", (filepath,)).fetchone()
            return row == change and _remove(connection, filepath)

    def add_many(self, records: Iterable[Record], *, visible: bool = False) -> dict[str, str]:  # noqa: ARG002
        """Keep all of ``records`` or, if anything fails, none: one transaction, one wait for the disk.

        They are always visible at once. ``ValueError`` for a signature that no image can have; no single
        record is refused.
        """
        batch = list(records)
        if not batch:
            return {}
        halves = scan.pack_halves(np.stack([record.signature for record in batch]))
        now = time.time()
        with self._database.write() as connection:
            for record, half in zip(batch, halves, strict=True):
                _remove(connection, record.filepath)
                _insert(connection, record, half.tobytes(), now)
        return {}

    def delete(self, filepath: str) -> bool:
        """Forget exactly ``filepath``; whether there was anything to forget."""
        with self._database.write() as connection:
            return _remove(connection, filepath)

    def delete_many(self, filepaths: Sequence[str]) -> int:
        """Forget all of ``filepaths`` in one transaction."""
        with self._database.write() as connection:
            return sum(_remove(connection, filepath) for filepath in filepaths)

    def get(self, filepath: str) -> Stored | None:
        """What exactly ``filepath`` holds."""
        return next(iter(self._stored("WHERE filepath = ?", filepath)), None)

    def page(self, after: str | None, limit: int) -> list[Stored]:
        """The images whose filepaths follow ``after``."""
        if after is None:
            return self._stored("ORDER BY filepath LIMIT ?", limit)
        return self._stored("WHERE filepath > ? ORDER BY filepath LIMIT ?", after, limit)

    def _stored(self, clauses: str, *values: str | int) -> list[Stored]:
        with self._database.read() as connection:
            rows = connection.execute(
                "SELECT filepath, sha256, metadata, timestamp, halves"  # noqa: S608 - clauses are ours
                f" FROM image JOIN signature USING (sequence) {clauses}",
                values,
            ).fetchall()
        halves = np.frombuffer(b"".join(row[4] for row in rows), np.uint8).reshape(-1, scan.HALF_BYTES)
        return [
            Stored(Record(filepath, signature, sha256, _parse(metadata)), added)
            for (filepath, sha256, metadata, added, _), signature in zip(
                rows, scan.unpack_halves(halves), strict=True
            )
        ]

    def search(
        self, views: Views, *, cutoff: float = DISTANCE_CUTOFF, limit: int | None = None
    ) -> list[Match]:
        """All images nearer than ``cutoff`` to any view, by comparing every signature."""
        query = scan.Query(views, cutoff)
        found = self._snapshot().search(query).nearest(limit)
        with self._database.read() as connection:
            matches = _look_up(connection, found)
            if len(matches) < len(found.sequences):
                # An image found was replaced meanwhile: its successor may match, and is looked for while
                # nothing can move.
                self._catch_up(connection)
                matches = _look_up(connection, self._table.snapshot().search(query).nearest(limit))
        return rank(matches)[:limit]

    def count(self) -> int:
        """Number of images."""
        with self._database.read() as connection:
            self._catch_up(connection)
            return self._table.count

    def filepaths(self, offset: int, limit: int) -> list[str]:
        """A page of all filepaths in code-point order."""
        page = (min(limit, _MAX_INTEGER), min(offset, _MAX_INTEGER))
        with self._database.read() as connection:
            rows = connection.execute("SELECT filepath FROM image ORDER BY filepath LIMIT ? OFFSET ?", page)
            return [filepath for (filepath,) in rows]

    def check(self) -> Facts:
        """Searches are answered from memory, if they can be."""
        self._database.check()
        return {"search": "memory", "documents": self.count()}

    def close(self) -> None:
        """Release the file."""
        self._database.close()

    def _snapshot(self) -> Snapshot:
        with self._database.read() as connection:
            self._catch_up(connection)
            return self._table.snapshot()

    def _reset(self) -> None:
        self._table = SignatureTable()
        self._sequence = 0
        self._removal: int | None = None
        self._version: int | None = None

    def _catch_up(self, connection: sqlite3.Connection) -> None:
        """Bring the table up to what ``connection`` sees; to be called within ``Database.read``."""
        (version,) = connection.execute("PRAGMA data_version").fetchone()
        if version == self._version:
            return
        first, last = connection.execute("SELECT min(number), max(number) FROM removal").fetchone()
        if self._removal is not None and first is not None and first > self._removal + 1:
            self._reset()
        if self._removal is None:
            self._removal = last or 0
        rows = connection.execute(
            "SELECT sequence, halves FROM signature WHERE sequence > ? ORDER BY sequence", (self._sequence,)
        )
        while batch := rows.fetchmany(_LOAD_ROWS):
            sequences, halves = zip(*batch, strict=True)
            matrix = np.frombuffer(b"".join(halves), dtype=np.uint8).reshape(-1, scan.HALF_BYTES)
            self._table.append(matrix, np.array(sequences, dtype=np.int64))
            self._sequence = sequences[-1]
        gone = connection.execute("SELECT sequence FROM removal WHERE number > ?", (self._removal,))
        for (sequence,) in gone:
            self._table.remove(sequence)
        self._removal = last or 0
        self._version = version


def _insert(connection: sqlite3.Connection, record: Record, half: bytes, now: float) -> int:
    """The image's sequence number, which no other will ever have."""
    inserted = connection.execute(
        "INSERT INTO image (filepath, sha256, metadata, timestamp) VALUES (?, ?, ?, ?)",
        (record.filepath, record.sha256, _dump(record.metadata), now),
    )
    connection.execute("INSERT INTO signature VALUES (?, ?)", (inserted.lastrowid, half))
    return inserted.lastrowid or 0


def _remove(connection: sqlite3.Connection, filepath: str) -> bool:
    row = connection.execute("SELECT sequence FROM image WHERE filepath = ?", (filepath,)).fetchone()
    if row is None:
        return False
    connection.execute("DELETE FROM image WHERE sequence = ?", row)
    connection.execute("DELETE FROM signature WHERE sequence = ?", row)
    number = connection.execute("INSERT INTO removal (sequence) VALUES (?)", row).lastrowid or 0
    connection.execute("DELETE FROM removal WHERE number <= ?", (number - KEPT_REMOVALS,))
    return True


def _look_up(connection: sqlite3.Connection, found: Found) -> list[Match]:
    """The images found that are still there."""
    matches = []
    for start in range(0, len(found.sequences), _LOOKUP_ROWS):
        span = slice(start, start + _LOOKUP_ROWS)
        sequences: list[int] = found.sequences[span].tolist()
        marks = ",".join("?" * len(sequences))
        rows = connection.execute(
            f"SELECT sequence, filepath, metadata FROM image WHERE sequence IN ({marks})",  # noqa: S608
            sequences,
        )
        known = {sequence: (filepath, metadata) for sequence, filepath, metadata in rows}
        distances, views = found.distances[span].tolist(), found.views[span].tolist()
        for sequence, distance, view in zip(sequences, distances, views, strict=True):
            if sequence in known:
                filepath, metadata = known[sequence]
                matches.append(Match(filepath, distance, view, _parse(metadata)))
    return matches


def _dump(metadata: Json) -> str | None:
    return None if metadata is None else json.dumps(metadata, separators=(",", ":"))


def _parse(metadata: str | None) -> Json:
    if metadata is None:
        return None
    value: Json = json.loads(metadata)
    return value
