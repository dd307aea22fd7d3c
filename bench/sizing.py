"""What an image costs as a collection grows, and whether straight lines through small sizes foretell large.

`python bench/sizing.py --store elasticsearch --images 10000 100000 1000000` (or `embedded`) fills a store of
its own with windows of the photographs of photos.py, measures each size, fits lines to all sizes but the
largest, and compares the largest with them. docs/sizing.md says which coefficients of `matchctl size` were
measured where. Elasticsearch has one shard and no replica on this machine. With --cpu opening and searching
are processor time of this process, for a machine with other work; without what Elasticsearch takes.
"""

import argparse
import contextlib
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import photos
import transforms
from corpus import windows
from elasticsearch import Elasticsearch

import match_index
from labcluster.elasticsearch import node
from match_service import engine
from match_service.model import Record
from match_service.store.elastic import ElasticStore
from match_service.store.embedded import EmbeddedStore
from match_service.store.mirror import MirrorMemory

BATCH = 10_000
SEARCHES = 100
CHANGES = ("JPEG 50", "resize 50 %", "crop 5 %", "rotated 2", "caption")
MIRROR_BYTES = 4 * 2**30
CLOCKS = {"wall": time.perf_counter, "processor": time.process_time}
LINES = {
    "disk_mb": "MB on disk",
    "memory_mb": "MB more memory, opened and searched once",
    "open_s": "s to open, or to read the mirror",
    "heap_mb": "MB of heap in use after a collection",
    "search_ms": "ms a search in 16 orientations, median",
}
"""What is expected to grow along a line."""


@dataclass
class Measured:
    """One size; times in the unit of their names, MB are millions of bytes."""

    images: int
    disk_mb: float = 0.0
    memory_mb: float = 0.0
    open_s: float = 0.0
    heap_mb: float = 0.0
    search_ms: float = 0.0
    search_p95_ms: float = 0.0
    adds_per_second: float = 0.0


def resident() -> float:
    """MB of memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def batches(count: int) -> Iterator[list[Record]]:
    """``count`` records: the photographs that are looked for, then windows of the others."""
    found = photos.photographs()
    wanted = np.stack([engine.signature(transforms.encode(photo, 95)) for photo in found.measured])
    others = [*found.distractors, *found.tuning_distractors, *found.tuning]
    start = 0
    for signatures in (wanted[:count], *windows(others, count - len(wanted), BATCH)):
        yield [
            Record(f"photos/{start + n:09}.jpg", signature, f"{start + n:064x}")
            for n, signature in enumerate(signatures)
        ]
        start += len(signatures)


def queries() -> list[Any]:
    """Views of changed photographs, in random order."""
    files = [transforms.apply(c, p, n) for n, p in enumerate(photos.photographs().measured) for c in CHANGES]
    order = np.random.default_rng(1).permutation(len(files))[:SEARCHES]
    return [engine.views(engine.signature(files[n]), all_orientations=True) for n in order]


def searched(open_store: Any, file: Path, clock: Callable[[], float]) -> Measured:
    """Open a store, search it: to be called in a process of its own."""
    views = list(np.load(file))
    before, start = resident(), clock()
    store = open_store()
    store.search(views[0])
    found = Measured(store.count(), open_s=clock() - start, memory_mb=resident() - before)
    times = []
    for view in (*views[:5], *views):
        start = clock()
        store.search(view)
        times.append((clock() - start) * 1e3)
    found.search_ms = statistics.median(times[5:])
    found.search_p95_ms = float(np.percentile(times[5:], 95))
    store.close()
    return found


def apart(store: str, where: str, alias: str, file: Path, clock: str) -> Measured:
    """``searched`` in a new process, whose memory nothing else has touched."""
    command = [sys.executable, __file__, "--reader", store, where, alias, str(file), clock]
    out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return Measured(**json.loads(out))


def reader(store: str, where: str, alias: str, file: str, clock: str = "wall") -> None:
    def embedded() -> EmbeddedStore:
        return EmbeddedStore.open(Path(where))

    def elasticsearch() -> ElasticStore:
        opened = ElasticStore.connect(where, alias, manage_index=False, memory=MirrorMemory(MIRROR_BYTES))
        assert opened.follower is not None
        opened.follower.follow()
        return opened

    opened = {"embedded": embedded, "elasticsearch": elasticsearch}[store]
    print(json.dumps(asdict(searched(opened, Path(file), CLOCKS[clock]))))


def fill(store: Any, records: Iterator[list[Record]], until: int, kept: int) -> tuple[int, float]:
    """Add records until there are ``until``; how many there are, and how many a second were added."""
    spent, added = 0.0, 0
    while kept + added < until:
        batch = next(records)
        start = time.perf_counter()
        store.add_many(batch)
        spent += time.perf_counter() - start
        added += len(batch)
    return kept + added, added / spent


def embedded(sizes: list[int], file: Path, clock: str) -> Iterator[Measured]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "match.db"
        records, kept = batches(sizes[-1]), 0
        for size in sizes:
            store = EmbeddedStore.open(path)
            kept, rate = fill(store, records, size, kept)
            store.close()
            found = apart("embedded", str(path), "", file, clock)
            found.adds_per_second, found.disk_mb = rate, path.stat().st_size / 1e6
            yield found


def elasticsearch(sizes: list[int], file: Path, url: str, clock: str) -> Iterator[Measured]:
    client = Elasticsearch(url, request_timeout=600)
    alias = f"sizing-{uuid.uuid4().hex[:8]}"
    template = match_index.template_body(alias, 1, 0)
    client.indices.put_index_template(name=match_index.template_name(alias), body=template)
    client.indices.create(index=match_index.backing_index(alias), body=match_index.index_body(alias))
    records, kept = batches(sizes[-1]), 0
    for size in sizes:
        store = ElasticStore.connect(url, alias, manage_index=False)
        kept, rate = fill(store, records, size, kept)
        store.close()
        client.indices.refresh(index=alias)
        client.indices.flush(index=alias)
        found = apart("elasticsearch", url, alias, file, clock)
        stats = client.indices.stats(index=alias, metric="store")["_all"]["primaries"]
        found.adds_per_second, found.disk_mb = rate, stats["store"]["size_in_bytes"] / 1e6
        found.heap_mb = heap(client)
        yield found


def heap(client: Elasticsearch) -> float:
    """MB of heap in use after a full collection, by the JDK's jcmd."""
    (process,) = (n["process"]["id"] for n in client.nodes.info(metric="process")["nodes"].values())
    subprocess.run(["jcmd", str(process), "GC.run"], check=True, stdout=subprocess.DEVNULL)
    (memory,) = (n["jvm"]["mem"] for n in client.nodes.stats(metric="jvm")["nodes"].values())
    return float(memory["heap_used_in_bytes"] / 1e6)


