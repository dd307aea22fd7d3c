"""Mean grey level around each of the 9 x 9 grid points, in both arithmetics of ``grey``."""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from match_service.engine.decode import Frame
from match_service.engine.grey import SCALE, WEIGHTS, exact_grey
from match_service.engine.layout import GRID
from match_service.engine.window import Window

_ROWS: Final = 257
"""Most bytes whose sum fits 16 bits, in which numpy adds fastest."""


class Boxes(NamedTuple):
    """The 9 row spans and 9 column spans whose 81 crossings are averaged; each (9,), in pixels."""

    tops: NDArray[np.int64]
    bottoms: NDArray[np.int64]
    lefts: NDArray[np.int64]
    rights: NDArray[np.int64]


def boxes(frame: Frame, window: Window) -> Boxes:
    """image-match's sample boxes: about a twentieth of the shorter side, around evenly spread points."""
    side = max(2.0, int(0.5 + min(frame.height, frame.width) / 20.0))
    tops, bottoms = _spans(window.top, window.bottom, side, frame.height)
    lefts, rights = _spans(window.left, window.right, side, frame.width)
    return Boxes(tops, bottoms, lefts, rights)


def _spans(low: int, high: int, side: float, size: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    centres = np.linspace(low, high, GRID + 2, dtype=int)[1:-1]
    lower = np.maximum(centres - side / 2, 0).astype(np.int64)
    return lower, np.minimum(lower + side, size).astype(np.int64)


def fast_means(frame: Frame, box: Boxes) -> NDArray[np.float64]:
    """Means 0..1, shape (9, 9): exact integer sums, each rounded once (error below 1e-15)."""
    left, right = int(box.lefts[0]), int(box.rights[-1])
    # Running sums may wrap around, but no box holds 2**32: its sides are at most a twentieth of 65,535.
    columns = np.zeros((GRID, right - left + 1, 3), dtype=np.uint32)
    for i in range(GRID):
        columns[i, 1:] = _column_sums(frame.region(int(box.tops[i]), int(box.bottoms[i]), left, right))
    running = np.cumsum(columns, axis=1, dtype=np.uint32)
    sums = running[:, box.rights - left] - running[:, box.lefts - left]
    counts = np.outer(box.bottoms - box.tops, box.rights - box.lefts)
    means: NDArray[np.float64] = (sums.astype(np.int64) @ WEIGHTS) / (counts * SCALE)
    return means


def _column_sums(band: NDArray[np.uint8]) -> NDArray[np.uint32]:
    sums = np.zeros(band.shape[1:], dtype=np.uint32)
    for start in range(0, len(band), _ROWS):
        sums += np.add.reduce(band[start : start + _ROWS], axis=0, dtype=np.uint16)
    return sums


def exact_means(frame: Frame, box: Boxes) -> NDArray[np.float64]:
    """Means 0..1, shape (9, 9), bit for bit those of image-match on this machine."""
    means = np.empty((GRID, GRID))
    for i in range(GRID):
        grey = exact_grey(frame.rows(int(box.tops[i]), int(box.bottoms[i])))
        for j in range(GRID):
            means[i, j] = np.mean(grey[:, int(box.lefts[j]) : int(box.rights[j])])
    return means
