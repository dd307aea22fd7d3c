"""Finished builds under a key made of what defines them: nothing is built twice, nothing goes stale."""

import contextlib
import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from labcluster import paths, progress

KEPT = 3
IGNORED = {"__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache"}


def files_under(*roots: Path) -> list[Path]:
    """Every file below the given files and folders, sorted; caches of tools left out."""
    found: set[Path] = set()
    for root in roots:
        below = root.rglob("*") if root.is_dir() else [root]
        found.update(path for path in below if path.is_file() and not IGNORED & set(path.parts))
    return sorted(found)


def key(files: Iterable[Path], root: Path, *words: str) -> str:
    """12 hex digits over the names (below `root`), modes and contents of the files, and over the words."""
    digest = hashlib.sha256()
    for path in files:
        mode = "x" if os.access(path, os.X_OK) else "-"
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"{path.relative_to(root)}\0{mode}\0{content}\n".encode())
    digest.update("\0".join(words).encode())
    return digest.hexdigest()[:12]


@contextlib.contextmanager
def locked(name: str) -> Iterator[None]:
    """Hold the lock of that name among all processes of this user."""
    folder = paths.cache()
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f".{name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def built(thing: str, build_key: str, expected: str, build: Callable[[Path], None]) -> Path:
    """The folder `<thing>-<key>` of the cache; `build` fills it once, half a build is never seen."""
    done = paths.cache() / f"{thing}-{build_key}"
    if not done.exists():
        with locked(thing):
            if not done.exists():
                _fill(thing, done, expected, build)
    os.utime(done)
    return done


def _fill(thing: str, done: Path, expected: str, build: Callable[[Path], None]) -> None:
    with progress.stage(f"build {thing}", expected):
        work = done.with_name(f".{done.name}.part")
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(mode=0o755)
        build(work)
        work.rename(done)
    older = sorted(paths.cache().glob(f"{thing}-{'?' * 12}"), key=lambda path: path.stat().st_mtime)
    for stale in older[:-KEPT]:
        shutil.rmtree(stale, ignore_errors=True)
