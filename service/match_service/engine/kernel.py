"""The scan's inner loop as machine code, made by Numba where that is installed.

Numpy passes over the memory once per operation, this loop once in all, at about the speed of reading it.
Importing Numba and compiling take a second or two and 150 MB, so it happens only where there are enough
signatures to be worth it, and in the background: numpy answers meanwhile, with the same results.
"""

import importlib
import threading
from collections.abc import Callable
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

WORTH_ROWS: Final = 20_000
"""Fewer rows take numpy a millisecond or two per view."""

_BLOCK: Final = 1024
"""Rows compared with all views while they are in the first-level cache."""

Words: TypeAlias = NDArray[np.uint64]
Shorts: TypeAlias = NDArray[np.int16]
Rows: TypeAlias = NDArray[np.int64]
Find: TypeAlias = Callable[[Words, Shorts, Words, Shorts, Rows], int]
"""See ``_find``."""

_lock = threading.Lock()
_started = False
_compiled: Find | None = None


def compiled(rows: int) -> Find | None:
    """The compiled loop, or None while there is none; asking for many ``rows`` starts its compilation."""
    if _compiled is None and rows >= WORTH_ROWS and not _started:
        threading.Thread(target=load, name="compile the scan").start()
    return _compiled


def load() -> bool:
    """Compile now, in this thread; whether the compiled loop is there."""
    global _started, _compiled  # noqa: PLW0603 - one program, one compiled loop
    with _lock:
        if not _started:
            _started = True
            _compiled = _compile()
    return _compiled is not None


def _compile() -> Find | None:
    try:
        numba: Any = importlib.import_module("numba")
        extending: Any = importlib.import_module("numba.extending")
        _teach_counting(extending, numba.types)
        for part in (_word, _dots):
            extending.register_jitable(part)
        signature = "int64(uint64[:,::1], int16[::1], uint64[:,::1], int16[:,::1], int64[:,::1])"
        find: Find = numba.njit(signature, nogil=True)(_find)
    except Exception:  # noqa: BLE001 - whatever keeps Numba from working here, numpy does the work
        return None
    return find


def _teach_counting(extending: Any, types: Any) -> None:
    """Numba does not know ``np.bitwise_count`` yet; every processor does."""

    def lowered(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    def typed(_context: Any, _word: Any) -> Any:
        return types.int64(types.uint64), lowered

    count = extending.intrinsic(typed)

    # Numba compares the parameters of the two with their annotations, and a lambda has none.
    extending.overload(np.bitwise_count)(lambda word: lambda word: count(word))  # noqa: ARG005, PLW0108


def _word(zero: Any, two: Any, negative: Any, query_zero: Any, query_two: Any, query_negative: Any) -> Any:
    x = zero & query_zero
    y = x & (two | query_two)
    b = two & query_two
    unlike = negative ^ query_negative
    count = np.bitwise_count
    like = count(x) + count(y) + 2 * count(b)
    return like - 2 * (count(x & unlike) + count(y & unlike) + 2 * count(b & unlike))


def _dots(columns: Words, start: int, stop: int, query: Words, dots: Shorts) -> None:
    # Slices of single columns and plain numbers are what the compiler turns into vector instructions.
    z0, z1, z2 = columns[0, start:stop], columns[1, start:stop], columns[2, start:stop]
    z3, z4, t0 = columns[3, start:stop], columns[4, start:stop], columns[5, start:stop]
    t1, t2, t3 = columns[6, start:stop], columns[7, start:stop], columns[8, start:stop]
    t4, n0, n1 = columns[9, start:stop], columns[10, start:stop], columns[11, start:stop]
    n2, n3, n4 = columns[12, start:stop], columns[13, start:stop], columns[14, start:stop]
    q0, q1, q2, q3, q4 = query[0], query[1], query[2], query[3], query[4]
    q5, q6, q7, q8, q9 = query[5], query[6], query[7], query[8], query[9]
    q10, q11, q12, q13, q14 = query[10], query[11], query[12], query[13], query[14]
    for i in range(stop - start):
        dots[i] = (
            _word(z0[i], t0[i], n0[i], q0, q5, q10)
            + _word(z1[i], t1[i], n1[i], q1, q6, q11)
            + _word(z2[i], t2[i], n2[i], q2, q7, q12)
            + _word(z3[i], t3[i], n3[i], q3, q8, q13)
            + _word(z4[i], t4[i], n4[i], q4, q9, q14)
        )


def _find(columns: Words, own: Shorts, queries: Words, limits: Shorts, hits: Rows) -> int:
    """Note (row, query, dot product of the halves) of what may be within the cutoff; how many there are.

    ``columns`` (15, n) are planes as in ``scan``, of which the first ``len(own)`` rows count; ``queries``
    (q, 15); ``limits`` (q, norms) by query and squared norm the least dot product, of either sign.
    ``hits`` (m, 3) receives at most m of them.
    """
    found = 0
    dots = np.empty(_BLOCK, np.int16)
    for start in range(0, len(own), _BLOCK):
        count = min(_BLOCK, len(own) - start)
        for q in range(len(queries)):
            limit = limits[q]
            _dots(columns, start, start + count, queries[q], dots)
            near = 0
            for i in range(count):
                near += abs(dots[i]) >= limit[own[start + i]]
            if near:
                for i in range(count):
                    if abs(dots[i]) >= limit[own[start + i]]:
                        if found < len(hits):
                            hits[found, 0] = start + i
                            hits[found, 1] = q
                            hits[found, 2] = dots[i]
                        found += 1
    return found
