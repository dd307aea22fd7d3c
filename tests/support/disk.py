"""A disk on which only what was synced is sure to survive a power cut, and what may be left of it.

Of what was written since, each piece may be there or not: whole writes, or their sectors of 512 bytes, in any
order. A folder is a file of its own here: that a name exists, or no longer does, is sure only once it was
synced.
"""

import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

SECTOR = 512
VOLATILE = "-shm"
"""SQLite's shared memory: read by nobody after a crash, whatever it holds."""
Files = dict[str, bytes]


@dataclass(frozen=True, slots=True)
class Event:
    """What a program did to the disk, in the letters of disk_shim.c; A and B are notes of disk_writer.py."""

    kind: str
    thread: int
    inode: int
    offset: int
    names: str
    data: bytes


@dataclass(eq=False, slots=True)
class _File:
    """What is on the disk for sure, and what came later: writes, and truncations as lengths."""

    durable: bytearray = field(default_factory=bytearray)
    pending: list[tuple[int, bytes] | int] = field(default_factory=list)
    settled: int = 0
    """Changes that have become durable."""

    def settle(self, until: int) -> None:
        """Make the first ``until`` of all changes there were durable."""
        count = max(0, until - self.settled)
        for change in self.pending[:count]:
            _apply(self.durable, change)
        del self.pending[:count]
        self.settled += count


def _apply(content: bytearray, change: tuple[int, bytes] | int) -> None:
    length = change if isinstance(change, int) else change[0] + len(change[1])
    if len(content) < length:
        content.extend(bytes(length - len(content)))
    if isinstance(change, int):
        del content[change:]
    else:
        content[change[0] : length] = change[1]


class Disk:
    """A folder that is written to, and what may be left of it."""

    def __init__(self, folder: int) -> None:
        """``folder`` is its inode."""
        self._folder = folder
        self._files: dict[int, _File] = {}
        self._names: dict[str, _File] = {}
        self._durable: dict[str, _File] = {}
        self._moves: list[tuple[str, _File | None]] = []
        """Names that were made, or (None) removed, since the folder was synced."""
        self._moved = 0
        self._begun: dict[tuple[int, int], int] = {}

    def happen(self, event: Event) -> None:
        """Take in what the program did."""
        act: dict[str, Callable[[Event], None]] = {
            "C": self._create, "W": self._write, "T": self._write, "S": self._begin, "s": self._end,
            "U": lambda event: self._name(event.names, None), "R": self._rename,
        }  # fmt: skip
        if event.kind in act and not event.names.endswith(VOLATILE):
            act[event.kind](event)

    def _name(self, name: str, file: _File | None) -> None:
        self._moves.append((name, file))
        if file is None:
            self._names.pop(name, None)
        else:
            self._names[name] = file

    def _create(self, event: Event) -> None:
        known = self._names.get(event.names)
        if known is None or known is not self._files.get(event.inode):
            self._files[event.inode] = _File()
            self._name(event.names, self._files[event.inode])

    def _rename(self, event: Event) -> None:
        old, new = event.names.split("/")
        file = self._names[old]
        self._name(new, file)
        self._name(old, None)

    def _write(self, event: Event) -> None:
        if event.inode in self._files:
            change = event.offset if event.kind == "T" else (event.offset, event.data)
            self._files[event.inode].pending.append(change)

    def _begin(self, event: Event) -> None:
        if event.inode == self._folder:
            seen = self._moved + len(self._moves)
        elif event.inode in self._files:
            file = self._files[event.inode]
            seen = file.settled + len(file.pending)
        else:
            return
        self._begun[event.thread, event.inode] = seen

    def _end(self, event: Event) -> None:
        seen = self._begun.pop((event.thread, event.inode), None)
        if seen is None:
            return
        if event.inode != self._folder:
            self._files[event.inode].settle(seen)
            return
        count = max(0, seen - self._moved)
        for name, file in self._moves[:count]:
            _move(self._durable, name, file)
        del self._moves[:count]
        self._moved += count

    def whole(self) -> Files:
        """What a program that reads the files sees."""
        return {
            name: _content(file, itertools.repeat(True), torn=False) for name, file in self._names.items()
        }

    def lost_power(self, chance: random.Random) -> Files:
        """One of the states in which the power cut may leave the folder."""
        manner = chance.choice(("dropped", "whole", "torn", "torn"))
        share = 0.0 if manner == "dropped" else chance.choice((0.1, 0.5, 0.9))
        keep = iter(lambda: chance.random() < share, None)
        names = dict(self._durable)
        for name, file in self._moves:
            if next(keep):
                _move(names, name, file)
        files = {name: _content(file, keep, torn=manner == "torn") for name, file in names.items()}
        if chance.random() < 0.5:
            files[f"match.db{VOLATILE}"] = chance.randbytes(32768)
        return files


def _move(names: dict[str, _File], name: str, file: _File | None) -> None:
    if file is None:
        names.pop(name, None)
    else:
        names[name] = file


def _content(file: _File, keep: Iterator[bool], *, torn: bool) -> bytes:
    content = bytearray(file.durable)
    for change in file.pending:
        parts = [change] if isinstance(change, int) or not torn else list(_sectors(*change))
        for part in parts:
            if next(keep):
                _apply(content, part)
    return bytes(content)


def _sectors(offset: int, data: bytes) -> Iterator[tuple[int, bytes]]:
    start = 0
    while start < len(data):
        stop = min(len(data), start + SECTOR - (offset + start) % SECTOR)
        yield offset + start, data[start:stop]
        start = stop
