"""All pairs of near signatures in a collection, exactly: every one is compared with every other.

The work grows with the square of the number, so it is cut into steps small enough to report progress after
each and to stop between two. What is compared with what is the same loop that answers searches.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from match_service.engine import kernel, scan
from match_service.engine.orientations import turned
from match_service.engine.packing import normalise

TARGET_ROWS: Final = 8192
"""Rows compared at a time; they fit the second-level cache."""
QUERY_ROWS: Final = 64

_EXPECTED_HITS: Final = 4096

Rows = NDArray[np.int64]


class Part(NamedTuple):
    """Some of a collection's signatures."""

    columns: scan.Planes
    """Word columns (15, n), as ``scan.planes`` makes them."""
    squares: NDArray[np.int16]
    """Squared norms (n,)."""


class Pairs(NamedTuple):
    """Near pairs; all (m,). A row is a signature's number in the order of the parts."""

    first: Rows
    second: Rows
    """Always the greater of the two."""
    distances: NDArray[np.float64]
    done: float
    """Share of the work that is done, 0..1."""


def near_pairs(parts: Sequence[Part], cutoff: float, *, all_orientations: bool) -> Iterator[Pairs]:
    """Every pair nearer than ``cutoff``, at least once, and progress.

    With ``all_orientations`` a signature is also compared as turned, mirrored and inverted, at eight times
    the cost; a pair may then come more than once.
    """
    blocks = list(_blocks(parts))
    total = sum(len(block.own) for _, block in blocks)
    work = max(1.0, total**2 / 2)
    done = 0.0
    for start, lying in blocks:
        target = _Block(np.ascontiguousarray(lying.columns), lying.own)
        for first, query in blocks:
            if first > start:
                break
            for low in range(0, len(query.own), QUERY_ROWS):
                part = query.part(low, low + QUERY_ROWS)
                found = _compare(target, part, cutoff, all_orientations)
                a, b = found.queries + first + low, found.rows + start
                kept = a < b
                done += len(part.own) * (len(target.own) if first < start else len(target.own) / 2)
                yield Pairs(a[kept], b[kept], found.distances[kept], min(1.0, done / work))


class _Block(NamedTuple):
    columns: scan.Planes
    own: NDArray[np.int16]

    def part(self, start: int, stop: int) -> "_Block":
        return _Block(self.columns[:, start:stop], self.own[start:stop])


class _Found(NamedTuple):
    rows: Rows
    queries: Rows
    distances: NDArray[np.float64]


def _blocks(parts: Sequence[Part]) -> Iterator[tuple[int, _Block]]:
    start = 0
    for part in parts:
        for low in range(0, len(part.squares), TARGET_ROWS):
            own = np.ascontiguousarray(part.squares[low : low + TARGET_ROWS])
            yield start + low, _Block(part.columns[:, low : low + len(own)], own)
        start += len(part.squares)


@lru_cache(maxsize=4096)
def _limits(square: int, cutoff: float) -> NDArray[np.int16]:
    return scan.limits_of(square, cutoff)


def _compare(target: _Block, query: _Block, cutoff: float, all_orientations: bool) -> _Found:
    words, owners = _questions(query, all_orientations)
    squares = query.own[owners]
    limits = np.stack([_limits(int(square), cutoff) for square in squares])
    find = kernel.compiled(len(target.own) * len(owners))
    hits = _loop(find, target, words, limits) if find else _passes(target, words, limits)
    rows, questions, dots = hits.T
    if all_orientations:
        dots = np.abs(dots)
    own, theirs = target.own[rows].astype(np.float64), squares[questions].astype(np.float64)
    apart = normalise(np.maximum(own + theirs - 4.0 * dots, 0.0), own, theirs)
    near = apart < cutoff
    return _Found(rows[near], owners[questions[near]], apart[near])


def _questions(query: _Block, all_orientations: bool) -> tuple[scan.Planes, Rows]:
    """Words (q, 15) to compare with, and the query's row each belongs to."""
    count = len(query.own)
    if not all_orientations:
        return np.ascontiguousarray(query.columns.T), np.arange(count)
    signatures = turned(scan.unpack_halves(scan.halves_of(query.columns)))
    words = scan.planes(scan.pack_halves(signatures.reshape(count * signatures.shape[1], -1)))
    return np.ascontiguousarray(words.T), np.repeat(np.arange(count), signatures.shape[1])


def _loop(find: kernel.Find, target: _Block, words: scan.Planes, limits: NDArray[np.int16]) -> Rows:
    hits = np.empty((_EXPECTED_HITS, 3), dtype=np.int64)
    found = find(target.columns, target.own, words, limits, hits)
    if found > len(hits):
        hits = np.empty((found, 3), dtype=np.int64)
        find(target.columns, target.own, words, limits, hits)
    return hits[:found]


def _passes(target: _Block, words: scan.Planes, limits: NDArray[np.int16]) -> Rows:
    scratch = scan.Scratch(len(target.own))
    hits = [np.empty((0, 3), dtype=np.int64)]
    for number, (question, limit) in enumerate(zip(words, limits, strict=True)):
        dots = scratch.dots(target.columns, question)
        near = np.flatnonzero(np.abs(dots) >= limit[target.own])
        hits.append(np.stack([near, np.full(len(near), number), dots[near]], axis=1).astype(np.int64))
    return np.concatenate(hits)


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

    def groups(self) -> list[Rows]:
        """The groups of more than one row, each ascending."""
        roots = self._roots(np.arange(len(self._parent)))
        order = np.argsort(roots, kind="stable")
        cuts = np.flatnonzero(np.diff(roots[order])) + 1
        return [group for group in np.split(order, cuts) if len(group) > 1]

    def _roots(self, rows: Rows) -> Rows:
        found = self._parent[rows]
        while True:
            above = self._parent[found]
            if np.array_equal(above, found):
                self._parent[rows] = found
                return found
            found = above
