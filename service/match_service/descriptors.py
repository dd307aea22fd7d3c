"""How many connections a process has file descriptors for.

gunicorn's worker ends where it cannot accept a connection for want of one, and with it every request that
it answers. So the soft limit, often 1024, is raised as far as may be, and no more connections are accepted
than fit.
"""

import contextlib
import resource
from typing import Final

OWN: Final = 256
"""For the store, listeners, logs and what libraries open."""
PER_THREAD: Final = 4
"""A selector while it waits for a request; what is fetched, uploaded and decoded while it answers one."""


def connections(wanted: int, threads: int) -> int:
    """How many of the ``wanted`` connections each of the processes forked from this one may have."""
    beside = OWN + PER_THREAD * threads
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= soft < wanted + beside:
        raised = wanted + beside if hard < 0 else min(hard, wanted + beside)
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
            soft = raised
    return wanted if soft < 0 else min(wanted, max(soft // 4, soft - beside))
