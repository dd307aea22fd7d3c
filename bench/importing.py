"""`match-service import` into the embedded store, beside decoding and signatures alone in as many processes.

`python bench/importing.py [--images N] [--rounds N] [--workers N] [--side PIXELS] [--photos FOLDER]` makes
JPEG files of parts of photographs (scikit-image's by default) and has both work through them in turn, each as
a command with processes of its own, from its start to its end. Prints images a second of wall and of
processor time, and what share of decoding's rate is left when the images are also kept, durably.
"""

import argparse
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

from match_service import engine


class Cost(NamedTuple):
    """Seconds a command and all its processes took."""

    wall: float
    processor: float


def parts(photos: Path | None, side: int) -> Iterator[bytes]:
    """Endless files: parts of the photographs, ``side`` by three quarters of it, every other one mirrored."""
    # Not above: the processes that are measured import this module, and need none of these.
    import numpy as np  # noqa: PLC0415
    from corpus import jpeg, photographs  # noqa: PLC0415
    from PIL import Image, ImageOps  # noqa: PLC0415

    found = photographs(photos)
    chance = np.random.default_rng(0)
    while True:
        photo = found[int(chance.integers(len(found)))]
        width = photo.width * chance.uniform(0.4, 1.0)
        height = min(photo.height, width * 0.75)
        left, top = chance.random(2) * (photo.width - width, photo.height - height)
        part = photo.resize(
            (side, side * 3 // 4), Image.Resampling.BICUBIC, (left, top, left + width, top + height)
        )
        yield jpeg(ImageOps.mirror(part) if chance.random() < 0.5 else part, int(chance.integers(75, 93)))


def signatures_only(files: list[Path]) -> None:
    for file in files:
        engine.signature(file.read_bytes())


def bare(folder: Path, workers: int) -> None:
    """Decoding and signatures, nothing handed over: each process knows its files from the start."""
    files = sorted(folder.iterdir())
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        list(pool.map(signatures_only, [files[n::workers] for n in range(workers)]))


def cost(command: list[str], environment: dict[str, str]) -> Cost:
    """Of a command that must succeed; what its processes used counts once they have ended."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, env=os.environ | environment, stderr=subprocess.DEVNULL)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return Cost(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def imported(folder: Path, workers: int) -> Cost:
    with tempfile.TemporaryDirectory(dir=folder.parent) as store:
        command = [sys.executable, "-m", "match_service", "import", str(folder)]
        command += ["--workers", str(workers), "--state", f"{store}/state"]
        return cost(command, {"MATCH_DATA": f"{store}/match.db"})


def decoded(folder: Path, workers: int) -> Cost:
    return cost([sys.executable, __file__, "--bare", str(folder), "--workers", str(workers)], {})


def report(name: str, values: list[float], form: str = ",.0f") -> None:
    low, middle, high = statistics.quantiles(values, n=4)
    print(f"{name:44} {middle:{form}}, middle half {low:{form}} to {high:{form}}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--images", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--side", type=int, default=640, help="longest side of the images in pixels")
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--bare", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.bare:
        bare(options.bare, options.workers)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "images"
        folder.mkdir()
        files = parts(options.photos, options.side)
        size = sum((folder / f"{n:06}.jpg").write_bytes(next(files)) for n in range(options.images))
        print(
            f"{platform.machine()}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}; "
            f"{options.images:,} JPEGs of {options.side} x {options.side * 3 // 4}, "
            f"{size / options.images / 1000:.0f} kB each, {options.workers} processes"
        )
        ways: dict[str, Callable[[Path, int], Cost]] = {"decoding alone": decoded, "import": imported}
        costs: dict[str, list[Cost]] = {name: [] for name in ways}
        for turn in range(options.rounds):
            # The first has the better disk cache and the worse luck of the machine's other work by turns.
            for name, way in list(ways.items())[:: -1 if turn % 2 else 1]:
                costs[name].append(way(folder, options.workers))
        print(f"load {os.getloadavg()[0]:.1f} at the end")
    for kind in Cost._fields:
        for name, spent in costs.items():
            rates = [options.images / getattr(one, kind) for one in spent]
            report(f"{name}, images per second of {kind} time", rates)
        pairs = zip(*costs.values(), strict=True)
        report(f"ratio, {kind}", [getattr(one, kind) / getattr(other, kind) for one, other in pairs], ".2f")


if __name__ == "__main__":
    main()
