"""Signature and words against image-match and against decoding alone, in one process, turn by turn.

`python bench/signature.py [--rounds N]` prints a Markdown table of medians, the middle half of the samples,
ratios, and the peak of memory above the imports (each in a process of its own). The picture is a photograph
of scikit-image's, enlarged with grain, as a JPEG of quality 85.
"""

import argparse
import importlib
import io
import os
import platform
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL
import simplejpeg
import skimage
from image_match.goldberg import ImageSignature
from image_match.signature_database_base import make_record
from PIL import Image

from match_service import engine
from match_service.engine.decode import decode

SIZES = ((640, 480), (1920, 1080), (4000, 3000))
PHOTO = Path(skimage.__file__).parent / "data" / "chelsea.png"
DECODE = "decode alone"
ORACLE = "image-match"
module = importlib.import_module("match_service.engine.signature")


def jpeg(width: int, height: int) -> bytes:
    photo = Image.open(PHOTO).convert("RGB").resize((width, height), Image.Resampling.BICUBIC)
    grain = np.random.default_rng(0).normal(0, 4, (height, width, 1))
    pixels = np.clip(np.asarray(photo) + grain, 0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def fast(data: bytes) -> list[str]:
    return engine.words(module.frame_signature(decode(data, shrink_to=module.FAST_SIDE)))


def all_views(data: bytes) -> list[list[str]]:
    return [engine.words(view) for view in engine.views(engine.signature(data), all_orientations=True)]


def subjects(data: bytes) -> dict[str, Callable[[], object]]:
    oracle = ImageSignature()
    return {
        DECODE: lambda: simplejpeg.decode_jpeg(data, "RGB"),
        "decode by Pillow": lambda: Image.open(io.BytesIO(data)).load(),
        "signature + words": lambda: engine.words(engine.signature(data)),
        "the same of all 16 views": lambda: all_views(data),
        "signature + words, fast": lambda: fast(data),
        ORACLE: lambda: make_record("any", oracle, 16, 63, img=data, bytestream=True),
    }


def measure(
    calls: dict[str, Callable[[], object]], rounds: int, clock: Callable[[], float]
) -> dict[str, list[float]]:
    """Milliseconds of each call; turn by turn, so that a busy machine is busy for all alike, and in random
    order, since a call is slower after one that filled the caches.
    """
    order = random.Random(0)
    times: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(rounds + 1):
        for name, call in order.sample(list(calls.items()), len(calls)):
            start = clock()
            call()
            if number:
                times[name].append((clock() - start) * 1e3)
    return times


def peak_here(name: str, data: bytes) -> float:
    """MB by which one call raises this process's peak of memory."""
    call = subjects(data)[name]
    subjects(SMALL)[name]()  # what is made at first use counts as imported
    before = high_water()
    call()
    return (high_water() - before) / 1024


def high_water() -> int:
    """Peak of this process's memory in KiB; ``getrusage`` would begin with the parent's."""
    status = Path("/proc/self/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))


SMALL = jpeg(64, 48)


def peak(name: str, data: bytes) -> float:
    command = [sys.executable, __file__, "--peak", name]
    return float(subprocess.run(command, input=data, capture_output=True, check=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--cpu", action="store_true", help="processor time: for a machine with other work")
    parser.add_argument("--peak", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peak:
        print(peak_here(arguments.peak, sys.stdin.buffer.read()))
        return
    print(f"{platform.machine()}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}, ", end="")
    print(f"Python {platform.python_version()}, numpy {np.__version__}, Pillow {PIL.__version__}, ", end="")
    print(f"simplejpeg {simplejpeg.__version__}; {arguments.rounds} rounds, ", end="")
    print("processor time\n" if arguments.cpu else "one thread\n")
    clock = time.process_time if arguments.cpu else time.perf_counter
    print("| JPEG | | median, ms | middle half | x decode | image-match takes | peak, MB |")
    print(f"|{' --- |' * 7}")
    for width, height in SIZES:
        data = jpeg(width, height)
        times = measure(subjects(data), arguments.rounds, clock)
        medians = {name: statistics.median(samples) for name, samples in times.items()}
        for name, samples in times.items():
            low, _, high = statistics.quantiles(samples, n=4)
            decodes, slower = medians[name] / medians[DECODE], medians[ORACLE] / medians[name]
            print(f"| {width} x {height} | {name} | {medians[name]:.2f} | {low:.2f} to {high:.2f} |", end="")
            print(f" {decodes:.2f} | {slower:.1f} times as long | {peak(name, data):.0f} |")


if __name__ == "__main__":
    main()
