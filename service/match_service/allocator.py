"""How much freed memory the C library keeps for later: by default more than a small container can spare.

glibc gives each of many threads a heap of its own, and returns from a heap only what lies at its end. Other
C libraries keep less; there these functions do nothing.
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
    try:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    except OSError:  # not Linux
        return 0
    return pages * resource.getpagesize()
