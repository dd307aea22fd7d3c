"""From the other index into a store, portion by portion, each noted when the store has it."""

import hashlib
import json
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TextIO

import numpy as np
from numpy.typing import NDArray

from match_service.errors import StoreUnavailableError
from match_service.importer import LISTED, Outcome, Progress
from match_service.model import Record
from match_service.store.base import Store
from match_service.takeover.documents import Legacy, Refused, read
from match_service.takeover.source import Hit, Index, Portion, SourceError

_HASH_BYTES: Final = 8


class State:
    """The file that says up to which timestamp documents were taken over from one index into one store."""

    def __init__(self, path: Path, source: str, store: str) -> None:
        self._path = path
        self._key = hashlib.sha256(json.dumps([source, store]).encode()).hexdigest()[:16]

    def until(self) -> int | None:
        """Everything older than this (milliseconds since 1970) is in the store, and all of no timestamp."""
        return self._read().get(self._key)

    def note(self, until: int) -> None:
        """Remember it, on the disk when this returns."""
        part = self._path.with_name(self._path.name + ".part")
        with part.open("w", encoding="utf-8") as file:
            json.dump({**self._read(), self._key: until}, file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(self._path)

    def _read(self) -> dict[str, int]:
        try:
            known = json.loads(self._path.read_text("utf-8"))
        except (FileNotFoundError, ValueError):
            return {}
        return known if isinstance(known, dict) else {}


class Seen:
    """Which filepaths were met: eight bytes each, so that a hundred million fit in memory."""

    def __init__(self) -> None:
        self._sorted: NDArray[np.uint64] = np.empty(0, np.uint64)
        self._recent: set[int] = set()

    def add(self, filepath: str) -> bool:
        """Whether this is the first time."""
        digest = hashlib.blake2b(filepath.encode(), digest_size=_HASH_BYTES).digest()
        number = int.from_bytes(digest)
        if number in self._recent or self._is_settled(number):
            return False
        self._recent.add(number)
        return True

    def settle(self) -> None:
        """Pack what was met recently."""
        recent = np.fromiter(self._recent, np.uint64, len(self._recent))
        self._sorted = np.sort(np.concatenate([self._sorted, recent]), kind="stable")
        self._recent.clear()

    def _is_settled(self, number: int) -> bool:
        place = int(np.searchsorted(self._sorted, np.uint64(number)))
        return place < len(self._sorted) and int(self._sorted[place]) == number


@dataclass
class _Work:
    """One run under way."""

    index: Index
    store: Store
    prefix: str
    outcome: Outcome
    seen: Seen
    progress: Progress
    older: int = 0
    """Documents whose filepath another document has as well, which is newer."""

    def portion(self, portion: Portion) -> None:
        newest: dict[str, float] = {}
        for hits in self.index.pages(portion):
            self._page(hits, newest)
            self.progress.show(self.outcome)
        self.seen.settle()

    def _page(self, hits: list[Hit], newest: dict[str, float]) -> None:
        records: list[Record] = []
        met = 0
        for each in read(hits, self.index.nest):
            if isinstance(each, Refused):
                self.outcome.failed.append((each.name, each.reason))
                continue
            met += 1
            if self._is_news(each, newest):
                records.append(each.record)
        refused = self.store.add_many(self._named(records))
        self.outcome.failed += refused.items()
        kept = [record for record in records if self.prefix + record.filepath not in refused]
        new = sum(self.seen.add(record.filepath) for record in kept)
        met -= len(records) - len(kept)
        self.outcome.added += new
        self.older += met - new
        # An older document is as much behind us as one that was taken over earlier.
        self.outcome.skipped += met - new

    def _is_news(self, document: Legacy, newest: dict[str, float]) -> bool:
        known = newest.get(document.record.filepath)
        if known is not None and known >= document.age:
            return False
        newest[document.record.filepath] = document.age
        return True

    def _named(self, records: list[Record]) -> list[Record]:
        if not self.prefix:
            return records
        return [
            Record(self.prefix + each.filepath, each.signature, each.sha256, each.metadata)
            for each in records
        ]


def run(index: Index, store: Store, state: State, prefix: str = "", out: TextIO = sys.stderr) -> int:
    """Take over what is not in the store yet; the exit code, as an import's.

    ``SourceError`` if the index cannot be read at all; later troubles end the run with a sentence.
    """
    since = state.until()
    total = index.count()
    before = total - index.count(since) if since is not None else 0
    outcome = Outcome(skipped=before)
    work = _Work(index, store, prefix, outcome, Seen(), Progress(total, out))
    began = time.monotonic()
    try:
        for portion in index.portions(since):
            work.portion(portion)
            # The last portion stays open: documents that come later are found by the next run.
            done = portion.high if portion.high is not None else portion.low
            if done is not None and portion.dated:
                state.note(done)
    except KeyboardInterrupt:
        outcome.interrupted = True
    except (SourceError, StoreUnavailableError, OSError) as error:
        outcome.stopped = str(error)
    _report(work, before, time.monotonic() - began, out)
    return outcome.exit_code


def _report(work: _Work, before: int, seconds: float, out: TextIO) -> None:
    outcome = work.outcome
    if out.isatty():
        print("\r\033[K", end="", file=out)
    for name, reason in outcome.failed[:LISTED]:
        print(f"{name}: {reason}", file=out)
    if len(outcome.failed) > LISTED:
        print(f"... and {len(outcome.failed) - LISTED:,} more", file=out)
    rate = outcome.added / seconds if seconds else 0.0
    parts = (
        f"{outcome.added:,} images taken over in {seconds:.0f} s ({rate:.0f}/s)",
        f"{before:,} documents had been before",
        f"{work.older:,} had a newer one of the same filepath",
        f"{len(outcome.failed):,} could not be taken over.",
    )
    print(", ".join(parts), file=out)
    if outcome.stopped:
        print(f"Stopped: {outcome.stopped} Run the same command again to resume.", file=out)
    if outcome.interrupted:
        print("Interrupted. Run the same command again to resume.", file=out)
