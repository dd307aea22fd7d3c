"""Cuts the power under a run of the embedded store, and looks whether anything acknowledged is lost.

A run is recorded by disk_shim.c: every write, truncation, sync and change of the folder, and between them
which changes of the store were begun and acknowledged. What the power cut may leave is built by disk.py.
"""

import json
import os
import random
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from disk import VOLATILE, Disk, Event, Files
from disk_writer import HEAD, Changes
from match_service.store.embedded import EmbeddedStore
from numbered import found, signature
from numbered import record as numbered

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Recording:
    """All that happened, and the folder's inode."""

    events: list[Event]
    folder: int

    def without_syncs(self, *, of_folder: bool = False) -> "Recording":
        """The same, of a program that never waits for the disk, or only not for the folder."""

        def left_out(event: Event) -> bool:
            return event.kind in "Ss" and (event.inode == self.folder or not of_folder)

        return Recording([event for event in self.events if not left_out(event)], self.folder)

    def moments(self, count: int, chance: random.Random) -> list[int]:
        """``count`` moments to cut the power at, half of them just after an acknowledgement."""
        acknowledged = [n + 1 for n, event in enumerate(self.events) if event.kind == "A"]
        anywhere = [chance.randrange(len(self.events)) for _ in range(count - count // 2)]
        return sorted(anywhere + [chance.choice(acknowledged) for _ in range(count // 2)])


@dataclass
class Promises:
    """What the store said it has done, and what it was asked and had not answered."""

    kept: Changes = field(default_factory=dict)
    open: dict[str, Changes] = field(default_factory=dict)

    def happen(self, event: Event) -> None:
        """Take in a note of the program."""
        if event.kind not in "AB":
            return
        said = json.loads(event.names)
        if event.kind == "B":
            self.open[said["id"]] = said["changes"]
            return
        changes = self.open.pop(said["id"])
        if said["done"]:
            self.kept |= changes

    def broken(self, found: dict[str, int]) -> list[str]:
        """What ``found`` (numbers by name) holds against the promises, in words."""
        free = {name for changes in self.open.values() for name in changes}
        wrong = [
            f"{name} is {found.get(name)}, but {self.kept.get(name)} was acknowledged"
            for name in sorted({*self.kept, *found} - free)
            if self.kept.get(name) != found.get(name)
        ]
        for changes in self.open.values():
            now = {name: found.get(name) for name in changes}
            before = {name: self.kept.get(name) for name in changes}
            if now not in (changes, before):
                wrong.append(f"{now} is neither {before} nor {changes}")
        return wrong


class Reopening:
    """Opens the store on what a power cut left, and looks at all of it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0

    def __call__(self, files: Files, promises: Promises) -> list[str]:
        self._count += 1
        folder = self._folder / str(self._count)
        folder.mkdir()
        for name, content in files.items():
            (folder / name).write_bytes(content)
        try:
            return self._look(folder / "match.db", promises)
        except Exception as error:  # noqa: BLE001 - a broken file may break anything; all of it is a loss
            return [f"the store cannot be used: {error!r}"]

    def _look(self, path: Path, promises: Promises) -> list[str]:
        store = EmbeddedStore.open(path)
        there = store.page(None, 10_000)
        wrong = promises.broken({each.record.filepath: each.record.metadata["n"] for each in there})
        for each in there:
            if not np.array_equal(each.record.signature, signature(each.record.metadata["n"])):
                wrong.append(f"{each.record.filepath} has another image's signature")
        if there and found(store, there[0].record.metadata["n"]) == []:
            wrong.append(f"{there[0].record.filepath} is not found")
        store.add(numbered("after", 999_999))
        if store.count() != len(there) + 1:
            wrong.append(f"{store.count()} images are counted, {len(there) + 1} are there")
        store.close()
        with sqlite3.connect(path) as connection:
            (sound,) = connection.execute("PRAGMA integrity_check").fetchone()
        connection.close()
        path.unlink()
        return wrong if sound == "ok" else [*wrong, str(sound)]


def record(folder: Path, changes: int, *, seed: int = 1, synchronous: str = "FULL") -> Recording:
    """Have two processes make ``changes`` changes each to one new store, and tell what they did."""
    data, log, shim = folder / "data", folder / "log", folder / "shim.so"
    data.mkdir()
    subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", shim, HERE / "disk_shim.c", "-ldl"], check=True)
    environ = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "LD_PRELOAD": str(shim),
        "MATCH_DISK_FOLDER": str(data),
        "MATCH_DISK_LOG": str(log),
    }
    command = [sys.executable, str(HERE / "disk_writer.py"), str(data / "match.db"), str(log)]
    arguments = [str(seed), str(changes), synchronous]
    running = [subprocess.Popen([*command, name, *arguments], env=environ) for name in ("first", "second")]
    assert [each.wait() for each in running] == [0, 0]
    recording = Recording(list(_read(log.read_bytes())), data.stat().st_ino)
    _check_complete(recording, data)
    return recording


def _read(log: bytes) -> Iterator[Event]:
    at = 0
    while at < len(log):
        kind, thread, inode, offset, length, names, _ = HEAD.unpack_from(log, at)
        at += HEAD.size
        text = log[at : at + names].decode()
        at += names
        data = log[at : at + length] if kind == b"W" else b""
        at += len(data)
        yield Event(kind.decode(), thread, inode, offset, text, data)


def _check_complete(recording: Recording, folder: Path) -> None:
    """A write that the shim did not see would make every result worthless."""
    disk = Disk(recording.folder)
    for event in recording.events:
        disk.happen(event)
    there = {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.endswith(VOLATILE)}
    assert disk.whole() == there


def replays(
    recording: Recording, count: int, seed: int, check: Callable[[Files, Promises], list[str]]
) -> list[str]:
    """Cut the power at ``count`` moments; what ``check`` finds broken, with the moment."""
    chance = random.Random(seed)
    moments = recording.moments(count, chance)
    disk, promises = Disk(recording.folder), Promises()
    found: list[str] = []
    for number, event in enumerate(recording.events):
        while moments and moments[0] == number:
            moments.pop(0)
            broken = check(disk.lost_power(chance), promises)
            found += [f"cut before event {number} of {len(recording.events)}: {what}" for what in broken]
        disk.happen(event)
        promises.happen(event)
    for _ in moments:
        found += check(disk.lost_power(chance), promises)
    return found
