"""The part of the image the grid is laid over: image-match's crop, without summing the whole image.

image-match cuts each axis at the 5th and 95th percentile of the *cumulative* variation of its lines.
Percentiles of a growing sequence are positions, so the cut is line 0.05 (n - 1) + 1 and line
0.95 (n - 1), whatever the picture shows, unless the lines just there are exactly flat. So only those lines
are looked at. Where rounding could decide (a line varies by less than a thousandth of one grey level's
range in all), the sums are made as image-match makes them.
"""

from collections.abc import Callable
from enum import Enum
from math import floor
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from match_service.engine.decode import Frame
from match_service.engine.grey import WEIGHTS, exact_grey, integer_grey

LOW: Final = 5 / 100
HIGH: Final = 95 / 100
_CLEAR: Final = 2550
"""Variation in units of 1/2,550,000 that is far above what rounding adds to any sum (at most 1e-7)."""
_FEW: Final = 8
_BLOCK_PIXELS: Final = 1 << 20
_MOST_FLAT: Final = 1000
"""Flat lines after which it is quicker to make all the sums than to look on, line by line."""


class Window(NamedTuple):
    """Limits of the grid in pixels; may reach the last line, never beyond."""

    top: int
    bottom: int
    left: int
    right: int


class _Line(Enum):
    CLEAR = "varies enough for the cumulative sum to grow in any arithmetic"
    FLAT = "adds exactly nothing in image-match's arithmetic"
    UNSURE = "in between"


class _UnsureError(Exception):
    """Rounding would decide, or too many lines are flat."""


def window(frame: Frame) -> Window:
    """image-match's crop limits of ``frame``."""
    try:
        top, bottom = _limits(frame.height, lambda i: _row(frame, i))
        left, right = _limits(frame.width, lambda j: _column(frame, j))
    except _UnsureError:
        return exact_window(frame)
    return Window(top, bottom, left, right)


def exact_window(frame: Frame) -> Window:
    """The same by image-match's own sums over all pixels, in blocks of rows."""
    rows = np.zeros(frame.height)
    columns = np.zeros((1, frame.width))
    step = max(1, _BLOCK_PIXELS // frame.width)
    for start in range(0, frame.height, step):
        # One row more, so that differences between blocks count; its own sum is simply made twice.
        grey = exact_grey(frame.rows(start, min(start + step + 1, frame.height)))
        rows[start : start + len(grey)] = np.sum(np.abs(np.diff(grey, axis=1)), axis=1)
        # Row by row onto the sum so far: the order in which numpy adds along the first axis.
        columns = np.add.reduce(np.vstack([columns, np.abs(np.diff(grey, axis=0))]), axis=0, keepdims=True)
    top, bottom = _exact_limits(np.cumsum(rows))
    left, right = _exact_limits(np.cumsum(columns[0]))
    return Window(top, bottom, left, right)


def _exact_limits(cumulative: NDArray[np.float64]) -> tuple[int, int]:
    lower = int(np.searchsorted(cumulative, np.percentile(cumulative, 5), side="right"))
    upper = int(np.searchsorted(cumulative, np.percentile(cumulative, 95), side="left"))
    return _or_default(lower, upper, len(cumulative))


def _limits(count: int, line: Callable[[int], _Line]) -> tuple[int, int]:
    """Positions of the percentiles among ``count`` lines whose variation ``line`` judges."""
    flat = 0

    def passed(index: int) -> bool:
        nonlocal flat
        if not _is_flat(line(index)):
            return False
        flat += 1
        if flat > _MOST_FLAT:
            raise _UnsureError
        return True

    lower = floor((count - 1) * LOW) + 1
    while lower < count and passed(lower):
        lower += 1
    position = (count - 1) * HIGH
    upper = floor(position)
    if upper == position or passed(upper + 1):
        while upper > 0 and passed(upper):
            upper -= 1
    else:
        upper += 1
    return _or_default(lower, upper, count)


def _or_default(lower: int, upper: int, count: int) -> tuple[int, int]:
    if lower > upper:
        return int(LOW * count), int(HIGH * count)
    return lower, upper


def _is_flat(line: _Line) -> bool:
    if line is _Line.UNSURE:
        raise _UnsureError
    return line is _Line.FLAT


def _plainly_varies(line: NDArray[np.uint8]) -> bool:
    """Whether a few pixels of a line (n, 3) differ by what makes it clear: the others can but add to that."""
    red, green, blue = WEIGHTS.tolist()
    few = line[:: len(line) // _FEW + 1].tolist()
    levels = [red * r + green * g + blue * b for r, g, b in few]
    return bool(max(levels) - min(levels) >= _CLEAR)


def _row(frame: Frame, index: int) -> _Line:
    pixels = frame.rows(index, index + 1)
    if _plainly_varies(pixels[0]):
        return _Line.CLEAR
    variation = int(np.abs(np.diff(integer_grey(pixels), axis=1)).sum())
    if variation >= _CLEAR:
        return _Line.CLEAR
    # Equal pixels can differ in their last bit, since BLAS treats the end of a row in its own way.
    if variation == 0 and not np.diff(exact_grey(pixels)).any():
        return _Line.FLAT
    return _Line.UNSURE


def _column(frame: Frame, index: int) -> _Line:
    pixels = frame.region(0, frame.height, index, index + 1)
    if _plainly_varies(pixels[:, 0]):
        return _Line.CLEAR
    variation = int(np.abs(np.diff(integer_grey(pixels), axis=0)).sum())
    if variation >= _CLEAR:
        return _Line.CLEAR
    # Unlike in a row, equal colours at one place of equal rows give equal bits.
    if not np.diff(pixels, axis=0).any():
        return _Line.FLAT
    return _Line.UNSURE
