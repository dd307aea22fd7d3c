"""The signatures of a whole index in memory that all workers of a pod share, written by one of them.

Rows are only ever appended: a row whose image was since deleted or replaced is noticed when a search looks
the image up. So readers need no lock, and a writer that dies in the middle leaves nothing half done.
"""

import contextlib
import enum
import fcntl
import json
import math
import mmap
import os
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass
from functools import cache
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from match_index import ID_BYTES, id_text
from match_service.engine import scan
from match_service.store.ranking import nearest

BLOCK_ROWS: Final = 65536
ROW_BYTES: Final = scan.ROW_BYTES + ID_BYTES
"""Memory of one image."""

MIB: Final = 1 << 20
MOST_THREADS: Final = 8
"""Scanning with more hardly makes a search quicker."""

_HEADER_BYTES: Final = 1 << 16
_MAX_SHARDS: Final = 512
_GENERATION, _ROWS, _NAMES_SIZE, _DOCUMENTS, _TOLD, _CHECKPOINTS = 0, 1, 2, 3, 4, 8
_NAMES_AT: Final = 8 * (_CHECKPOINTS + _MAX_SHARDS)

Ids = NDArray[np.uint8]


class State(enum.IntEnum):
    """What a mirror is good for."""

    READING = 0
    EXACT = 1
    TOO_LARGE = 2


@dataclass(frozen=True, slots=True)
class Shard:
    """One shard of the index the mirror shows."""

    index: str
    uuid: str
    number: int
    history: str = ""
    """Whose sequence numbers they are; another after a restore."""


