"""``inner.c`` as functions, where a C compiler was at hand when this package was installed.

Nearly all of a search of a million signatures are two short loops, which in machine code take a third of
what they take in numpy; a third loop is much of a signature once the image is decoded. They are called by
ctypes, so that neither their build nor their loading knows a Python version, and run without the
interpreter's lock. Without them all works the same, only slower.
"""

import ctypes
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

LIBRARY: Final = Path(__file__).with_name("_inner.so")
"""What ``hatch_build.py`` makes."""

_STEPS: Final = 32767
"""Whole steps to one of a weight's."""
_ROUNDING: Final = 1.5e-4
"""More than rounding 63 weights to steps can move a product."""

Pairs = tuple[NDArray[np.intp], NDArray[np.intp]]


class Weights(NamedTuple):
    """What rows are held against, in whole steps; a pair is let through where the absolute product is at
    least ``least`` minus ``rest`` times the row's last coordinate."""

    steps: NDArray[np.int16]
    """(q, 64)"""
    least: int
    rest: int

    @classmethod
    def of(cls, weights: NDArray[np.float32], least: float, rest: float) -> "Weights":
        """The same of real numbers, rounded so that what they let through is let through."""
        unit = 127 * _STEPS
        steps = np.clip(np.rint(weights * unit), -_STEPS, _STEPS).astype(np.int16)
        return cls(steps, int((least - _ROUNDING) * unit), int(rest * unit) + 1)


class Inner:
    """The loops, of which there may be one set for each kind of processor."""

    def __init__(self, library: ctypes.CDLL, suffix: str) -> None:
        limit, whole, pointer = ctypes.c_int32, ctypes.c_int64, ctypes.c_void_p
        self._boxes = library.match_boxes
        self._boxes.restype, self._boxes.argtypes = None, [pointer, whole, pointer, pointer, pointer]
        self._sieve, self._dots = (getattr(library, f"match_{name}{suffix}") for name in ("sieve", "dots"))
        self._sieve.restype, self._dots.restype = whole, None
        self._sieve.argtypes = [pointer, whole, limit, limit, pointer, whole, pointer, pointer]
        self._dots.argtypes = [pointer, pointer, pointer, pointer, whole, pointer]

    def near(self, weights: Weights, tiles: NDArray[np.int8], count: int) -> Pairs:
        """Which of the first ``count`` rows in ``tiles`` (t, 64, 128) may be near which of the ``weights``.

        Rows and views, both (m,). Room for all pairs is set aside, though hardly ever touched.
        """
        steps, least, rest = weights
        room = np.empty((2, len(steps) * count), dtype=np.int32)
        tiles = np.ascontiguousarray(tiles)
        found = self._sieve(
            _at(steps), len(steps), least, rest, _at(tiles), count, _at(room[0]), _at(room[1])
        )
        return room[0, :found].astype(np.intp), room[1, :found].astype(np.intp)

    def dots(self, halves: NDArray[np.uint8], queries: NDArray[np.uint8], pairs: Pairs) -> NDArray[np.int16]:
        """Dot products (m,) of rows of ``halves`` (n, 102) with rows of ``queries`` (q, 102)."""
        rows, numbers = (column.astype(np.int32) for column in pairs)
        halves, queries = np.ascontiguousarray(halves), np.ascontiguousarray(queries)
        dots = np.empty(len(rows), dtype=np.int16)
        self._dots(_at(halves), _at(queries), _at(rows), _at(numbers), len(rows), _at(dots))
        return dots

    def boxes(
        self, pixels: NDArray[np.uint8], rows: NDArray[np.int64], columns: NDArray[np.int64]
    ) -> NDArray[np.uint32]:
        """Sums (9, 9, 3) of ``pixels`` (rows, columns, 3) over the crossings of spans (9, 2) within them."""
        sums = np.empty((len(rows), len(columns), 3), dtype=np.uint32)
        self._boxes(_at(pixels), pixels.strides[0], _at(rows), _at(columns), _at(sums))
        return sums


def load(suffix: str = "") -> Inner | None:
    """The loops, or those with ``suffix``; None if nothing was compiled, or in a version that lacks some."""
    try:
        return Inner(ctypes.CDLL(str(LIBRARY)), suffix)
    except (OSError, AttributeError):
        return None


def _at(array: NDArray[np.generic]) -> int:
    return int(array.ctypes.data)


inner: Inner | None = load()
"""None where nothing was compiled, and numpy does it."""
