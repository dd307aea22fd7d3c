"""What finding all duplicates of a collection costs, beside asking for each image alone as one could before.

Both answer the same question of the same random signatures with planted copies, interleaved in one run: every
image searched for with the store's own scan, and the blockwise comparison. The ratio is the figure; seconds
are this machine's. `python bench/duplicates.py [IMAGES]`
"""

import sys
import time

import numpy as np

from match_service.engine import pairs, scan
from match_service.engine.layout import from_half

CUTOFF = 0.2
ROUNDS = 3
SEARCHED = 200
COPIES = 100


def collection(images: int) -> scan.Rows:
    """Random signatures, one in ``COPIES`` of which is there twice."""
    rng = np.random.default_rng(1)
    half = rng.integers(-2, 3, (images, 272)).astype(np.int8)
    copied = images // COPIES
    half[images - copied :] = half[:copied]
    return scan.Rows.of(scan.pack_halves(from_half(half)))


def blockwise(part: scan.Rows) -> tuple[float, int]:
    """CPU seconds of the whole comparison, and groups found."""
    began = time.thread_time()
    groups = pairs.Groups(len(part.squares))
    for step in pairs.near_pairs([part], CUTOFF, all_orientations=False):
        groups.join(step)
    return time.thread_time() - began, len(groups.groups())


def one_by_one(part: scan.Rows) -> float:
    """CPU seconds of searching for every image, reckoned from ``SEARCHED`` of them."""
    signatures = scan.unpack_halves(part.halves[:SEARCHED])
    began = time.thread_time()
    for signature in signatures:
        scan.Query(signature[None, :], CUTOFF).search(part)
    return (time.thread_time() - began) / SEARCHED * len(part.squares)


def main() -> None:
    images = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    part = collection(images)
    times = []
    for _ in range(ROUNDS):
        whole, found = blockwise(part)
        assert found == images // COPIES
        times.append((whole, one_by_one(part)))
    whole, single = (float(np.median(column)) for column in zip(*times, strict=True))
    print(f"{images} images: {whole:.1f} s of one CPU for all, {single:.1f} s one by one")
    print(f"ratio {single / whole:.1f}, {whole / images**2 * 2e9:.1f} ns a pair")


if __name__ == "__main__":
    main()
