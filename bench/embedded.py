"""The embedded store at a size of your choice: filling, opening, adding, searching, memory.

`python bench/embedded.py [--images N]` (100,000; a million takes some two minutes and 400 MB of disk) on
made-up signatures: those of smooth random brightness, as spread out as photographs' are.
"""

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

from match_service import engine
from match_service.engine.layout import HALF, NEIGHBOUR, POINT, from_half
from match_service.model import Record, Signature
from match_service.store.embedded import EmbeddedStore

OPEN = """
import sys, time
from match_service.store.embedded import EmbeddedStore
def peak(): return int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) / 1024
before, start = peak(), time.perf_counter()
store = EmbeddedStore.open(sys.argv[1])
print(f"{time.perf_counter() - start:9.2f} s, {peak() - before:.0f} MB more memory at its peak")
"""
BATCH = 20_000
SEARCHES = 21
ADDS = 300


def signatures(count: int) -> Iterator[Signature]:
    """Signatures of random fields whose detail falls off with its scale as in photographs."""
    rng = np.random.default_rng(0)
    frequency = np.hypot(np.fft.fftfreq(9)[:, None], np.fft.fftfreq(9)[None, :]) + 0.08
    for start in range(0, count, BATCH):
        noise = np.fft.fft2(rng.standard_normal((min(BATCH, count - start), 9, 9)))
        grid = np.fft.ifft2(noise / frequency**1.2).real.reshape(-1, 81)
        differences = grid[:, POINT[HALF]] - grid[:, NEIGHBOUR[HALF]]
        sizes = np.abs(differences)
        levels = np.where(sizes > np.median(sizes, axis=1, keepdims=True), 2, 1)
        levels[sizes < np.quantile(sizes, 0.05, axis=1, keepdims=True)] = 0
        yield from from_half((levels * np.sign(differences)).astype(np.int8))


def records(count: int) -> Iterator[Record]:
    for number, signature in enumerate(signatures(count)):
        yield Record(f"photos/{number:09}.jpg", signature, f"{number:064x}", {"number": number})


def batches(count: int) -> Iterator[list[Record]]:
    batch: list[Record] = []
    for record in records(count):
        batch.append(record)
        if len(batch) == BATCH:
            yield batch
            batch = []
    yield batch


def timed(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def add_one_by_one(store: EmbeddedStore, records: list[Record]) -> None:
    for record in records:
        store.add(record)


def searching(store: EmbeddedStore, count: int) -> None:
    rng = np.random.default_rng(1)
    wanted = sorted(rng.integers(0, count, SEARCHES).tolist())
    queries = [s for n, s in enumerate(signatures(count)) if n in set(wanted)]
    for name, everything in (("one orientation", False), ("16 orientations", True)):
        views = [engine.views(query, everything) for query in queries]
        times = [timed(partial(store.search, view)) * 1e3 for view in views]
        low, _, high = statistics.quantiles(times, n=4)
        print(f"search, {name:16} {statistics.median(times):9.1f} ms, middle half {low:.1f} - {high:.1f}")
        assert all(store.search(v)[0].distance == 0.0 for v in views[:3])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=100_000)
    count: int = parser.parse_args().images
    print(f"{platform.machine()}, {os.cpu_count()} CPUs, numpy {np.__version__}; {count:,} images")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "match.db"
        store = EmbeddedStore.open(path)
        filling = sum(timed(partial(store.add_many, batch)) for batch in batches(count))
        print(f"fill in batches          {count / filling:9,.0f} images/s")
        store.close()
        print(f"file                     {path.stat().st_size / count:9.0f} bytes/image")
        # In a process of its own, whose memory nothing else has touched.
        out = subprocess.run([sys.executable, "-c", OPEN, path], check=True, capture_output=True, text=True)
        print(f"open                     {out.stdout.strip()}")
        store = EmbeddedStore.open(path)
        extra = [Record(f"extra/{n}", r.signature, r.sha256) for n, r in enumerate(records(min(ADDS, count)))]
        adding = timed(partial(add_one_by_one, store, extra))
        print(f"add, one by one, durable {len(extra) / adding:9,.0f} images/s")
        with ThreadPoolExecutor(16) as pool:
            adding = timed(lambda: list(pool.map(store.add, extra)))
        print(f"add, from 16 threads     {len(extra) / adding:9,.0f} images/s")
        for record in extra:
            store.delete(record.filepath)
        searching(store, count)
        store.close()


if __name__ == "__main__":
    main()
