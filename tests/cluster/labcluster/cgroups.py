"""The cgroups of the lab and what runs in them: the one sure way to find every process of a container."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from labcluster import paths

CGROUPS = Path("/sys/fs/cgroup")
KILL_SECONDS = 20
NODES = 3
"""Nodes that the lab's share is meant for."""


def _hierarchies() -> list[Path]:
    """The roots of the machine's cgroup trees: one with cgroup v2, one for each controller with v1."""
    if (CGROUPS / "cgroup.controllers").exists():
        return [CGROUPS]
    return [path for path in sorted(CGROUPS.iterdir()) if path.is_dir() and not path.is_symlink()]


def name() -> str:
    """The lab's own cgroup below the root; a lab in another folder has another."""
    chosen = os.environ.get("MATCH_LAB_DIR")
    return f"match-operator-lab{chosen.replace('/', '-') if chosen else ''}"


def make(cgroup: str) -> None:
    """Make the cgroup in every tree; the kubelet wants its root to exist, with its controllers on."""
    for root in _hierarchies():
        folder = root
        for part in Path(cgroup).parts:
            _open_to_children(folder)
            folder /= part
            folder.mkdir(exist_ok=True)
            _share(folder)
        _open_to_children(folder)


def _share(folder: Path) -> None:
    """Give all pods of a node, and the nodes together, the share that `kubepods` has on a machine of its own.

    At a new cgroup's share every pod of the lab together would weigh as much as one busy process beside it.
    """
    shares = 1024 * (os.cpu_count() or 1) * (NODES if folder.name == name() else 1)
    for file, value in (("cpu.shares", shares), ("cpu.weight", 1 + (shares - 2) * 9999 // 262142)):
        if (folder / file).exists():
            (folder / file).write_text(str(value))


def _open_to_children(folder: Path) -> None:
    """Hand the controllers down (v2), copy the processors and memory nodes (v1 cpuset, else empty)."""
    control = folder / "cgroup.subtree_control"
    if control.exists() and (folder / "cgroup.controllers").read_text().strip():
        with contextlib.suppress(OSError):
            names = (folder / "cgroup.controllers").read_text().split()
            control.write_text(" ".join(f"+{name}" for name in names))
    for file in ("cpuset.cpus", "cpuset.mems"):
        mine, above = folder / file, folder.parent / file
        if mine.exists() and above.exists() and not mine.read_text().strip() and not control.exists():
            mine.write_text(above.read_text())


def members(cgroup: str) -> set[int]:
    """Every process in that cgroup and those below it."""
    pids: set[int] = set()
    for root in _hierarchies():
        for file in (root / cgroup).rglob("cgroup.procs"):
            with contextlib.suppress(OSError):
                pids.update(int(word) for word in file.read_text().split())
    return pids


def shims(state: Path) -> set[int]:
    """containerd's shims of that folder: they outlive containerd and hold its address in their words."""
    ours: set[int] = set()
    below = f"{state}/".encode()
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = file.read_bytes().split(b"\0")
            if b"containerd-shim" in words[0] and any(word.startswith(below) for word in words):
                ours.add(int(file.parent.name))
    return ours


def kill(find: Callable[[], set[int]]) -> None:
    """SIGKILL what `find` finds, again and again until it finds nothing."""
    end = time.monotonic() + KILL_SECONDS
    while (pids := find()) and time.monotonic() < end:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)


def remove() -> None:
    """Kill every container and shim, unmount what they had mounted, and take the cgroups away."""
    kill(lambda: members(name()))
    kill(lambda: shims(paths.run()))
    unmount(paths.lab(), paths.run())
    for root in _hierarchies():
        folders = [root / name(), *(root / name()).rglob("*")]
        for folder in sorted(folders, key=lambda path: len(path.parts), reverse=True):
            if folder.is_dir():
                with contextlib.suppress(OSError):
                    folder.rmdir()


def unmount(*folders: Path) -> None:
    """Detach every mount below the folders, the innermost first."""
    roots = tuple(f"{folder}/" for folder in folders)
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for point in sorted((point for point in points if point.startswith(roots)), key=len, reverse=True):
        subprocess.run(["umount", "--lazy", point], capture_output=True, check=False)
