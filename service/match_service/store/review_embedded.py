"""Reviewing duplicates in the embedded store: the job and its groups are two more tables of the same file."""

import json
import sqlite3
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from match_service.engine import scan
from match_service.model import Json
from match_service.store.database import Database
from match_service.store.memory import Snapshot
from match_service.store.review import Collection, Group, Image, Job, Member

_ROWS: Final = 500
# Made when first needed, so that a file without them is still read by older versions and this one alike.
_SCHEMA: Final = (
    "CREATE TABLE IF NOT EXISTS review_job (one INTEGER PRIMARY KEY CHECK (one = 1), body TEXT) STRICT",
    "CREATE TABLE IF NOT EXISTS review_group (number INTEGER PRIMARY KEY, body TEXT NOT NULL) STRICT",
)


class EmbeddedReview:
    """A ``Review`` over the store's file; ``snapshot`` gives the signatures as they are now."""

    def __init__(self, database: Database, snapshot: Callable[[], Snapshot]) -> None:
        self._database = database
        self._snapshot = snapshot

    def collection(self) -> Collection:
        """Everything there is now."""
        parts, sequences = [], [np.zeros(0, np.int64)]
        for rows, numbers, alive in self._snapshot().parts:
            living = slice(len(numbers)) if alive.all() else np.flatnonzero(alive)
            parts.append(rows if alive.all() else scan.Rows.of(rows.halves[living]))
            sequences.append(numbers[living])
        every = np.concatenate(sequences)
        return Collection(parts, lambda rows: self._images(every[rows]))

    def known(self, filepaths: Sequence[str]) -> dict[str, Image]:
        """Those of the images that are there now."""
        with self._database.read() as connection:
            rows = _select(connection, "filepath", filepaths)
            return {filepath: Image(filepath, sha256, _json(text)) for _, filepath, sha256, text in rows}

    def job(self) -> Job | None:
        """The last job, if there was one."""
        with self._database.read() as connection:
            return _job(connection)

    def begin(self, job: Job) -> Job:
        """Make ``job`` the last one, unless another still runs."""
        with self._database.write() as connection:
            for statement in _SCHEMA:
                connection.execute(statement)
            last = _job(connection)
            if last is not None and last.lives:
                return last
            connection.execute("DELETE FROM review_group")
            connection.execute("INSERT OR REPLACE INTO review_job VALUES (1, ?)", (json.dumps(job.body()),))
        return job

    def update(self, job: Job) -> bool:
        """Replace the job of this id by its new state."""
        with self._database.write() as connection:
            last = _job(connection)
            if last is None or last.id != job.id or last.state != "running":
                return False
            connection.execute("UPDATE review_job SET body = ?", (json.dumps(job.body()),))
        return True

    def keep_groups(self, job: Job, groups: Sequence[Group]) -> None:
        """Keep the groups of a job, if it is still the last."""
        rows = [
            (number, json.dumps([[m.filepath, m.sha256, m.score] for m in group]))
            for number, group in enumerate(groups)
        ]
        with self._database.write() as connection:
            last = _job(connection)
            if last is not None and last.id == job.id:
                connection.executemany("INSERT OR REPLACE INTO review_group VALUES (?, ?)", rows)

    def groups(self, job: Job, offset: int, limit: int) -> list[Group]:
        """A page of the groups kept of a job."""
        with self._database.read() as connection:
            last = _job(connection)
            if last is None or last.id != job.id:
                return []
            rows = connection.execute(
                "SELECT body FROM review_group WHERE number >= ? ORDER BY number LIMIT ?", (offset, limit)
            )
            return [[Member(*member) for member in json.loads(body)] for (body,) in rows]

    def _images(self, sequences: NDArray[np.int64]) -> list[Image | None]:
        # An image that was replaced has another sequence number, so its old one is simply gone.
        with self._database.read() as connection:
            rows = _select(connection, "sequence", sequences.tolist())
            found = {number: Image(filepath, sha256, _json(text)) for number, filepath, sha256, text in rows}
        return [found.get(number) for number in sequences.tolist()]


def _select(
    connection: sqlite3.Connection, column: str, values: Sequence[object]
) -> list[tuple[int, str, str, str | None]]:
    rows = []
    for start in range(0, len(values), _ROWS):
        some = values[start : start + _ROWS]
        marks = ",".join("?" * len(some))
        query = f"SELECT sequence, filepath, sha256, metadata FROM image WHERE {column} IN ({marks})"  # noqa: S608
        rows += connection.execute(query, some).fetchall()
    return rows


def _job(connection: sqlite3.Connection) -> Job | None:
    if not connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'review_job'").fetchone():
        return None
    row = connection.execute("SELECT body FROM review_job").fetchone()
    return Job(**json.loads(row[0])) if row else None


def _json(text: str | None) -> Json:
    value: Json = None if text is None else json.loads(text)
    return value
