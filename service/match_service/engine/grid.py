"""Mean grey level around each of the 9 x 9 grid points, in both arithmetics of ``grey``.

Where the points lie follows from the size and the window alone, so it is kept for the next image.
"""

import functools
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from match_service.engine import compiled
from match_service.engine.decode import Frame
from match_service.engine.grey import SCALE, WEIGHTS, exact_grey
from match_service.engine.layout import GRID
from match_service.engine.window import Window

_ROWS: Final = 257
"""Most bytes whose sum fits 16 bits, in which numpy adds fastest."""


class Boxes(NamedTuple):
    """The 9 row spans and 9 column spans whose 81 crossings are averaged, in pixels."""

    rows: list[tuple[int, int]]
    columns: list[tuple[int, int]]
    edges: NDArray[np.intp]
    """Of the column spans, one after the other, from the first one's left edge (18,)."""
    spans: tuple[NDArray[np.int64], NDArray[np.int64]]
    """The row spans and the column spans (9, 2)."""
    shares: NDArray[np.float64]
    """By which a crossing's sum of grey levels is its mean's multiple (9, 9)."""


def boxes(frame: Frame, window: Window) -> Boxes:
    """image-match's sample boxes: about a twentieth of the shorter side, around evenly spread points."""
    return _boxes(frame.height, frame.width, window)


@functools.lru_cache(maxsize=256)
def _boxes(height: int, width: int, window: Window) -> Boxes:
    side = max(2.0, int(0.5 + min(height, width) / 20.0))
    tops, bottoms = _spans(window.top, window.bottom, side, height)
    lefts, rights = _spans(window.left, window.right, side, width)
    return Boxes(
        list(zip(tops.tolist(), bottoms.tolist(), strict=True)),
        list(zip(lefts.tolist(), rights.tolist(), strict=True)),
        np.stack([lefts, rights], axis=1).ravel() - lefts[0],
        (np.stack([tops, bottoms], axis=1), np.stack([lefts, rights], axis=1)),
        np.outer(bottoms - tops, rights - lefts) * float(SCALE),
    )


def _spans(low: int, high: int, side: float, size: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    centres = np.linspace(low, high, GRID + 2, dtype=int)[1:-1]
    lower = np.maximum(centres - side / 2, 0).astype(np.int64)
    return lower, np.minimum(lower + side, size).astype(np.int64)


def fast_means(frame: Frame, box: Boxes) -> NDArray[np.float64]:
    """Means 0..1, shape (9, 9): exact integer sums, each rounded once (error below 1e-15)."""
    pixels = frame.pixels
    if compiled.inner is None or pixels is None:
        sums = _sums(frame, box)
    else:
        sums = compiled.inner.boxes(pixels, *box.spans)
    means: NDArray[np.float64] = (sums @ WEIGHTS) / box.shares
    return means


def _sums(frame: Frame, box: Boxes) -> NDArray[np.uint32]:
    """Sums (9, 9, 3) over the crossings, by numpy."""
    left, right = box.columns[0][0], box.columns[-1][1]
    tall = box.rows[GRID // 2][1] - box.rows[GRID // 2][0] > _ROWS
    # One column more: ``reduceat`` wants the last edge to be one.
    columns = np.zeros((GRID, right - left + 1, 3), dtype=np.uint32 if tall else np.uint16)
    for i, (top, bottom) in enumerate(box.rows):
        for start in range(top, bottom, _ROWS):
            band = frame.region(start, min(start + _ROWS, bottom), left, right)
            if tall:
                columns[i, :-1] += np.add.reduce(band, axis=0, dtype=np.uint16)
            else:
                np.add.reduce(band, axis=0, dtype=np.uint16, out=columns[i, :-1])
    sums: NDArray[np.uint32] = np.add.reduceat(columns, box.edges, axis=1, dtype=np.uint32)[:, ::2]
    return sums


def exact_means(frame: Frame, box: Boxes) -> NDArray[np.float64]:
    """Means 0..1, shape (9, 9), bit for bit those of image-match on this machine."""
    means = np.empty((GRID, GRID))
    for i, (top, bottom) in enumerate(box.rows):
        grey = exact_grey(frame.rows(top, bottom))
        for j, (left, right) in enumerate(box.columns):
            means[i, j] = np.mean(grey[:, left:right])
    return means