def lines(points: list[Measured]) -> None:
    """What a straight line through all points but the last says of the last."""
    *known, last = points
    images = np.array([point.images for point in known]) / 1e6
    print("\n| | at 0 | per million images | foretold | measured | error |\n| --- |" + " --- |" * 5)
    for name, text in LINES.items():
        slope, base = np.polyfit(images, [getattr(point, name) for point in known], 1)
        foretold, measured = base + slope * last.images / 1e6, getattr(last, name)
        if measured:
            error = foretold / measured - 1
            print(f"| {text} | {base:.3g} | {slope:.4g} | {foretold:.4g} | {measured:.4g} | {error:+.0%} |")


def main() -> None:
    if sys.argv[1:2] == ["--reader"]:
        reader(*sys.argv[2:])
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--store", choices=("embedded", "elasticsearch"), default="embedded")
    parser.add_argument("--heap", default="1g")
    parser.add_argument("--cpu", action="store_const", const="processor", default="wall", dest="clock")
    options = parser.parse_args()
    machine = f"{platform.machine()}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}"
    print(f"{options.store}, {machine}; {options.clock} time\n")
    names = [
        name for name in Measured.__dataclass_fields__ if name != "heap_mb" or options.store != "embedded"
    ]
    print("| " + " | ".join(names) + " |\n|" + " --- |" * len(names))
    with contextlib.ExitStack() as stack:
        file = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "queries.npy"
        np.save(file, np.stack(queries()))
        sizes = sorted(options.images)
        if options.store == "embedded":
            measured = embedded(sizes, file, options.clock)
        else:
            measured = elasticsearch(sizes, file, stack.enter_context(node(options.heap)), options.clock)
        points = []
        for point in measured:
            points.append(point)
            values = [getattr(point, name) for name in names]
            print(
                "| "
                + " | ".join(
                    f"{value:,.4g}" if isinstance(value, float) else f"{value:,}" for value in values
                )
                + " |",
                flush=True,
            )
    if len(points) > 2:
        lines(points)


if __name__ == "__main__":
    main()
