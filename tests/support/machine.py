"""What a measurement ran on and what its processes take, in the words of the documents."""

import os
import platform
import sqlite3
from pathlib import Path

MIB = 1024 * 1024


def description() -> str:
    """Processors, memory and versions that matter."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1024**3
    return (
        f"{os.cpu_count()} processors, {memory:.0f} GB of memory, Python {platform.python_version()}, "
        f"SQLite {sqlite3.sqlite_version}"
    )


def family(parent: int) -> list[int]:
    """A process and all that descend from it."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        children.setdefault(int(fields[1]), []).append(int(folder.name))
    found = [parent]
    for each in found:
        found += children.get(each, [])
    return found


def resident(parent: int) -> float:
    """MiB of memory of a process and its descendants; what they share is counted once (PSS)."""
    total = 0
    for process in family(parent):
        try:
            lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total * 1024 / MIB


def load() -> str:
    """How busy the machine is with everything, itself included."""
    return f"{os.getloadavg()[1]:.1f}"
