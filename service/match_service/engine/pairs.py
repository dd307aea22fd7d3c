"""All pairs of near signatures in a collection, exactly: every one is compared with every other.

The work grows with the square of the number, so it is cut into steps small enough to report progress after
each and to stop between two. What is compared with what is the sieve that answers searches.
"""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from match_service.engine import scan
from match_service.engine.layout import HALF
from match_service.engine.orientations import turned
from match_service.engine.packing import normalise
from match_service.engine.sketch import Sieve

TARGET_ROWS: Final = 8192
"""Rows compared at a time; their sketches fit the second-level cache."""
QUERY_ROWS: Final = 64

Numbers = NDArray[np.int64]


class Pairs(NamedTuple):
    """Near pairs; all (m,). A row is a signature's number in the order of the parts."""

    first: Numbers
    second: Numbers
    """Always the greater of the two."""
    distances: NDArray[np.float64]
    done: float
    """Share of the work that is done, 0..1."""


def near_pairs(parts: Sequence[scan.Rows], cutoff: float, *, all_orientations: bool) -> Iterator[Pairs]:
    """Every pair nearer than ``cutoff``, at least once, and progress.

    With ``all_orientations`` a signature is also compared as turned, mirrored and inverted, at eight times
    the cost; a pair may then come more than once.
    """
    blocks = list(_blocks(parts))
    total = sum(len(block.squares) for _, block in blocks)
    work = max(1.0, total**2 / 2)
    done = 0.0
    for start, target in blocks:
        for first, query in blocks:
            if first > start:
                break
            for low in range(0, len(query.squares), QUERY_ROWS):
                part = query.halves[low : low + QUERY_ROWS]
                found = _compare(target, part, cutoff, all_orientations)
                a, b = found.queries + first + low, found.rows + start
                kept = a < b
                done += len(part) * (len(target.squares) if first < start else len(target.squares) / 2)
                yield Pairs(a[kept], b[kept], found.distances[kept], min(1.0, done / work))


class _Found(NamedTuple):
    rows: Numbers
    queries: Numbers
    distances: NDArray[np.float64]


def _blocks(parts: Sequence[scan.Rows]) -> Iterator[tuple[int, scan.Rows]]:
    start = 0
    for part in parts:
        for low in range(0, len(part.squares), TARGET_ROWS):
            yield start + low, part.part(low, min(low + TARGET_ROWS, len(part.squares)))
        start += len(part.squares)


def _compare(target: scan.Rows, query: scan.Halves, cutoff: float, all_orientations: bool) -> _Found:
    signatures, squares = scan.unpack_halves(query), scan.squares(query)
    owners = np.arange(len(signatures))
    if all_orientations:
        views = turned(signatures)
        owners = np.repeat(owners, views.shape[1])
        signatures = views.reshape(len(owners), -1)
    pairs = rows, numbers = Sieve(signatures[:, HALF], cutoff).pairs(target.sketches, len(target.squares))
    dots = scan.dots(target.halves, scan.pack_halves(signatures), pairs)
    if all_orientations:
        dots = np.abs(dots)
    queries = owners[numbers]
    own, theirs = target.squares[rows].astype(np.float64), squares[queries].astype(np.float64)
    apart = normalise(np.maximum(own + theirs - 4.0 * dots, 0.0), own, theirs)
    near = apart < cutoff
    return _Found(rows[near], queries[near], apart[near])


class Groups:
    """Connected groups of rows, grown pair by pair."""

    def __init__(self, count: int) -> None:
        self._parent = np.arange(count)
        self.nearest = np.full(count, np.inf)
        """Distance of each row to the nearest other of its group."""

    def join(self, pairs: Pairs) -> None:
        """Put the two rows of each pair into one group."""
        np.minimum.at(self.nearest, pairs.first, pairs.distances)
        np.minimum.at(self.nearest, pairs.second, pairs.distances)
        while True:
            one, other = self._roots(pairs.first), self._roots(pairs.second)
            apart = one != other
            if not apart.any():
                return
            low, high = np.minimum(one, other)[apart], np.maximum(one, other)[apart]
            # Where a root is to go below several others, one of them wins; the rest come in the next turn.
            self._parent[high] = low

    def groups(self) -> list[Numbers]:
        """The groups of more than one row, each ascending."""
        roots = self._roots(np.arange(len(self._parent)))
        order = np.argsort(roots, kind="stable")
        cuts = np.flatnonzero(np.diff(roots[order])) + 1
        return [group for group in np.split(order, cuts) if len(group) > 1]

    def _roots(self, rows: Numbers) -> Numbers:
        found = self._parent[rows]
        while True:
            above = self._parent[found]
            if np.array_equal(above, found):
                self._parent[rows] = found
                return found
            found = above
