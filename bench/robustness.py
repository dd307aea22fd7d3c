"""Which copies of a photograph are found, and what is found wrongly, next to image-match, pHash, dHash, PDQ.

`python bench/robustness.py [--photos N] [--plot FILE]` fetches photographs (see photos.py), changes each in
every way of transforms.py, and looks for the original among all photographs and distractors (windows cut
from the photographs). Pairs that show the same photograph are no false hits and are left out. Prints
Markdown: recall at each method's customary threshold, then at the threshold at which it has no more false
hits than the service's default search.
"""

import argparse
import io
import os
import platform
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import imagehash
import numpy as np
import pdqhash
import photos
import transforms
from image_match.goldberg import ImageSignature
from PIL import Image, ImageOps

from match_service import engine
from match_service.engine.variants import VARIANT_CUTOFF, variants

WINDOWS = 6
"""Distractors cut from each photograph."""
ORIGINAL_VIEWS = [0, 1, 2, 3, 4, 8]
"""The orientations image-match searches: turned, mirrored or inverted, but never two of them."""
THRESHOLDS = {
    "ours": 0.45,
    "ours, thorough": 0.45,
    "image-match": 0.45,
    "pHash": 10,
    "dHash": 10,
    "PDQ": 31,
}
METHODS = list(THRESHOLDS)


@dataclass
class Print:
    """What each method knows of one file."""

    ours: np.ndarray
    variants: np.ndarray
    theirs: np.ndarray
    words: np.ndarray
    hashes: dict[str, np.ndarray]


def prints(data: bytes, *, query: bool) -> Print:
    """Signatures and hashes of a file; of a query in eight orientations, the same for each method."""
    image = Image.open(io.BytesIO(data)).convert("RGB")
    turns = [image]
    if query:
        turns = [t.rotate(a, expand=True) for t in (image, ImageOps.mirror(image)) for a in (0, 90, 180, 270)]
    theirs = ImageSignature().generate_signature(data, bytestream=True).astype(np.int8)
    signature = engine.raw_signature(data)
    return Print(
        signature,
        variants(data) if query else signature[None, :0],
        theirs,
        engine.word_integers(theirs),
        {
            "pHash": np.stack([imagehash.phash(turn).hash.ravel() for turn in turns]),
            "dHash": np.stack([imagehash.dhash(turn).hash.ravel() for turn in turns]),
            "PDQ": np.stack([pdqhash.compute(np.asarray(turn))[0].astype(bool) for turn in turns]),
        },
    )


def _reference(data: bytes) -> Print:
    return prints(data, query=False)


def _query(task: tuple[str, Image.Image, int]) -> Print:
    return prints(transforms.apply(*task), query=True)


def windows(image: Image.Image, seed: int) -> list[bytes]:
    """Distractors: parts of a photograph that are pictures of their own."""
    chance = np.random.default_rng(seed)
    cut = []
    for _ in range(WINDOWS):
        share = chance.uniform(0.3, 0.55)
        cut.append(transforms.encode(transforms.cropped(1 - share, centred=False)(image, chance)))
    return cut


class References:
    """All files looked among, as matrices."""

    def __init__(self, known: list[Print], sources: np.ndarray) -> None:
        self.sources = sources
        self.ours = engine.packed_matrix([engine.pack(p.ours) for p in known])
        self.theirs = engine.packed_matrix([engine.pack(p.theirs) for p in known])
        self.words = np.stack([p.words for p in known])
        self.hashes = {name: np.concatenate([p.hashes[name] for p in known]) for name in known[0].hashes}

    def distances(self, query: Print) -> np.ndarray:
        """Distance of the query to each reference, shape (methods, references)."""
        ours = engine.distances(self.ours, engine.views(query.ours, all_orientations=True)).min(axis=1)
        thorough = ours
        if len(query.variants):
            guessed = engine.distances(self.ours, query.variants).min(axis=1)
            # On one scale, so that one threshold serves: a guess at its cutoff counts as a hit at 0.45.
            thorough = np.minimum(ours, guessed * (0.45 / VARIANT_CUTOFF))
        views = engine.views(query.theirs, all_orientations=True)[ORIGINAL_VIEWS]
        theirs = engine.distances(self.theirs, views)
        # Without a word in common Elasticsearch never offers the image, however near it is.
        shared = np.stack([(self.words == engine.word_integers(view)).any(axis=1) for view in views], axis=1)
        rows = [ours, thorough, np.where(shared, theirs, 1.0).min(axis=1)]
        for name, known in self.hashes.items():
            rows.append((known[:, None, :] ^ query.hashes[name][None]).sum(axis=2).min(axis=1))
        return np.stack(rows).astype(np.float32)


