"""Exact distances to very many signatures: sketches show which could be near, counting bits which are.

A signature is antisymmetric (see ``layout``), so 272 of its values determine it and half of every dot
product is the dot product of the halves. As three planes of 272 bits (nonzero, of size two, negative) they
take 102 bytes at rest, and with a norm and a sketch (see ``sketch``) 168 to search.
"""

import base64
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from match_service.engine import compiled, sketch
from match_service.engine.compiled import Pairs
from match_service.engine.layout import HALF, LENGTH, from_half
from match_service.engine.packing import normalise
from match_service.model import Views

HALF_BYTES: Final = 102
"""Bytes of a signature at rest: three planes of 34."""
ROW_BYTES: Final = HALF_BYTES + 2 + sketch.SKETCH_BYTES
"""Memory of a signature as ``Rows``."""

_WORDS: Final = 15
"""64-bit words in which numpy counts a signature's bits: three planes of five, of 56 bits each."""
_PLANE: Final = HALF_BYTES // 3
_PLANE_WORDS: Final = _WORDS // 3

_CHUNK: Final = 16384
"""Rows in one pass; what a pass touches fits the second-level cache."""
_WORTH_SIEVING: Final = 2048
"""Fewer rows are counted sooner than sieved."""
_MOST_PAIRS: Final = 0.2
"""Where a larger share of all rows and views passes the sieve, it costs less to count everything."""

Halves = NDArray[np.uint8]
Planes = NDArray[np.uint64]
Bits = NDArray[np.uint64]
Counts = NDArray[np.uint8]


def pack_halves(signatures: NDArray[np.int8]) -> Halves:
    """Rows (n, 102) of signatures (n, 648).

    ``ValueError`` for values that no image can have: outside -2..2, or not antisymmetric.
    """
    half = _halves(signatures)
    planes = [half != 0, np.abs(half) == 2, half < 0]
    return np.concatenate([np.packbits(plane, axis=1) for plane in planes], axis=1)


def unpack_halves(halves: Halves) -> NDArray[np.int8]:
    """Signatures (n, 648) of rows (n, 102)."""
    return from_half(_values(halves))


def encoded(signature: NDArray[np.int8]) -> str:
    """The row of one signature (648,) in base64, as it is stored and exported."""
    return base64.b64encode(pack_halves(signature[None, :]).tobytes()).decode("ascii")


def decoded(texts: Iterable[str]) -> Halves:
    """Rows (n, 102) of what ``encoded`` gave."""
    packed = b"".join(base64.b64decode(text) for text in texts)
    return np.frombuffer(packed, np.uint8).reshape(-1, HALF_BYTES)


def _values(halves: Halves) -> NDArray[np.int8]:
    bits = np.unpackbits(halves.reshape(-1, 3, _PLANE), axis=2).view(np.int8)
    values: NDArray[np.int8] = (bits[:, 0] + bits[:, 1]) * (1 - 2 * bits[:, 2])
    return values


def _planes(halves: Halves) -> Planes:
    """Word columns (15, n) of rows (n, 102); seven bytes to a word, so that counts of four fit a byte."""
    rows = len(halves)
    sevens = np.zeros((rows, 3, _PLANE_WORDS * 7), dtype=np.uint8)
    sevens[:, :, :_PLANE] = halves.reshape(rows, 3, _PLANE)
    words = np.zeros((rows, _WORDS, 8), dtype=np.uint8)
    words[:, :, :7] = sevens.reshape(rows, _WORDS, 7)
    return np.ascontiguousarray(words.view(np.uint64)[:, :, 0].T)


def squares(halves: Halves) -> NDArray[np.int16]:
    """||a||^2 of each of the signatures in rows (n, 102)."""
    nonzero = np.bitwise_count(halves[:, :_PLANE]).sum(axis=1, dtype=np.int16)
    two = np.bitwise_count(halves[:, _PLANE : 2 * _PLANE]).sum(axis=1, dtype=np.int16)
    found: NDArray[np.int16] = 2 * (nonzero + 3 * two)
    return found


def dots(halves: Halves, queries: Halves, pairs: Pairs) -> NDArray[np.int16]:
    """Dot products (m,) of pairs of a row of ``halves`` (n, 102) and one of ``queries`` (q, 102)."""
    if compiled.inner is not None:
        return compiled.inner.dots(halves, queries, pairs)
    words, found = _planes(queries), np.empty(len(pairs[0]), np.int16)
    for start in range(0, len(found), _CHUNK):
        rows, numbers = (column[start : start + _CHUNK] for column in pairs)
        found[start : start + _CHUNK] = _Scratch(len(rows)).dots(_planes(halves[rows]), words[:, numbers])
    return found


