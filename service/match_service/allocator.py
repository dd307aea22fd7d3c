"""The memory of this process: what it has, and how much of what it freed the C library keeps for later.

glibc gives each of many threads a heap of its own, and returns from a heap only what lies at its end: more
than a small container can spare. Other C libraries keep less; there nothing is done about it.
"""

import contextlib
import ctypes
import resource
from pathlib import Path
from typing import Final

M_ARENA_MAX: Final = -8
"""``mallopt(3)``."""
HEAPS: Final = 2
"""Threads hold Python's lock most of the time, so they hardly wait for one another here."""


def share_heaps() -> None:
    """Let the threads of this process, and of those forked from it, share a few heaps; before they begin."""
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).mallopt(ctypes.c_int(M_ARENA_MAX), ctypes.c_int(HEAPS))


def trim() -> None:
    """Return all free memory to the system; the next who needs as much pays with page faults."""
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(ctypes.c_size_t(0))


def resident() -> int:
    """Bytes of memory that this process has now, 0 where that is not told."""
    return _statm()[1]


def address_space() -> int:
    """Bytes of addresses that this process has taken, used or not; 0 where that is not told."""
    return _statm()[0]


def _statm() -> list[int]:
    """The columns of ``proc_pid_statm(5)`` in bytes."""
    try:
        pages = Path("/proc/self/statm").read_text("ascii").split()
    except OSError:  # not Linux
        return [0, 0]
    return [int(count) * resource.getpagesize() for count in pages]
