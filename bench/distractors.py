"""Many different pictures from few photographs: parts of them, mirrored, recoloured and saved as people do.

What each search method knows of them takes some minutes to make for 20,000, so it is kept in the
cache folder of photos.py, under the photographs' digest.
"""

import hashlib
import itertools
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, fields
from pathlib import Path

import corpus
import imagehash
import numpy as np
import pdqhash
import photos
import transforms
from PIL import Image, ImageOps

from match_service import engine
from match_service.engine import scan

BATCH = 250
SIDE = 192
"""Pixels of a distractor's longer side."""
VERSION = 1
"""To be raised when what is made changes."""


@dataclass(frozen=True)
class Known:
    """What the methods know of n files. image-match's signatures are ours, bit for bit."""

    halves: np.ndarray
    """Signatures (n, 102), of ``scan.pack_halves``; a flat picture's are zeros."""
    phash: np.ndarray
    """Bits, packed to bytes, as of the next two: (n, 8), (n, 8), (n, 32)."""
    dhash: np.ndarray
    pdq: np.ndarray


def hashes(image: Image.Image) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """pHash, dHash and PDQ of an RGB image, packed."""
    grey = image.convert("L")
    return (
        np.packbits(imagehash.phash(grey).hash.ravel()),
        np.packbits(imagehash.dhash(grey).hash.ravel()),
        np.packbits(pdqhash.compute(np.asarray(image))[0].astype(bool)),
    )


def known(files: list[tuple[bytes, Image.Image]]) -> Known:
    """What the methods know of encoded files, each given with its pixels as well."""
    halves = scan.pack_halves(np.stack([engine.raw_signature(data) for data, _ in files]))
    return Known(halves, *(np.stack(column) for column in zip(*(hashes(i) for _, i in files), strict=True)))


def make(sources: list[Image.Image], count: int, seed: int) -> Known:
    """``count`` distractors, from the cache or into it."""
    digest = hashlib.sha256(repr((VERSION, seed)).encode())
    for source in sources:
        digest.update(source.tobytes())
    folder = photos.cache().parent / "distractors" / digest.hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    tasks = [
        (sources[number % len(sources)], [seed, number], folder / f"{number:05}.npz")
        for number in range(-(-count // BATCH))
    ]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        parts = list(pool.map(_batch, tasks))
    return Known(
        *(np.concatenate([getattr(p, field.name) for p in parts])[:count] for field in fields(Known))
    )


def windows(sources: list[Image.Image], count: int) -> np.ndarray:
    """Signatures (count, 102) of plain parts of the photographs, made by sums without a file in between."""
    made = [scan.pack_halves(signatures) for signatures in corpus.windows(sources, count)] if count else []
    return np.concatenate([np.zeros((0, scan.HALF_BYTES), np.uint8), *made])[:count]


def _batch(task: tuple[Image.Image, list[int], Path]) -> Known:
    source, seed, file = task
    if not file.exists():
        made = known(list(itertools.islice(pictures(source, np.random.default_rng(seed)), BATCH)))
        part = file.with_suffix(".part.npz")
        np.savez(part, **{field.name: getattr(made, field.name) for field in fields(Known)})
        part.rename(file)
    with np.load(file) as kept:
        return Known(**{field.name: kept[field.name] for field in fields(Known)})


def pictures(source: Image.Image, chance: np.random.Generator) -> Iterator[tuple[bytes, Image.Image]]:
    """Endless files and their pixels: parts of 20 to 90 % of each side, as pictures of their own."""
    while True:
        width, height = (round(side * chance.uniform(0.2, 0.9)) for side in source.size)
        if not 0.4 < width / height < 2.5:
            continue
        left = int(chance.integers(0, source.width - width + 1))
        top = int(chance.integers(0, source.height - height + 1))
        box = (left, top, left + width, top + height)
        scale = min(1.0, SIDE / max(width, height))
        image = source.resize(
            (round(width * scale), round(height * scale)), Image.Resampling.BILINEAR, box, reducing_gap=2.0
        )
        if chance.random() < 0.5:
            image = ImageOps.mirror(image)
        levels = np.arange(256) * chance.uniform(0.8, 1.2) + chance.uniform(-20, 20)
        image = image.point(np.clip(levels, 0, 255).astype(int).tolist() * 3)
        if np.asarray(image.convert("L")).std() > 8:  # else hardly a picture: sky, night
            data = transforms.encode(image, int(chance.integers(50, 96)))
            yield data, image
