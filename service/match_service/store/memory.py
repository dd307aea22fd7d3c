"""Signatures in memory, searched while others are added and removed.

Rows lie in blocks and keep their place until the table is compacted, so a search works on a view of the
table as it was and needs no lock while it computes.
"""

from bisect import bisect_right
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from match_service.engine import scan
from match_service.store.ranking import nearest

BLOCK_ROWS: Final = 65536
COMPACT_ROWS: Final = BLOCK_ROWS
"""Fewest removed rows worth compacting for."""

Sequences = NDArray[np.int64]


class _Block:
    """Up to 65,536 rows: 168 bytes of signature, 8 of sequence, 1 of life each."""

    def __init__(self, rows: int = BLOCK_ROWS) -> None:
        self.rows = scan.Rows.within(bytearray(scan.ROW_BYTES * rows), 0, rows)
        self.sequences = np.empty(rows, dtype=np.int64)
        self.alive = np.empty(rows, dtype=np.bool_)
        self.used = 0

    def append(self, halves: scan.Halves, sequences: Sequences) -> None:
        span = slice(self.used, self.used + len(sequences))
        self.rows.put(self.used, halves)
        self.sequences[span] = sequences
        self.alive[span] = True
        self.used = span.stop


class Lived(NamedTuple):
    rows: scan.Rows
    sequences: Sequences
    alive: NDArray[np.bool_]


class Found(NamedTuple):
    """Images within the cutoff; all (m,)."""

    sequences: Sequences
    distances: NDArray[np.float64]
    views: NDArray[np.intp]

    def nearest(self, limit: int | None) -> "Found":
        """The ``limit`` nearest and all as near as the last of them."""
        rows = nearest(self.distances, limit)
        return Found(self.sequences[rows], self.distances[rows], self.views[rows])


class Snapshot:
    """The table at one moment; later changes do not show in it."""

    def __init__(self, parts: list[Lived]) -> None:
        self.parts = parts

    def search(self, query: scan.Query) -> Found:
        """All living rows within the query's cutoff, in no particular order."""
        found = [Found(np.zeros(0, np.int64), np.zeros(0), np.zeros(0, np.intp))]
        for part in self.parts:
            hits = query.search(part.rows)
            living = part.alive[hits.rows]
            sequences = part.sequences[hits.rows[living]]
            found.append(Found(sequences, hits.distances[living], hits.views[living]))
        return Found(*(np.concatenate(column) for column in zip(*found, strict=True)))


class SignatureTable:
    """Rows by ascending sequence number. Changes and snapshots need a lock around them, searches none."""

    def __init__(self) -> None:
        self._blocks: list[_Block] = []
        self._removed = 0
        self.count = 0

    def append(self, halves: scan.Halves, sequences: Sequences) -> None:
        """Add rows (n, 102) whose ``sequences`` (n,) ascend from beyond all that were ever added."""
        start = 0
        while start < len(sequences):
            if not self._blocks or self._blocks[-1].used == BLOCK_ROWS:
                self._blocks.append(_Block())
            block = self._blocks[-1]
            stop = min(len(sequences), start + BLOCK_ROWS - block.used)
            block.append(halves[start:stop], sequences[start:stop])
            start = stop
        self.count += len(sequences)

    def remove(self, sequence: int) -> None:
        """Forget the row with ``sequence``, if there is one."""
        index = bisect_right(self._blocks, sequence, key=lambda block: int(block.sequences[0])) - 1
        if index < 0:
            return
        block = self._blocks[index]
        row = int(np.searchsorted(block.sequences[: block.used], sequence))
        if row < block.used and block.sequences[row] == sequence and block.alive[row]:
            block.alive[row] = False
            self.count -= 1
            self._removed += 1
            if self._removed >= max(COMPACT_ROWS, self.count):
                self._compact()

    def snapshot(self) -> Snapshot:
        """The table as it is now; its rows are shared, only the marks of life are copied."""
        return Snapshot(
            [
                Lived(
                    block.rows.part(0, block.used),
                    block.sequences[: block.used],
                    block.alive[: block.used].copy(),
                )
                for block in self._blocks
            ]
        )

    def _compact(self) -> None:
        old, self._blocks, self._removed = self._blocks, [], 0
        for block in old:
            living = np.flatnonzero(block.alive[: block.used])
            start = 0
            while start < len(living):
                if not self._blocks or self._blocks[-1].used == BLOCK_ROWS:
                    self._blocks.append(_Block())
                target = self._blocks[-1]
                rows = living[start : start + BLOCK_ROWS - target.used]
                target.append(block.rows.halves[rows], block.sequences[rows])
                start += len(rows)