class Rows(NamedTuple):
    """Signatures in memory, as they are searched."""

    halves: Halves
    """(n, 102)"""
    squares: NDArray[np.int16]
    """(n,)"""
    sketches: sketch.Sketches
    """In tiles, of which the last may be only partly theirs."""

    @classmethod
    def of(cls, halves: Halves) -> "Rows":
        """Those of rows (n, 102)."""
        size = len(halves)
        empty = np.zeros((sketch.tiles(size), sketch.SKETCH_BYTES, sketch.TILE), np.int8)
        made = cls(np.empty((size, HALF_BYTES), np.uint8), np.empty(size, np.int16), empty)
        made.put(0, halves)
        return made

    @classmethod
    def within(cls, memory: Any, start: int, count: int) -> "Rows":
        """Room for ``count`` rows, a multiple of a tile's, in a writable buffer from byte ``start``, which is
        even."""
        halves = np.frombuffer(memory, np.uint8, HALF_BYTES * count, start)
        own = np.frombuffer(memory, np.int16, count, start + halves.nbytes)
        rest = np.frombuffer(memory, np.int8, sketch.SKETCH_BYTES * count, start + halves.nbytes + own.nbytes)
        return cls(halves.reshape(count, HALF_BYTES), own, rest.reshape(-1, sketch.SKETCH_BYTES, sketch.TILE))

    def part(self, start: int, stop: int) -> "Rows":
        """Rows ``start``, a multiple of a tile's, to ``stop``, as they lie here."""
        if start % sketch.TILE:
            raise ValueError("A part begins with a tile.")
        span = slice(start // sketch.TILE, sketch.tiles(stop))
        return Rows(self.halves[start:stop], self.squares[start:stop], self.sketches[span])

    def put(self, at: int, halves: Halves) -> None:
        """Write rows (n, 102) from row ``at`` on."""
        span = slice(at, at + len(halves))
        self.halves[span], self.squares[span] = halves, squares(halves)
        sketch.write(self.sketches, at, _values(halves))


class Hits(NamedTuple):
    """Rows within the cutoff, in ascending order, each with its nearest view; all (m,)."""

    rows: NDArray[np.intp]
    distances: NDArray[np.float64]
    views: NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class _Question:
    """One view, whose negative may have been asked for as well: one count answers both."""

    half: Halves
    """(1, 102)"""
    square: int
    limits: NDArray[np.int16]
    """By squared norm of a row: the half dot product below which it is certainly too far."""
    view: int
    negative_view: int | None

    def near(
        self, dots: NDArray[np.int16], own: NDArray[np.int16], rows: NDArray[np.intp]
    ) -> Iterator["Hits"]:
        """Of ``rows`` with their ``dots`` with the view those near enough it, and its negative."""
        for view, sign in ((self.view, 1), (self.negative_view, -1)):
            if view is not None:
                kept = sign * dots >= self.limits[own]
                apart = _distances(sign * dots[kept], own[kept], self.square)
                yield Hits(rows[kept], apart, np.full(len(apart), view))


class Query:
    """Views (k, 648) prepared for scanning; ``ValueError`` if they are no signatures."""

    def __init__(self, views: Views, cutoff: float) -> None:
        self._cutoff = cutoff
        self._questions = _questions(views, cutoff)
        self._halves = np.concatenate([question.half for question in self._questions])
        self._limits = np.stack([question.limits for question in self._questions])
        chosen = [question.view for question in self._questions]
        self._sieve = sketch.Sieve(views[chosen][:, HALF], cutoff)

    def search(self, rows: Rows) -> Hits:
        """Hits among ``rows``, whose distances are only taken where their sketches do not rule them out."""
        count = len(rows.squares)
        if count >= _WORTH_SIEVING:
            pairs = self._sieve.pairs(rows.sketches, count)
            if compiled.inner is not None or len(pairs[0]) <= _MOST_PAIRS * count * len(self._questions):
                return self._best(self._pairs(rows, pairs))
        return self.scan(rows.halves)

    def scan(self, halves: Halves) -> Hits:
        """Hits among rows (n, 102), by the distances of all."""
        parts: list[Hits] = []
        words = _planes(self._halves)
        for start in range(0, len(halves), _CHUNK):
            chunk = halves[start : start + _CHUNK]
            columns, norms, scratch = _planes(chunk), squares(chunk), _Scratch(len(chunk))
            for number, question in enumerate(self._questions):
                found = scratch.dots(columns, words[:, number])
                near = np.flatnonzero(np.abs(found) >= question.limits[norms])
                if len(near):
                    parts.extend(question.near(found[near], norms[near], near + start))
        return self._best(parts)

    def _pairs(self, table: Rows, pairs: Pairs) -> list[Hits]:
        """Hits among pairs of rows and questions."""
        rows, numbers = pairs
        found, norms = dots(table.halves, self._halves, pairs), table.squares[rows]
        near = np.flatnonzero(np.abs(found) >= self._limits[numbers, norms])
        rows, numbers, found, norms = rows[near], numbers[near], found[near], norms[near]
        parts: list[Hits] = []
        for which in np.unique(numbers).tolist():
            its = numbers == which
            parts.extend(self._questions[which].near(found[its], norms[its], rows[its]))
        return parts

    def _best(self, parts: list[Hits]) -> Hits:
        if not parts:
            return Hits(np.zeros(0, np.intp), np.zeros(0), np.zeros(0, np.intp))
        rows, apart, views = (np.concatenate(column) for column in zip(*parts, strict=True))
        near = apart < self._cutoff
        rows, apart, views = rows[near], apart[near], views[near]
        order = np.lexsort((views, apart, rows))
        rows = rows[order]
        first = np.ones(len(rows), dtype=bool)
        first[1:] = rows[1:] != rows[:-1]
        return Hits(rows[first], apart[order][first], views[order][first])


def _halves(signatures: NDArray[np.int8]) -> NDArray[np.int8]:
    if signatures.ndim != 2 or signatures.shape[1] != LENGTH:
        raise ValueError(f"A signature has {LENGTH} values.")
    half: NDArray[np.int8] = signatures[:, HALF]
    if np.abs(half).max(initial=0) > 2 or not np.array_equal(from_half(half), signatures):
        raise ValueError("No image has this signature: opposite neighbours must have opposite values.")
    return half


def limits_of(square: int, cutoff: float) -> NDArray[np.int16]:
    """By squared norm of a row: the half dot product with a signature of norm ``square`` below which it is
    certainly farther than ``cutoff``."""
    norms = np.arange(4 * LENGTH + 1)
    reach = cutoff * (np.sqrt(norms) + np.sqrt(square))
    needed = np.floor((norms + square - reach**2) / 4) - 1
    limits: NDArray[np.int16] = np.clip(needed, -4 * LENGTH, 4 * LENGTH).astype(np.int16)
    return limits


def _questions(views: Views, cutoff: float) -> list[_Question]:
    _halves(views)
    rows = {row.tobytes(): i for i, row in reversed(list(enumerate(views)))}
    asked: set[int] = set()
    questions = []
    for i, row in enumerate(views):
        if i in asked or rows[row.tobytes()] != i:
            continue
        opposite = rows.get((-row).tobytes())
        negative = opposite if opposite is not None and opposite > i else None
        asked.update({i, i if negative is None else negative})
        half = pack_halves(row[None, :])
        square = int(squares(half)[0])
        questions.append(_Question(half, square, limits_of(square, cutoff), i, negative))
    return questions


def _distances(halves: NDArray[np.int16], own: NDArray[np.int16], square: int) -> NDArray[np.float64]:
    norms = own.astype(np.float64)
    theirs = np.full(len(norms), float(square))
    return normalise(norms + theirs - 4.0 * halves, norms, theirs)


class _Scratch:
    """Work space of one chunk, in which numpy counts without allocating."""

    def __init__(self, rows: int) -> None:
        self._bits = np.empty((4, rows), dtype=np.uint64)
        self._count = np.empty(rows, dtype=np.uint8)
        self._weighted = np.empty(rows, dtype=np.int16)
        self._counts = np.empty((6, rows), dtype=np.uint8)

    def dots(self, columns: Planes, query: NDArray[np.uint64]) -> NDArray[np.int16]:
        """Dot products of the halves: with x = both nonzero, y = x and either two, b = both two, and of
        these those of unlike sign, |x| + |y| + 2 |b| - 2 (|x'| + |y'| + 2 |b'|)."""
        dots = np.zeros(columns.shape[1], dtype=np.int16)
        # Four words of 56 bits count to 224 at most: a byte holds them.
        for words in (range(_PLANE_WORDS - 1), range(_PLANE_WORDS - 1, _PLANE_WORDS)):
            self._counts.fill(0)
            for word in words:
                self._count_word(columns[word::_PLANE_WORDS], query[word::_PLANE_WORDS])
            for count, weight in zip(self._counts, (1, 1, 2, -2, -2, -4), strict=True):
                np.multiply(count, np.int16(weight), out=self._weighted)
                dots += self._weighted
        return dots

    def _count_word(self, column: Bits, query: Bits) -> None:
        nonzero, two, negative = column
        x, y, b, unlike = self._bits
        np.bitwise_and(nonzero, query[0], out=x)
        np.bitwise_or(two, query[1], out=y)
        np.bitwise_and(x, y, out=y)
        np.bitwise_and(two, query[1], out=b)
        np.bitwise_xor(negative, query[2], out=unlike)
        for i, bits in enumerate((x, y, b)):
            self._counts[i] += np.bitwise_count(bits, out=self._count)
            np.bitwise_and(bits, unlike, out=bits)
            self._counts[i + 3] += np.bitwise_count(bits, out=self._count)