class MirrorMemory:
    """Shared memory for at most ``max_bytes`` of rows; made before a fork, used after it."""

    def __init__(self, max_bytes: int) -> None:
        self.capacity = max_bytes // ROW_BYTES // BLOCK_ROWS * BLOCK_ROWS
        blocks = self.capacity // BLOCK_ROWS
        size = _HEADER_BYTES + blocks * BLOCK_ROWS * ROW_BYTES
        self._lock = threading.Lock()
        self._file = _anonymous_file()
        os.ftruncate(self._file, size)
        self._map = mmap.mmap(self._file, size)
        self._header = np.frombuffer(self._map, np.int64, _CHECKPOINTS + _MAX_SHARDS)
        self._blocks = [self._block(number) for number in range(blocks)]

    def _block(self, number: int) -> "_Block":
        at = _HEADER_BYTES + number * BLOCK_ROWS * ROW_BYTES
        rows = scan.Rows.within(self._map, at, BLOCK_ROWS)
        ids = np.frombuffer(self._map, np.uint8, ID_BYTES * BLOCK_ROWS, at + scan.ROW_BYTES * BLOCK_ROWS)
        return _Block(rows, ids.reshape(BLOCK_ROWS, ID_BYTES))

    @contextlib.contextmanager
    def writing(self) -> Iterator[bool]:
        """Whether the caller may write; when a writer dies, the system gives the right to another."""
        if not self._lock.acquire(blocking=False):  # the file's lock only keeps processes apart
            yield False
            return
        try:
            try:
                fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                yield False
                return
            try:
                yield True
            finally:
                fcntl.lockf(self._file, fcntl.LOCK_UN)
        finally:
            self._lock.release()

    @property
    def generation(self) -> int:
        """Even while there is something to search; another number when it is another index's, or none."""
        return int(self._header[_GENERATION])

    @property
    def rows(self) -> int:
        """Rows so far, those of images gone included."""
        return int(self._header[_ROWS])

    def shards(self) -> list[Shard]:
        """The shards that the rows came from."""
        size = int(self._header[_NAMES_SIZE])
        names = json.loads(self._map[_NAMES_AT : _NAMES_AT + size] or b"[]")
        return [Shard(*name) for name in names]

    def begin(self, shards: list[Shard]) -> bool:
        """Empty the memory and stop searches until ``finish``; False if it cannot hold so many shards."""
        self._header[_GENERATION] += 1 if self.generation % 2 == 0 else 2
        self._header[_ROWS] = 0
        names = json.dumps([astuple(shard) for shard in shards]).encode()
        if len(shards) > _MAX_SHARDS or _NAMES_AT + len(names) > _HEADER_BYTES:
            return False
        self._header[_NAMES_SIZE] = 0  # a writer that dies in the next line leaves no torn names
        self._map[_NAMES_AT : _NAMES_AT + len(names)] = names
        self._header[_NAMES_SIZE] = len(names)
        return True

    def append(self, halves: scan.Halves, ids: Ids) -> bool:
        """Add rows (n, 102) with ``ids`` (n, 24); False, with nothing added, if they do not fit."""
        rows = self.rows
        if rows + len(halves) > self.capacity:
            return False
        start = 0
        while start < len(halves):
            number, row = divmod(rows + start, BLOCK_ROWS)
            count = min(len(halves) - start, BLOCK_ROWS - row)
            block, span = self._blocks[number], slice(start, start + count)
            block.rows.put(row, halves[span])
            block.ids[row : row + count] = ids[span]
            start += count
        self._header[_ROWS] = rows + len(halves)
        return True

    def checkpoints(self) -> list[int]:
        """By shard the sequence number up to which every change is in the rows."""
        return [int(n) for n in self._header[_CHECKPOINTS : _CHECKPOINTS + len(self.shards())]]

    def advance(self, checkpoints: list[int]) -> None:
        """Say how far the rows go; only after they were appended."""
        self._header[_CHECKPOINTS : _CHECKPOINTS + len(checkpoints)] = checkpoints

    def finish(self) -> None:
        """Let searches begin."""
        self._header[_GENERATION] += 1

    @property
    def state(self) -> "State":
        """Whether searches can be exact now, and if not, whether they will."""
        if self.view() is not None:
            return State.EXACT
        return State.TOO_LARGE if self._header[_DOCUMENTS] > self.capacity else State.READING

    def note(self, documents: int) -> bool:
        """Remember that the index has so many; whether ``state`` has changed since the last call."""
        self._header[_DOCUMENTS] = documents
        before, state = self._header[_TOLD], self.state
        self._header[_TOLD] = state
        return bool(before != state)

    @property
    def sentence(self) -> str:
        """``state`` for the log."""
        if self.state is State.EXACT:
            size = self.rows * ROW_BYTES / MIB
            return f"Searches are exact: {self.rows:,} images take {size:,.0f} MiB of memory."
        if self.state is State.READING:
            return "The signatures are being read into memory; until then searches go by words."
        size, bound = int(self._header[_DOCUMENTS]) * ROW_BYTES / MIB, self.capacity * ROW_BYTES / MIB
        return (
            f"{self._header[_DOCUMENTS]:,} images would take {size:,.0f} MiB of memory, but"
            f" MATCH_MIRROR_MAX_BYTES allows {bound:,.0f}: searches go by words and find less."
        )

    def facts(self) -> dict[str, str | int]:
        """``state`` for readers of /readyz; bytes are those in use and those allowed."""
        exact = self.state is State.EXACT
        return {
            "search": "mirror" if exact else "words",
            **({} if exact else {"reason": self.sentence}),
            "documents": int(self._header[_DOCUMENTS]),
            "bytes": self.rows * ROW_BYTES,
            "max_bytes": self.capacity * ROW_BYTES,
        }

    def view(self) -> "MirrorView | None":
        """What can be searched now, or None."""
        generation = self.generation
        if generation == 0 or generation % 2:
            return None
        # In this order: rows are written before the checkpoints that vouch for them.
        try:
            shards = list(zip(self.shards(), self.checkpoints(), strict=True))
        except ValueError:  # another process is writing other names
            return None
        view = MirrorView(self, generation, shards, self.rows)
        return view if view.valid() else None

    def search(self, query: scan.Query, rows: int) -> "Near":
        """The images within the query's cutoff among the first ``rows``."""

        def scan_block(number: int) -> Near:
            block = self._blocks[number]
            hits = query.search(block.rows.part(0, min(rows - number * BLOCK_ROWS, BLOCK_ROWS)))
            return Near(block.ids[hits.rows], hits.distances)

        numbers = range(-(-rows // BLOCK_ROWS))
        parts = map(scan_block, numbers) if len(numbers) < 2 else _threads().map(scan_block, numbers)
        none = Near(np.zeros((0, ID_BYTES), np.uint8), np.zeros(0))
        return Near(*(np.concatenate(column) for column in zip(none, *parts, strict=True)))

    def everything(self, rows: int) -> tuple[list[scan.Rows], Ids]:
        """The first ``rows`` as they lie here, and a copy of their ids (n, 24)."""
        sizes = [min(BLOCK_ROWS, rows - start) for start in range(0, rows, BLOCK_ROWS)]
        blocks = list(zip(self._blocks, sizes, strict=False))
        parts = [block.rows.part(0, size) for block, size in blocks]
        none = np.zeros((0, ID_BYTES), np.uint8)
        return parts, np.concatenate([none, *(block.ids[:size] for block, size in blocks)])

    def close(self) -> None:
        """Give the memory back once nobody looks at it any more."""
        os.close(self._file)
        # Views may still be held by a search; the map goes with the last of them.
        self._blocks = []


@dataclass(frozen=True, slots=True)
class _Block:
    rows: scan.Rows
    ids: Ids


class Near(NamedTuple):
    """Rows near enough; an image that was replaced may be among them more than once."""

    ids: Ids
    """(m, 24)"""
    distances: NDArray[np.float64]
    """(m,)"""

    def nearest(self, limit: int | None) -> tuple[list[str], float]:
        """Ids of the images of the ``limit`` nearest rows, and the distance up to which none is missing."""
        rows = nearest(self.distances, limit)
        reach = math.inf if len(rows) == len(self.distances) else float(self.distances[rows].max(initial=0.0))
        return list(dict.fromkeys(id_text(self.ids[row].tobytes()) for row in rows)), reach


@dataclass(frozen=True, slots=True)
class MirrorView:
    """The memory at one moment."""

    memory: MirrorMemory
    generation: int
    shards: list[tuple[Shard, int]]
    """With the sequence number up to which every change is in the rows."""
    rows: int

    def valid(self) -> bool:
        """Whether it is still that moment's index."""
        return self.memory.generation == self.generation

    def everything(self) -> tuple[list[scan.Rows], Ids]:
        """All rows as they lie in the memory, and their ids (n, 32); the last row of an id counts."""
        return self.memory.everything(self.rows)

    def search(self, query: scan.Query) -> "Near":
        """The images within the query's cutoff; they may since be gone or changed."""
        return self.memory.search(query, self.rows)


@cache
def _threads() -> ThreadPoolExecutor:
    """Threads that scan, whatever the number of searches; made by the first one, so after a fork."""
    return ThreadPoolExecutor(min(MOST_THREADS, os.cpu_count() or 1), thread_name_prefix="scan")


def _anonymous_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("match-mirror")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
