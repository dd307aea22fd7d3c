"""Where the 648 values of a signature lie: the arithmetic every other stage shares.

A signature is 9 x 9 grid points x 8 neighbours, flattened in that order; value ``(i, j, k)`` compares
grid point ``(i, j)`` with neighbour ``k``. Neighbours beyond the grid make 104 values that are always
zero. Each of the other 544 is the negative of another one, seen from the neighbour: 272 say everything.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

GRID: Final = 9
LENGTH: Final = 648
NEIGHBOURS: Final = ((-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1))
"""Row and column offsets in image-match's order: upper left, upper, upper right, left, right, ..."""

Indices = NDArray[np.intp]


def _offsets() -> tuple[Indices, Indices, NDArray[np.bool_]]:
    i, j, k = np.meshgrid(np.arange(GRID), np.arange(GRID), np.arange(8), indexing="ij")
    offset = np.array(NEIGHBOURS)
    row, column = i + offset[k, 0], j + offset[k, 1]
    inside = (row >= 0) & (row < GRID) & (column >= 0) & (column < GRID)
    point = (i * GRID + j).ravel()
    neighbour = np.where(inside, row * GRID + column, i * GRID + j).ravel()
    return point, neighbour, inside.ravel()


POINT, NEIGHBOUR, INSIDE = _offsets()
"""By value: its grid point and its neighbour as flat grid indices (equal outside), and if it can vary."""

HALF: Final[Indices] = np.flatnonzero(INSIDE & (np.arange(LENGTH) % 8 >= 4))
"""The 272 values that determine all others: right, lower left, lower and lower right neighbours."""

# Neighbour k seen from the other side is 7 - k.
MIRROR: Final[Indices] = NEIGHBOUR[HALF] * 8 + 7 - HALF % 8
"""For each of ``HALF`` the value that is its negative."""


def _sources() -> Indices:
    source = np.full(LENGTH, 2 * len(HALF))
    source[HALF] = np.arange(len(HALF))
    source[MIRROR] = np.arange(len(HALF)) + len(HALF)
    return source


_SOURCES: Final = _sources()


def from_half(half: NDArray[np.int8]) -> NDArray[np.int8]:
    """Whole signatures (..., 648) from their determining values (..., 272)."""
    zero = np.zeros((*half.shape[:-1], 1), dtype=np.int8)
    return np.concatenate([half, -half, zero], axis=-1).take(_SOURCES, axis=-1)
