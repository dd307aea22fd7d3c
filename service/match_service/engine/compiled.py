"""``sieve.c`` as a function, where a C compiler was at hand when this package was installed.

Most of a search of a million signatures is one short loop, which in machine code takes a half to a third of
what it takes numpy. It is called by ctypes, so that neither its build nor its loading knows a Python version,
and runs without the interpreter's lock. Without it all works the same, only slower.
"""

import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

LIBRARY: Final = Path(__file__).with_name("_sieve.so")
"""What ``hatch_build.py`` makes."""

_CHUNK: Final = 32768
"""Rows in one call; room for all their pairs is set aside, though hardly ever touched."""
_STEPS: Final = 32767
"""Whole steps to one of a weight's."""
_ROUNDING: Final = 1.5e-4
"""More than rounding 63 weights to steps can move a product."""

Pairs = tuple[NDArray[np.intp], NDArray[np.intp]]
Sieve = Callable[[NDArray[np.float32], float, float, NDArray[np.int8]], Pairs]


def load(symbol: str) -> "Sieve | None":
    """The function of that name, None if nothing was compiled."""
    try:
        function = getattr(ctypes.CDLL(str(LIBRARY)), symbol)
    except OSError:
        return None
    function.restype = ctypes.c_int64
    limit, whole, pointer = ctypes.c_int32, ctypes.c_int64, ctypes.c_void_p
    function.argtypes = [pointer, whole, limit, limit, pointer, whole, whole, pointer, pointer]

    def pairs(weights: NDArray[np.float32], least: float, rest: float, sketches: NDArray[np.int8]) -> Pairs:
        """Rows and views, both (m,), where |weights (q, 64) @ sketches (64, n)| is at least ``least`` minus
        ``rest`` times the row's last coordinate, and perhaps where it is a little less."""
        unit = 127 * _STEPS
        steps = np.clip(np.rint(weights * unit), -_STEPS, _STEPS).astype(np.int16)
        limits = int((least - _ROUNDING) * unit), int(rest * unit) + 1
        views, count = len(steps), sketches.shape[1]
        room = np.empty((2, views * min(_CHUNK, count)), dtype=np.int32)
        found = [(np.zeros(0, np.intp), np.zeros(0, np.intp))]
        for start in range(0, count, _CHUNK):
            part = sketches[:, start : start + _CHUNK]
            if part.strides[1] != 1:
                part = np.ascontiguousarray(part)
            here = function(
                steps.ctypes.data, views, *limits, part.ctypes.data, part.strides[0], part.shape[1],
                room[0].ctypes.data, room[1].ctypes.data,
            )  # fmt: skip
            found.append((room[0, :here].astype(np.intp) + start, room[1, :here].astype(np.intp)))
        rows, numbers = (np.concatenate(column) for column in zip(*found, strict=True))
        return rows, numbers

    return pairs


sieve: Sieve | None = load("match_sieve")
"""The inner loop; None where it was not compiled, and numpy does it."""
