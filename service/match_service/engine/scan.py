"""Exact distances to very many signatures: sketches show which could be near, counting bits which are.

A signature is antisymmetric (see ``layout``), so 272 of its values determine it and half of every dot
product is the dot product of the halves. As three planes of 272 bits (nonzero, of size two, negative) they
take 102 bytes at rest, and 15 machine words, a norm and a sketch (see ``sketch``) to search.
"""

import base64
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from match_service.engine.layout import HALF, LENGTH, from_half
from match_service.engine.packing import normalise
from match_service.engine.sketch import SKETCH_BYTES, Sieve, Sketches, sketches
from match_service.model import Views

HALF_BYTES: Final = 102
"""Bytes of a signature at rest: three planes of 34."""
WORDS: Final = 15
"""64-bit words of a signature in memory: three planes of five, of 56 bits each."""

_PLANE: Final = HALF_BYTES // 3
_PLANE_WORDS: Final = WORDS // 3
ROW_BYTES: Final = 8 * WORDS + 2 + SKETCH_BYTES
"""Memory of a signature as ``Rows``."""

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


def planes(halves: Halves) -> Planes:
    """Word columns (15, n) of rows (n, 102); seven bytes to a word, so that counts of four fit a byte."""
    rows = len(halves)
    sevens = np.zeros((rows, 3, _PLANE_WORDS * 7), dtype=np.uint8)
    sevens[:, :, :_PLANE] = halves.reshape(rows, 3, _PLANE)
    words = np.zeros((rows, WORDS, 8), dtype=np.uint8)
    words[:, :, :7] = sevens.reshape(rows, WORDS, 7)
    return np.ascontiguousarray(words.view(np.uint64)[:, :, 0].T)


def halves_of(columns: Planes) -> Halves:
    """Rows (n, 102) of word columns (15, n): what ``planes`` was given."""
    words = np.ascontiguousarray(columns.T).view(np.uint8).reshape(-1, WORDS, 8)
    sevens = words[:, :, :7].reshape(-1, 3, _PLANE_WORDS * 7)
    return np.ascontiguousarray(sevens[:, :, :_PLANE]).reshape(-1, HALF_BYTES)


def squares(columns: Planes) -> NDArray[np.int16]:
    """||a||^2 of each of the signatures in word columns (15, n)."""
    nonzero = np.bitwise_count(columns[:_PLANE_WORDS]).sum(axis=0, dtype=np.int16)
    two = np.bitwise_count(columns[_PLANE_WORDS : 2 * _PLANE_WORDS]).sum(axis=0, dtype=np.int16)
    found: NDArray[np.int16] = 2 * (nonzero + 3 * two)
    return found


class Rows(NamedTuple):
    """Signatures in memory, as they are searched."""

    columns: Planes
    """(15, n)"""
    squares: NDArray[np.int16]
    """(n,)"""
    sketches: Sketches
    """(64, n)"""

    @classmethod
    def of(cls, halves: Halves) -> "Rows":
        """Those of rows (n, 102)."""
        columns = planes(halves)
        return cls(columns, squares(columns), sketches(_values(halves)))

    @classmethod
    def within(cls, memory: Any, start: int, count: int) -> "Rows":
        """Room for ``count`` rows in a writable buffer, from byte ``start``, a multiple of 8."""
        columns = np.frombuffer(memory, np.uint64, WORDS * count, start)
        own = np.frombuffer(memory, np.int16, count, start + columns.nbytes)
        rest = np.frombuffer(memory, np.int8, SKETCH_BYTES * count, start + columns.nbytes + own.nbytes)
        return cls(columns.reshape(WORDS, count), own, rest.reshape(SKETCH_BYTES, count))

    def take(self, rows: "slice | NDArray[np.intp]") -> "Rows":
        """Some of the rows; a view for a slice."""
        return Rows(self.columns[:, rows], self.squares[rows], self.sketches[:, rows])

    def put(self, at: int, rows: "Rows") -> None:
        """Write ``rows`` from row ``at`` on."""
        span = slice(at, at + len(rows.squares))
        self.columns[:, span], self.squares[span], self.sketches[:, span] = rows


class Hits(NamedTuple):
    """Rows within the cutoff, in ascending order, each with its nearest view; all (m,)."""

    rows: NDArray[np.intp]
    distances: NDArray[np.float64]
    views: NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class _Question:
    """One view, whose negative may have been asked for as well: one count answers both."""

    words: NDArray[np.uint64]
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
        self._words = np.stack([question.words for question in self._questions], axis=1)
        self._limits = np.stack([question.limits for question in self._questions])
        self._sieve = Sieve(views[[question.view for question in self._questions]][:, HALF], cutoff)

    def search(self, rows: Rows) -> Hits:
        """Hits among ``rows``, whose distances are only taken where their sketches do not rule them out."""
        count = len(rows.squares)
        if count >= _WORTH_SIEVING:
            row, number = self._sieve.pairs(rows.sketches)
            if len(row) <= _MOST_PAIRS * count * len(self._questions):
                return self._best(self._pairs(rows, row, number))
        return self.scan(rows.columns, rows.squares)

    def scan(self, columns: Planes, own: NDArray[np.int16]) -> Hits:
        """Hits among the first ``len(own)`` signatures in word columns (15, n), whose squared norms are
        ``own``, by the distances of all."""
        parts: list[Hits] = []
        for start in range(0, len(own), _CHUNK):
            norms = own[start : start + _CHUNK]
            part = columns[:, start : start + len(norms)]
            scratch = Scratch(len(norms))
            for question in self._questions:
                dots = scratch.dots(part, question.words)
                near = np.flatnonzero(np.abs(dots) >= question.limits[norms])
                if len(near):
                    parts.extend(question.near(dots[near], norms[near], near + start))
        return self._best(parts)

    def _pairs(self, table: Rows, rows: NDArray[np.intp], numbers: NDArray[np.intp]) -> list[Hits]:
        """Hits among pairs of rows and questions."""
        parts: list[Hits] = []
        for start in range(0, len(rows), _CHUNK):
            row, number = rows[start : start + _CHUNK], numbers[start : start + _CHUNK]
            dots = Scratch(len(row)).dots(table.columns[:, row], self._words[:, number])
            norms = table.squares[row]
            near = np.flatnonzero(np.abs(dots) >= self._limits[number, norms])
            row, number, dots, norms = row[near], number[near], dots[near], norms[near]
            for which in np.unique(number).tolist():
                its = number == which
                parts.extend(self._questions[which].near(dots[its], norms[its], row[its]))
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
        words = planes(pack_halves(row[None, :]))
        square = int(squares(words)[0])
        questions.append(_Question(words[:, 0], square, limits_of(square, cutoff), i, negative))
    return questions


def _distances(halves: NDArray[np.int16], own: NDArray[np.int16], square: int) -> NDArray[np.float64]:
    norms = own.astype(np.float64)
    theirs = np.full(len(norms), float(square))
    return normalise(norms + theirs - 4.0 * halves, norms, theirs)


class Scratch:
    """Work space of one chunk, so that a pass allocates nothing."""

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
