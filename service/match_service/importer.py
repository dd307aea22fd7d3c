"""A collection of image files into a store: every core decodes, writes go in batches, and it can be resumed.

Decoding is most of the work, so it runs in processes of their own; the one that talks to the store only
collects, and takes a core's time from them for all it does itself: files go out and signatures come back many
at a time. What the store has acknowledged is noted in a state file, and a later run passes over it unless the
file's size or time has changed.
"""

import hashlib
import json
import os
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Final, NamedTuple, TextIO

import numpy as np

from match_service import engine
from match_service.engine.decode import check_size
from match_service.engine.layout import LENGTH
from match_service.engine.thumbnail import thumbnail
from match_service.errors import BadImageError, StoreUnavailableError
from match_service.manifest import Item
from match_service.model import Record
from match_service.store.base import Store

BATCH: Final = 1000
"""Records per write: a lost run repeats at most so much decoding for each one in flight."""
CHUNK: Final = 64
CHUNK_BYTES: Final = 4 * 1024 * 1024
"""Most files and encoded bytes a process is given at a time: less than a second of work."""
SMALL_CHUNK: Final = 8
"""Files given towards the end, so that all processes end together."""
AHEAD: Final = 6
"""Chunks waiting per process, so that none idles while the store writes."""
BATCH_SECONDS: Final = 5.0
FILE_SECONDS: Final = 60.0
"""After which the process that still decodes one file is ended."""
LISTED: Final = 50
BROKEN: Final = "The image cannot be decoded: it broke the decoder or took too long."

_dump = json.JSONEncoder().encode


class Decoded(NamedTuple):
    """What became of a chunk, in few objects, since each costs time to hand over."""

    signatures: bytes
    """648 for each file that is an image, in their order."""
    digests: list[str]
    """SHA-256 of each file, or empty where there is a reason instead."""
    reasons: list[str]
    """Why there are empty digests, in their order."""
    thumbnails: list[bytes | None]
    """Of each file that is an image, where they are kept and one can be made."""


@dataclass
class Outcome:
    """What became of a run."""

    added: int = 0
    skipped: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)
    interrupted: bool = False
    stopped: str = ""
    """Why the store takes no more, if it does not."""

    @property
    def exit_code(self) -> int:
        """0 if all is in the store, 130 after Ctrl-C as shells have it, else 1."""
        if self.interrupted:
            return 130
        return 1 if self.failed or self.stopped else 0