def measure(pictures: list[Image.Image]) -> tuple[np.ndarray, np.ndarray, float]:
    """True distances (methods, transforms, photos), false ones with a last axis of files, and seconds."""
    began = time.monotonic()
    files = [transforms.encode(picture, 95) for picture in pictures]
    sources = np.arange(len(files))
    for number, picture in enumerate(pictures):
        files += windows(picture, number)
    sources = np.concatenate([sources, np.repeat(sources, WINDOWS)])
    names = list(transforms.TRANSFORMS)
    tasks = [(name, picture, number) for name in names for number, picture in enumerate(pictures)]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        references = References(list(pool.map(_reference, files, chunksize=8)), sources)
        true = np.zeros((len(METHODS), len(names), len(pictures)), dtype=np.float32)
        false = np.zeros((len(METHODS), len(names), len(pictures), len(files)), dtype=np.float32)
        for index, query in enumerate(pool.map(_query, tasks, chunksize=8)):
            kind, photo = divmod(index, len(pictures))
            apart = references.distances(query)
            true[:, kind, photo] = apart[:, photo]
            apart[:, sources == photo] = np.inf
            false[:, kind, photo] = apart
    return true, false, time.monotonic() - began


def matched(false: np.ndarray, most: float) -> float:
    """The largest threshold whose share of false hits is not above ``most``; a hit is nearer than it."""
    values = np.sort(false[np.isfinite(false)].ravel())
    return float(values[min(int(most * len(values)), len(values) - 1)])


def report(true: np.ndarray, false: np.ndarray, heading: str, thresholds: dict[str, float]) -> None:
    print(f"\n{heading}\n\n| | {' | '.join(METHODS)} |\n| --- |{' --- |' * len(METHODS)}")
    print("| threshold | " + " | ".join(f"{thresholds[name]:.3g}" for name in METHODS) + " |")
    for kind, name in enumerate(transforms.TRANSFORMS):
        cells = [f"{(true[m, kind] < thresholds[method]).mean():.3f}" for m, method in enumerate(METHODS)]
        print(f"| {name} | {' | '.join(cells)} |")
    rates = [_rate(false[m], thresholds[method]) for m, method in enumerate(METHODS)]
    print(f"| **false hits per million pairs** | {' | '.join(f'{rate * 1e6:.0f}' for rate in rates)} |")


def _rate(false: np.ndarray, threshold: float) -> float:
    return float((false < threshold).sum() / np.isfinite(false).sum())


def plot(true: np.ndarray, thresholds: dict[str, float], file: Path) -> None:
    from matplotlib import pyplot  # noqa: PLC0415 - only a plot needs it

    recall = np.stack([(true[m] < thresholds[name]).mean(axis=1) for m, name in enumerate(METHODS)])
    figure, axes = pyplot.subplots(figsize=(8, 9))
    shown = axes.imshow(recall.T, cmap="RdYlGn", vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(len(METHODS)), METHODS)
    axes.set_yticks(range(len(transforms.TRANSFORMS)), list(transforms.TRANSFORMS))
    axes.xaxis.tick_top()
    for (column, row), value in np.ndenumerate(recall):
        axes.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=8)
    figure.colorbar(shown, label="originals found, at the same rate of false hits", shrink=0.5)
    figure.tight_layout()
    figure.savefig(file, metadata={"Date": None} if file.suffix == ".svg" else None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=int, default=1000, help="use at most so many photographs")
    parser.add_argument("--plot", type=Path, help="write a plot of the second table (.png or .svg)")
    parser.add_argument("--save", type=Path, help="keep the distances (.npz)")
    options = parser.parse_args()
    pictures = photos.photographs()[: options.photos]
    true, false, seconds = measure(pictures)
    if options.save:
        np.savez(options.save, true=true, false=false)
    references = false.shape[-1]
    print(
        f"{len(pictures)} photographs, {references - len(pictures)} distractors, "
        f"{true.shape[1] * true.shape[2]} searches, {np.isfinite(false[0]).sum():,} pairs of "
        f"different pictures; "
        f"{seconds:.0f} s on {os.cpu_count()} x {platform.machine()}, load {os.getloadavg()[0]:.1f}, "
        f"Python {platform.python_version()}, numpy {np.__version__}, imagehash {imagehash.__version__}"
    )
    # A Hamming distance of exactly the customary threshold is a match.
    customary = {name: value + (0.5 if value > 1 else 0) for name, value in THRESHOLDS.items()}
    report(true, false, "At the customary thresholds:", customary)
    most = _rate(false[0], 0.45)
    same = {name: matched(false[m], most) for m, name in enumerate(METHODS)}
    same["ours"] = 0.45
    report(true, false, "At the same rate of false hits as the default search:", same)
    apart = true[:, :, 1::2], false[:, :, 1::2]
    report(*apart, "As the first table, on the half of the photographs kept apart from tuning:", customary)
    if options.plot:
        plot(true, same, options.plot)


if __name__ == "__main__":
    main()
