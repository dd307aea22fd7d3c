"""How much memory the mirror may take where nobody has said: half of what the container has.

The other half is for the workers and the images they decode. Beyond its limit a container is killed, so the
bound must follow the limit and not a number that suited another one.
"""

import os
from pathlib import Path
from typing import Final

SHARE: Final = 0.5
_UNLIMITED: Final = 1 << 60
"""Control groups of version 1 say "no limit" with a number near 2^63."""


def mirror_bytes(chosen: int | None, root: Path = Path("/")) -> int:
    """The bound in bytes: ``chosen``, or half of what the container, else the machine, has."""
    return int(memory_limit(root) * SHARE) if chosen is None else chosen


def memory_limit(root: Path = Path("/")) -> int:
    """Bytes of memory that this process may use: the least limit of its control groups, at most all there is.

    ``root`` is where ``proc`` and ``sys`` are.
    """
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([physical, *_group_limits(root)])


def _group_limits(root: Path) -> list[int]:
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    limits = []
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers:
            limits += _limits(root / "sys/fs/cgroup", path, "memory.max")
        elif "memory" in controllers.split(","):
            limits += _limits(root / "sys/fs/cgroup/memory", path, "memory.limit_in_bytes")
    return limits


def _limits(mount: Path, path: str, name: str) -> list[int]:
    """Limits of the group at ``path`` and of all above it, as far as they can be seen from in here: a
    container often finds its own group at the mount, under a path that exists only outside."""
    group = mount / path.lstrip("/")
    found = []
    for folder in (group, *group.parents):
        if not folder.is_relative_to(mount):
            break
        try:
            text = (folder / name).read_text().strip()
        except OSError:
            continue
        if text.isdigit() and int(text) < _UNLIMITED:
            found.append(int(text))
    return found
