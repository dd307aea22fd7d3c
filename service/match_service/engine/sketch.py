"""A few numbers about each signature that show most of them to be too far without looking at the signature.

Neighbouring differences of a picture go together, so 63 coordinates hold four fifths of a signature's length.
Of a dot product they give their share exactly, and the share of all else is at most the product of the two
lengths left out (Cauchy and Schwarz). Where even that is too little the row cannot be a hit, so nothing is
ever missed; of what passes the true distance is taken. The coordinates of many rows times those of many
views are one matrix product: ``inner.c`` makes it where it was compiled, else numpy has it done by BLAS.
"""

from collections.abc import Callable
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from match_service.engine import compiled
from match_service.engine.compiled import Pairs
from match_service.engine.layout import HALF, NEIGHBOUR, POINT

SKETCH_BYTES: Final = 64
"""Bytes of a sketch: 63 coordinates of the signature brought to length 1, and the length they leave out."""

_UNIT: Final = 127
_ROUNDING: Final = (SKETCH_BYTES - 1) ** 0.5 / (2 * _UNIT)
"""Most that rounding to whole steps can move the 63 coordinates."""
_FLOAT_ERROR: Final = 1e-4
"""Far more than what sums of 64 products in single precision are off by."""
_CHUNK: Final = 8192
"""Rows in one pass, which with the products takes about the second-level cache."""
_CALL: Final = 32768
"""Rows in one call of the compiled loop."""

TILE: Final = 128
"""Rows whose sketches lie together: one coordinate of all of them after the other."""

Sketches = NDArray[np.int8]
"""(t, 64, 128): tiles"""


def _basis() -> NDArray[np.float32]:
    """The 63 directions, (272, 63), in which signatures differ most, if brightness wanders as in photographs.

    Mean squared differences of brightness there grow as a power of the distance, about the 0.8th, which gives
    the correlation of any two of the 272 differences; that of their signs is the arcsine of it (Gauss). Rows
    and columns are weighted a little unlike, lest two directions be equally good and rounding choose.
    """
    row, column = np.divmod(np.arange(81), 9)
    apart = ((row[:, None] - row) ** 2 + 1.05 * (column[:, None] - column) ** 2) ** 0.4
    first, second = POINT[HALF], NEIGHBOUR[HALF]
    across = apart[first][:, second] + apart[second][:, first]
    covariance = across - apart[first][:, first] - apart[second][:, second]
    deviation = np.sqrt(np.diag(covariance))
    correlation = np.clip(covariance / np.outer(deviation, deviation), -1, 1)
    basis = np.linalg.eigh(np.arcsin(correlation))[1][:, :-SKETCH_BYTES:-1]
    found: NDArray[np.float32] = (basis * np.sign(np.arange(1, len(basis) + 1) @ basis)).astype(np.float32)
    return found


_BASIS: Final = _basis()


def tiles(rows: int) -> int:
    """Tiles that so many rows take."""
    return -(-rows // TILE)


def write(sketches: Sketches, at: int, halves: NDArray[np.int8]) -> None:
    """Sketch signatures, given by their determining values (n, 272), as rows ``at`` and following."""
    start = 0
    while start < len(halves):
        number, lane = divmod(at + start, TILE)
        lanes = min(TILE - lane, len(halves) - start)
        if lane == 0 and len(halves) - start >= TILE:  # many whole tiles at once
            lanes = min(_CHUNK, len(halves) - start) // TILE * TILE
        coordinates, rest = _coordinates(halves[start : start + lanes])
        made = np.empty((lanes, SKETCH_BYTES), dtype=np.int8)
        np.rint(coordinates * _UNIT, out=made[:, :-1], casting="unsafe")
        np.ceil(rest * _UNIT, out=made[:, -1], casting="unsafe")
        if lanes <= TILE:
            sketches[number, :, lane : lane + lanes] = made.T
        else:
            whole = made.reshape(-1, TILE, SKETCH_BYTES).transpose(0, 2, 1)
            sketches[number : number + lanes // TILE] = whole
        start += lanes


def _coordinates(halves: NDArray[np.int8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Coordinates (n, 63) of the signatures brought to length 1, and the lengths left out (n,)."""
    rows = halves.astype(np.float32)
    lengths = np.sqrt(np.maximum(np.einsum("ij,ij->i", rows, rows), 1))
    coordinates: NDArray[np.float32] = (rows @ _BASIS) / lengths[:, None]
    kept = np.einsum("ij,ij->i", coordinates, coordinates)
    return coordinates, np.sqrt(np.clip(1 + _FLOAT_ERROR - kept, 0, 1))


class _Scratch:
    """Work space of numpy, so that a pass allocates next to nothing."""

    def __init__(self, tiles: int, views: int) -> None:
        self.wide = np.empty((tiles, SKETCH_BYTES, TILE), dtype=np.float32)
        self.products = np.empty((tiles, views, TILE), dtype=np.float32)


class Sieve:
    """Views, each with its negative, against which sketches are held."""

    def __init__(self, halves: NDArray[np.int8], cutoff: float) -> None:
        """``halves`` (q, 272); any positive ``cutoff``, though from 0.7 on nothing is held back."""
        coordinates, rest = _coordinates(halves)
        self._weights = np.zeros((len(halves), SKETCH_BYTES), dtype=np.float32)
        self._weights[:, :-1] = coordinates / _UNIT
        self._rest = float(rest.max()) / _UNIT
        # Of two vectors within the cutoff this is the least cosine, whatever their lengths: the least is
        # reached at equal lengths.
        cosine = 1 - 2 * cutoff**2 if cutoff < 1 else -1.0
        self._least = cosine - _ROUNDING - _FLOAT_ERROR
        self._steps = compiled.Weights.of(self._weights, self._least, self._rest)

    def pairs(self, sketches: Sketches, count: int) -> Pairs:
        """Rows and views, by number, both (m,), of which the distance of the row to the view or to its
        negative may be within the cutoff; of the first ``count`` rows of ``sketches``."""
        step, near = self._way(count)
        found: list[Pairs] = [(np.zeros(0, np.intp), np.zeros(0, np.intp))]
        for start in range(0, count, step):
            part, here = sketches[start // TILE : tiles(start + step)], min(step, count - start)
            rows, numbers = near(part, here)
            found.append((rows + start, numbers))
        rows, numbers = (np.concatenate(column) for column in zip(*found, strict=True))
        return rows, numbers

    def _way(self, count: int) -> tuple[int, Callable[[Sketches, int], Pairs]]:
        """How many rows to look at at once, and what looks at them."""
        if compiled.inner is not None:
            return _CALL, partial(compiled.inner.near, self._steps)
        views = len(self._weights)
        step = max(TILE, min(_CHUNK, 16 * _CHUNK // views) // TILE * TILE)
        return step, partial(self._near, _Scratch(tiles(min(step, count)), views))

    def _near(self, scratch: "_Scratch", part: Sketches, count: int) -> Pairs:
        """The same of one chunk, by numpy: one product for each tile, which is read as it lies."""
        wide, products = scratch.wide[: len(part)], scratch.products[: len(part)]
        np.copyto(wide, part)
        likeness = np.abs(np.matmul(self._weights, wide, out=products), out=products)
        needed = self._least - self._rest * wide[:, -1]
        rows = np.flatnonzero((likeness.max(axis=1) >= needed).reshape(-1)[:count])
        tile, lane = np.divmod(rows, TILE)
        near, view = np.nonzero(likeness[tile, :, lane] >= needed[tile, lane, None])
        return rows[near], view
