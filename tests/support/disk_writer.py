"""A program that uses the embedded store and notes what it was told, for power_cut.py to record.

``python disk_writer.py DATABASE LOG NAME SEED CHANGES SYNCHRONOUS``: two threads make so many changes, each
to names of its own. Every change is noted in the log twice, before it begins and once it is acknowledged.
"""

import json
import os
import random
import struct
import sys
import threading
from pathlib import Path

from match_service.store.embedded import EmbeddedStore
from numbered import record

HEAD = struct.Struct("=c3xIQQQII")
"""As ``struct head`` of disk_shim.c."""
NAMES = 12
"""Of each thread; few, so that most changes replace or remove something."""
Changes = dict[str, int | None]


def note(log: int, kind: bytes, said: object) -> None:
    """Append a note to the log, between the records of the shim."""
    text = json.dumps(said).encode()
    os.write(log, HEAD.pack(kind, 0, 0, 0, 0, len(text), 0) + text)


class Writer:
    """One thread's changes to its own names."""

    def __init__(self, store: EmbeddedStore, log: int, name: str, seed: int) -> None:
        self._store = store
        self._log = log
        self._name = name
        self._random = random.Random(f"{seed} {name}")
        self._number = 0

    def run(self, changes: int) -> None:
        for _ in range(changes):
            self._change()

    def _change(self) -> None:
        kind = self._random.choices(("add", "delete", "add_new", "add_many", "delete_many"), (5, 2, 1, 1, 1))[
            0
        ]
        several = 3 if kind.endswith("many") else 1
        names = [f"{self._name}/{n}" for n in self._random.sample(range(NAMES), several)]
        self._number += 1
        wanted: Changes = {
            name: None if kind.startswith("delete") else self._number * 10 + at
            for at, name in enumerate(names)
        }
        identity = f"{self._name}:{self._number}"
        note(self._log, b"B", {"id": identity, "changes": wanted})
        done = self._make(kind, wanted)
        note(self._log, b"A", {"id": identity, "done": done})

    def _make(self, kind: str, wanted: Changes) -> bool:
        """Whether anything was to change."""
        names = list(wanted)
        records = [record(name, number) for name, number in wanted.items() if number is not None]
        if kind == "add":
            self._store.add(records[0])
        elif kind == "add_new":
            return self._store.add_new(records[0]) is not None
        elif kind == "add_many":
            self._store.add_many(records)
        elif kind == "delete":
            self._store.delete(names[0])
        else:
            self._store.delete_many(names)
        return True


def main(path: str, log: str, name: str, seed: str, changes: str, synchronous: str) -> None:
    """Make the changes in two halves, with the store closed and opened again between them."""
    notes = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    for half in range(2):
        store = EmbeddedStore.open(Path(path))
        if synchronous != "FULL":  # as the store is not: to see that the loss would be noticed
            store._database._writer.execute(f"PRAGMA synchronous = {synchronous}")
        writers = [Writer(store, notes, f"{name}{half}{thread}", int(seed)) for thread in "ab"]
        threads = [threading.Thread(target=each.run, args=(int(changes) // 4,)) for each in writers]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        store.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
