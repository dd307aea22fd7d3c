"""A search of the signatures in memory, beside merely reading them: sieved by machine code, and by numpy.

`python bench/scan.py [--images N] [--photos FOLDER] [--keep FOLDER] [--cpu]` (a million images,
scikit-image's photographs, nothing kept, so that making the signatures takes some minutes first). One thread;
the ways take turns at each of the signatures looked for. ``--cpu``: processor time, for a machine with other
work.
"""

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as the service sets it

import collection
import numpy as np
from corpus import photographs

from match_service import engine
from match_service.engine import compiled, scan

CUTOFF = 0.45
SEARCHES = 31
Way = Callable[[scan.Query], object]


def ways(table: scan.Rows) -> dict[str, Way]:
    """What is timed; the first is what the others are compared with."""
    memory = [table.halves.reshape(-1).view(np.uint64), table.sketches.reshape(-1).view(np.uint64)]
    found: dict[str, Way] = {
        "reading the signatures": lambda _: memory[0].sum(),
        "reading the sketches": lambda _: memory[1].sum(),
    }
    if compiled.inner is not None:
        found["search, machine code"] = lambda query: query.search(table)
    found["search, numpy"] = lambda query: without_machine_code(lambda: query.search(table))
    return found


def without_machine_code(call: Callable[[], object]) -> object:
    """``call`` as it is where no C compiler was at hand."""
    kept, compiled.inner = compiled.inner, None
    try:
        return call()
    finally:
        compiled.inner = kept


def measured(
    table: scan.Rows, queries: list[scan.Query], clock: Callable[[], float]
) -> dict[str, list[float]]:
    """Milliseconds of each way for each query."""
    times: dict[str, list[float]] = {name: [] for name in ways(table)}
    for query in [queries[0], *queries]:
        for name, way in ways(table).items():
            start = clock()
            way(query)
            times[name].append((clock() - start) * 1e3)
    return {name: found[1:] for name, found in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--cpu", action="store_true")
    options = parser.parse_args()
    halves = collection.signatures(photographs(options.photos), options.images, options.keep)
    table = scan.Rows.of(halves)
    clock = time.thread_time if options.cpu else time.perf_counter
    load = f"load {os.getloadavg()[0]:.1f}{', processor time' * options.cpu}"
    print(
        f"{platform.machine()}, {os.cpu_count()} CPUs, numpy {np.__version__}, {load}; {len(halves):,} images"
    )
    chosen = np.random.default_rng(1).integers(0, len(halves), SEARCHES)
    signatures = scan.unpack_halves(halves[chosen])
    for name, everything in (("1 orientation", False), ("16 orientations", True)):
        queries = [scan.Query(engine.views(each, everything), CUTOFF) for each in signatures]
        times = measured(table, queries, clock)
        least = statistics.median(next(iter(times.values())))
        for way, found in times.items():
            low, middle, high = statistics.quantiles(found, n=4)
            spread = f"{middle:7.1f} ms, {low:.1f} to {high:.1f}"
            print(f"{name:16} {way:22} {spread}; {middle / least:5.2f} x reading")
    print(f"load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