class State:
    """The file of what was imported: one JSON line per image, appended after the store has it."""

    def __init__(self, path: Path, store_name: str) -> None:
        """Read ``path`` if it exists; lines of other stores and a torn last line count for nothing."""
        self._store = hashlib.sha256(store_name.encode()).hexdigest()[:16]
        self._known: dict[str, tuple[int, int]] = {}
        torn = False
        if path.exists():
            for line in path.read_text("utf-8").splitlines(keepends=True):
                torn = not line.endswith("\n")
                self._read(line)
        self._file = path.open("a", encoding="utf-8")
        if torn:
            self._file.write("\n")

    def has(self, item: Item) -> bool:
        """Whether this very file is in the store under this name."""
        return bool(self._known) and item.stamp is not None and self._known.get(item.key) == item.stamp

    def note(self, items: Iterable[Item]) -> None:
        """Remember items, on the disk when this returns."""
        for item in items:
            self._file.write(_dump([self._store, item.key, item.stamp]) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _read(self, line: str) -> None:
        try:
            store, key, (size, changed) = json.loads(line)
        except (ValueError, TypeError):
            return
        if store == self._store:
            self._known[key] = (size, changed)


class Progress:
    """Rate and time left on a terminal every second, in a log every ten."""

    def __init__(self, total: int, out: TextIO) -> None:
        self._total, self._out = total, out
        self._began = self._shown = time.monotonic()
        self._live = out.isatty()

    def show(self, outcome: Outcome) -> None:
        """Print where ``outcome`` stands, if it is time to."""
        now = time.monotonic()
        if now - self._shown < (1 if self._live else 10):
            return
        self._shown = now
        worked = outcome.added + len(outcome.failed)
        rate = worked / (now - self._began)
        left = self._total - worked - outcome.skipped
        ready = f", {_duration(left / rate)} left" if rate else ""
        done = f"{worked + outcome.skipped:,} of {self._total:,}"
        line = f"{done}, {len(outcome.failed)} failed, {rate:.0f}/s{ready}"
        print(
            f"\r{line}\033[K" if self._live else line,
            end="" if self._live else "\n",
            file=self._out,
            flush=True,
        )

    def report(self, outcome: Outcome) -> None:
        """Print the end: counts, rate, and what failed and why."""
        seconds = time.monotonic() - self._began
        out = self._out
        if self._live:
            print("\r\033[K", end="", file=out)
        for name, reason in outcome.failed[:LISTED]:
            print(f"{name}: {reason}", file=out)
        if len(outcome.failed) > LISTED:
            print(f"... and {len(outcome.failed) - LISTED:,} more", file=out)
        rate = outcome.added / seconds if seconds else 0.0
        print(
            f"{outcome.added:,} added in {_duration(seconds)} ({rate:.0f}/s), {outcome.skipped:,} had been, "
            f"{len(outcome.failed):,} failed.",
            file=out,
        )
        if outcome.stopped:
            print(f"Stopped: {outcome.stopped} Run the same command again to resume.", file=out)
        if outcome.interrupted:
            print("Interrupted. Run the same command again to resume.", file=out)


def run(
    items: list[Item],
    store: Store,
    state: State,
    workers: int,
    out: TextIO = sys.stderr,
    *,
    pictures: bool = False,
) -> Outcome:
    """Import ``items``; never raises for an image that fails or a store that stops, the outcome says so.

    With ``pictures`` records carry thumbnails.
    """
    outcome = Outcome()
    fresh = [item for item in items if not state.has(item)]
    outcome.skipped = len(items) - len(fresh)
    progress = Progress(len(items), out)
    batch: list[tuple[Item, Record]] = []
    last = time.monotonic()
    decoders = _Decoders(workers, pictures)
    try:
        for chunk, decoded in decoders.each(fresh):
            batch += _records(chunk, decoded, outcome)
            if len(batch) >= BATCH or time.monotonic() - last > BATCH_SECONDS:
                _write(batch, store, state, outcome)
                last = time.monotonic()
            progress.show(outcome)
        _write(batch, store, state, outcome)
    except KeyboardInterrupt:
        outcome.interrupted = True
    except StoreUnavailableError as error:
        outcome.stopped = str(error)
    finally:
        decoders.close()
    progress.report(outcome)
    return outcome


def _records(chunk: list[Item], decoded: Decoded, outcome: Outcome) -> Iterator[tuple[Item, Record]]:
    """What is to be stored of a chunk; the rest has failed."""
    signatures = iter(np.frombuffer(decoded.signatures, np.int8).reshape(-1, LENGTH))
    reasons = iter(decoded.reasons)
    thumbnails = iter(decoded.thumbnails)
    for item, digest in zip(chunk, decoded.digests, strict=True):
        if digest:
            yield item, Record(item.filepath, next(signatures), digest, item.metadata, next(thumbnails))
        else:
            outcome.failed.append((item.filepath, next(reasons)))


def _write(batch: list[tuple[Item, Record]], store: Store, state: State, outcome: Outcome) -> None:
    """Store the batch and note it; the list is empty afterwards."""
    if not batch:
        return
    refused = store.add_many([record for _, record in batch])
    state.note(item for item, _ in batch if item.filepath not in refused)
    outcome.failed.extend(refused.items())
    outcome.added += len(batch) - len(refused)
    batch.clear()


class _Decoders:
    """Processes that decode. A file that breaks its process breaks all, so it is then looked for."""

    def __init__(self, workers: int, pictures: bool) -> None:
        self._workers, self._pictures = workers, pictures
        self._pool = _pool(workers)
        self._waiting: dict[Future[Decoded], list[Item]] = {}

    def each(self, items: list[Item]) -> Iterator[tuple[list[Item], Decoded]]:
        """Chunks with what became of them in the order they are ready, with a bounded number under way."""
        for chunk in _chunks(items, self._workers):
            try:
                future = self._start(chunk)
            except BrokenProcessPool:
                yield from self._one_by_one()
                future = self._start(chunk)
            self._waiting[future] = chunk
            if len(self._waiting) >= self._workers * AHEAD:
                yield from self._ready()
        while self._waiting:
            yield from self._ready()

    def close(self) -> None:
        """Let what is being decoded end, and nothing further begin."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _start(self, chunk: list[Item]) -> Future[Decoded]:
        return self._pool.submit(_decode, [(str(item.file), item.problem) for item in chunk], self._pictures)

    def _ready(self) -> Iterator[tuple[list[Item], Decoded]]:
        done, _ = wait(self._waiting, return_when=FIRST_COMPLETED)
        for future in done:
            if isinstance(future.exception(), BrokenProcessPool):
                yield from self._one_by_one()
                return
            yield self._waiting.pop(future), future.result()

    def _one_by_one(self) -> Iterator[tuple[list[Item], Decoded]]:
        """All that waits, a file at a time, so that each one that breaks its process is known."""
        items = [item for chunk in self._waiting.values() for item in chunk]
        self._waiting.clear()
        self._renew(1)
        for item in items:
            try:
                decoded = self._start([item]).result()
            except BrokenProcessPool:
                decoded = Decoded(b"", [""], [BROKEN], [])
                self._renew(1)
            yield [item], decoded
        self._renew(self._workers)

    def _renew(self, workers: int) -> None:
        self.close()
        self._pool = _pool(workers)


def _pool(workers: int) -> ProcessPoolExecutor:
    # Forked processes would share the store's connections and locks.
    return ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_ignore_interrupt)


def _chunks(items: list[Item], workers: int) -> Iterator[list[Item]]:
    """The items in portions, smaller ones where little is left for each of the ``workers``."""
    chunk: list[Item] = []
    size = 0
    for number, item in enumerate(items):
        length = item.stamp[0] if item.stamp else 0
        most = min(CHUNK, max(SMALL_CHUNK, (len(items) - number) // (2 * workers)))
        if chunk and (len(chunk) >= most or size + length > CHUNK_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append(item)
        size += length
    if chunk:
        yield chunk


def _decode(chunk: list[tuple[str, str]], pictures: bool) -> Decoded:
    signatures = bytearray()
    digests: list[str] = []
    reasons: list[str] = []
    small: list[bytes | None] = []
    for file, problem in chunk:
        reason, digest = problem, ""
        if not problem:
            signal.setitimer(signal.ITIMER_REAL, FILE_SECONDS)  # whose signal ends the process
            try:
                data = _read(file)
                signature = engine.signature(data).astype(np.int8, "C").tobytes()
                digest = hashlib.sha256(data).hexdigest()
                small.append(_thumbnail(data, digest) if pictures else None)
                signatures += signature
            except BadImageError as error:
                reason = str(error)
            except OSError as error:
                reason = f"The file cannot be read: {error.strerror}."
            except MemoryError:
                reason = "The image is too large to be decoded."
        digests.append(digest)
        if not digest:
            reasons.append(reason)
    signal.setitimer(signal.ITIMER_REAL, 0)
    return Decoded(bytes(signatures), digests, reasons, small)


def _read(file: str) -> bytes:
    """A file's bytes, unless they are too many."""
    with Path(file).open("rb") as opened:
        check_size(os.fstat(opened.fileno()).st_size)
        return opened.read()


def _thumbnail(data: bytes, digest: str) -> bytes | None:
    """One that cannot be made is only missed: the image can be found all the same."""
    try:
        return thumbnail(data, digest)
    except (BadImageError, MemoryError):
        return None


def _ignore_interrupt() -> None:
    # Ctrl-C reaches the whole group; the parent decides what is still finished.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return (
        f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s" if minutes else f"{rest} s"
    )
