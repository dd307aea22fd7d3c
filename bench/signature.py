"""Signature and words against image-match and against decoding alone, in one process, turn by turn.

`python bench/signature.py [--rounds N]` prints medians, the middle half of the samples, and ratios. The
picture is a photograph of scikit-image's, enlarged with grain, as a JPEG of quality 85.
"""

import argparse
import io
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL
import skimage
from image_match.goldberg import ImageSignature
from PIL import Image

from match_service import engine

SIZES = ((640, 480), (1920, 1080), (4000, 3000))
PHOTO = Path(skimage.__file__).parent / "data" / "chelsea.png"


def jpeg(width: int, height: int) -> bytes:
    photo = Image.open(PHOTO).convert("RGB").resize((width, height), Image.Resampling.BICUBIC)
    grain = np.random.default_rng(0).normal(0, 4, (height, width, 1))
    pixels = np.clip(np.asarray(photo) + grain, 0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def subjects(data: bytes) -> dict[str, Callable[[], object]]:
    oracle = ImageSignature()
    return {
        "decode alone": lambda: Image.open(io.BytesIO(data)).load(),
        "signature + words": lambda: engine.words(engine.signature(data)),
        "... and all 16 views": lambda: engine.views(engine.signature(data), all_orientations=True),
        "image-match": lambda: oracle.generate_signature(data, bytestream=True),
    }


def measure(calls: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Milliseconds of each call; taking turns, so that a busy machine is busy for all alike."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(rounds + 1):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            if number:
                times[name].append((time.perf_counter() - start) * 1e3)
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=21)
    rounds: int = parser.parse_args().rounds
    print(f"{platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}, ", end="")
    print(f"numpy {np.__version__}, Pillow {PIL.__version__}; {rounds} rounds, one thread")
    print(f"{'':24}{'median ms':>10}{'middle half':>18}{'x decode':>10}{'image-match is':>16}")
    for width, height in SIZES:
        times = measure(subjects(jpeg(width, height)), rounds)
        medians = {name: statistics.median(samples) for name, samples in times.items()}
        print(f"{width} x {height}")
        for name, samples in times.items():
            low, _, high = statistics.quantiles(samples, n=4)
            ratio = medians[name] / medians["decode alone"]
            slower = medians["image-match"] / medians[name]
            print(f"  {name:22}{medians[name]:10.2f}{low:9.2f} -{high:7.2f}{ratio:10.2f}{slower:15.1f}x")


if __name__ == "__main__":
    main()
