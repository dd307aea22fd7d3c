"""Which copies of a photograph are found, and what is found wrongly, next to image-match, pHash, dHash, PDQ.

`python bench/robustness.py [--distractors N] [--files N] [--plot FILE]` fetches photographs (see photos.py),
changes each of those that nothing was tuned on in every way of transforms.py, and looks for the original, and
for what is found wrongly among distractors cut from other photographs: files that every method reads, and
further signatures, by which alone a false hit in a million shows. Prints Markdown: recall at each method's
customary threshold, false hits there, then recall at the threshold at which it has no more false hits than
the service's default search.
"""

import argparse
import io
import multiprocessing
import os
import platform
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import distractors
import imagehash
import numpy as np
import pdqhash
import photos
import transforms
from image_match.goldberg import ImageSignature
from PIL import Image, ImageOps

from match_service import engine
from match_service.engine import scan
from match_service.engine.variants import PLAIN_CUTOFF, VARIANT_CUTOFF, variants

CUTOFF = 0.45
COUNTED = 4
"""False hits are counted for every so many photographs, as that takes most of the time."""
REACH = 0.6
"""Distances up to here are counted, so that other thresholds can be looked for."""
BINS = 1000
"""Per unit of distance."""
ORIGINAL_VIEWS = [0, 1, 2, 3, 4, 8]
"""The orientations image-match searches: turned, mirrored or inverted, but never two of them."""
THRESHOLDS = {
    "ours": CUTOFF,
    "ours, thorough": CUTOFF,
    "image-match": CUTOFF,
    "pHash": 10,
    "dHash": 10,
    "PDQ": 31,
}
METHODS = list(THRESHOLDS)
HASHES = ("pHash", "dHash", "PDQ")
WORK: dict[str, "Worker"] = {}


@dataclass(frozen=True)
class Outcome:
    """One search: per method how far the original is, and how many distractors lie in each bin of distance.

    Distances of floating point are in 1/1000, Hamming distances in bits.
    """

    true: np.ndarray
    false: np.ndarray


class Worker:
    """Searches, in a process of its own that shares the distractors with the others."""

    def __init__(self, pictures: list[Image.Image], known: distractors.Known, further: np.ndarray) -> None:
        self._pictures = pictures
        halves = np.concatenate([known.halves, further])
        self._halves = halves
        self._words = engine.word_integers(scan.unpack_halves(halves))
        self._hashes = {"pHash": known.phash, "dHash": known.dhash, "PDQ": known.pdq}
        self._originals = [self._known(transforms.encode(picture, 95)) for picture in pictures]

    @staticmethod
    def _known(data: bytes) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
        image = Image.open(io.BytesIO(data)).convert("RGB")
        signature = engine.raw_signature(data)
        # Contract-tested on a thousand files; here it allows to do without image-match's slow arithmetic.
        theirs = ImageSignature().generate_signature(data, bytestream=True)
        assert np.array_equal(signature, theirs), "image-match has another signature"
        return signature, distractors.hashes(image)

    def search(self, name: str, number: int) -> Outcome:
        """Look for photograph ``number`` by a copy changed as transform ``name`` says."""
        data = transforms.apply(name, self._pictures[number], number)
        own, hashes = self._originals[number]
        outcome = Outcome(np.ones(len(METHODS)), np.zeros((len(METHODS), BINS), dtype=np.int64))
        plain = engine.views(engine.raw_signature(data), all_orientations=True)
        guessed = variants(data, mirrored=True)
        turned = _turned(data)
        outcome.true[0] = _nearest(plain, own)
        found = outcome.true[0] < PLAIN_CUTOFF or (len(guessed) and _nearest(guessed, own) < VARIANT_CUTOFF)
        outcome.true[1] = 0.0 if found else 1.0
        outcome.true[2] = min(_offered(view, own) for view in plain[ORIGINAL_VIEWS])
        outcome.true[3:] = [_hamming(mine[None], of)[0] for mine, of in zip(hashes, turned, strict=True)]
        if number % COUNTED == 0:
            self._count(outcome.false, plain, guessed, turned)
        return outcome

    def _count(
        self, false: np.ndarray, plain: np.ndarray, guessed: np.ndarray, turned: list[np.ndarray]
    ) -> None:
        """Fill in false hits; of a thorough search, whose cutoffs are two, all in the first bin."""
        near = self._hits(plain, REACH)
        false[0] = _histogram(near.distances)
        rows = near.rows[near.distances < PLAIN_CUTOFF]
        if len(guessed):
            rows = np.union1d(rows, self._hits(guessed, VARIANT_CUTOFF).rows)
        false[1, 0] = len(rows)
        false[2] = self._image_match_false(plain[ORIGINAL_VIEWS])
        for row, (name, of) in enumerate(zip(HASHES, turned, strict=True), start=3):
            false[row] = np.bincount(_hamming(self._hashes[name], of), minlength=BINS)

    def _hits(self, views: np.ndarray, cutoff: float) -> scan.Hits:
        return scan.Query(views, cutoff).scan(self._halves)

    def _image_match_false(self, views: np.ndarray) -> np.ndarray:
        apart = np.ones(len(self._halves))
        for view in views:
            hits = self._hits(view[None], REACH)
            # Without a word in common Elasticsearch never offers the image, however near it is.
            offered = (self._words[hits.rows] == engine.word_integers(view)).any(axis=1)
            rows = hits.rows[offered]
            apart[rows] = np.minimum(apart[rows], hits.distances[offered])
        return _histogram(apart[apart < REACH])


def _nearest(views: np.ndarray, own: np.ndarray) -> float:
    return min(engine.distance(view, own) for view in views)


def _offered(view: np.ndarray, own: np.ndarray) -> float:
    shared = (engine.word_integers(view) == engine.word_integers(own)).any()
    return engine.distance(view, own) if shared else 1.0


def _turned(data: bytes) -> list[np.ndarray]:
    """Each hash of a query in eight orientations, as many as the service tries."""
    image = Image.open(io.BytesIO(data)).convert("RGB")
    grey = image.convert("L")
    turns = [t.rotate(a, expand=True) for t in (grey, ImageOps.mirror(grey)) for a in (0, 90, 180, 270)]
    return [
        np.stack([np.packbits(imagehash.phash(turn).hash.ravel()) for turn in turns]),
        np.stack([np.packbits(imagehash.dhash(turn).hash.ravel()) for turn in turns]),
        np.packbits(np.stack(pdqhash.compute_dihedral(np.asarray(image))[0]).astype(bool), axis=1),
    ]


def _hamming(known: np.ndarray, mine: np.ndarray) -> np.ndarray:
    """Fewest different bits between each row of ``known`` and any row of ``mine``."""
    words = np.ascontiguousarray(known).view(np.uint64)
    nearest: np.ndarray = np.min(
        [np.bitwise_count(words ^ row.view(np.uint64)).sum(axis=1, dtype=np.int64) for row in mine], axis=0
    )
    return nearest


def _histogram(distances: np.ndarray) -> np.ndarray:
    # The epsilon keeps 0.45 itself, which is no hit, out of the bin below it.
    return np.bincount((distances * BINS + 1e-9).astype(int), minlength=BINS)


def _search(task: tuple[str, int]) -> Outcome:
    return WORK["worker"].search(*task)


def measure(
    pictures: list[Image.Image], known: distractors.Known, further: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """True distances (methods, transforms, photos) and counts of false ones (methods, transforms, bins).

    ``further`` (n, 102) are distractors of which there are signatures only; hashes' counts are scaled up.
    """
    names = list(transforms.TRANSFORMS)
    WORK["worker"] = Worker(pictures, known, further)
    true = np.zeros((len(METHODS), len(names), len(pictures)))
    false = np.zeros((len(METHODS), len(names), BINS))
    tasks = [(name, number) for name in names for number in range(len(pictures))]
    with ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("fork")) as pool:
        for (name, number), outcome in zip(tasks, pool.map(_search, tasks, chunksize=8), strict=True):
            true[:, names.index(name), number] = outcome.true
            false[:, names.index(name)] += outcome.false
    false[-len(HASHES) :] *= (len(known.halves) + len(further)) / len(known.halves)
    return true, false


def recall(true: np.ndarray, thresholds: dict[str, float]) -> np.ndarray:
    """Share found, (transforms, methods)."""
    return np.stack([(true[m] < thresholds[name]).mean(axis=1) for m, name in enumerate(METHODS)], axis=1)


def false_hits(false: np.ndarray, thresholds: dict[str, float], photographs: int) -> np.ndarray:
    """False hits per query, (transforms, methods)."""
    ends = [_bins(name, threshold) for name, threshold in thresholds.items()]
    return np.stack([false[m, :, :end].sum(axis=1) for m, end in enumerate(ends)], axis=1) / photographs


def _bins(method: str, threshold: float) -> int:
    return int(np.ceil(threshold)) if method in HASHES else round(threshold * BINS)


def matched(false: np.ndarray) -> dict[str, float]:
    """Thresholds with the most false hits that are no more than the default search's."""
    most = false[0, :, : round(CUTOFF * BINS)].sum()
    found = {}
    for m, name in enumerate(METHODS):
        end = int(np.searchsorted(false[m].sum(axis=0).cumsum(), most, side="right"))
        found[name] = float(end) if name in HASHES else end / BINS
    # The service's two searches are as they are.
    return found | {"ours": CUTOFF, "ours, thorough": CUTOFF}


def table(values: np.ndarray, heading: str, form: str, last: tuple[str, np.ndarray] | None = None) -> None:
    print(f"\n{heading}\n\n| | {' | '.join(METHODS)} |\n| --- |{' --- |' * len(METHODS)}")
    rows = list(zip(transforms.TRANSFORMS, values, strict=True))
    for name, row in rows:
        print(f"| {name} | {' | '.join(format(value, form) for value in row)} |")
    if last:
        print(f"| **{last[0]}** | {' | '.join(f'{value:.2f}' for value in last[1])} |")


def plot(shares: np.ndarray, file: Path) -> None:
    from matplotlib import pyplot  # noqa: PLC0415 - only a plot needs it

    figure, axes = pyplot.subplots(figsize=(8, 10))
    shown = axes.imshow(shares, cmap="RdYlGn", vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(len(METHODS)), METHODS)
    axes.set_yticks(range(len(transforms.TRANSFORMS)), list(transforms.TRANSFORMS))
    axes.xaxis.tick_top()
    for (row, column), value in np.ndenumerate(shares):
        axes.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=8)
    figure.colorbar(shown, label="originals found, at the same rate of false hits", shrink=0.5)
    figure.tight_layout()
    figure.savefig(file, metadata={"Date": None} if file.suffix == ".svg" else None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=int, default=1000, help="use at most so many photographs")
    parser.add_argument("--distractors", type=int, default=100_000)
    parser.add_argument("--files", type=int, default=20_000, help="distractors that the hashes see as well")
    parser.add_argument("--plot", type=Path, help="write a plot of the last table (.png or .svg)")
    options = parser.parse_args()
    began = time.monotonic()
    found = photos.photographs()
    known = distractors.make(found.distractors, min(options.files, options.distractors), 2)
    further = distractors.windows(found.distractors, options.distractors - len(known.halves))
    pictures = found.measured[: options.photos]
    true, false = measure(pictures, known, further)
    count = f"{options.distractors:,} distractors ({len(known.halves):,} as files)"
    print(
        f"{len(pictures)} photographs, {count} from {len(found.distractors)} "
        f"others, {true[0].size} searches; {time.monotonic() - began:.0f} s on {os.cpu_count()} x "
        f"{platform.machine()}, load {os.getloadavg()[0]:.1f}, Python {platform.python_version()}, "
        f"numpy {np.__version__}, imagehash {imagehash.__version__}"
    )
    # A Hamming distance of exactly the customary threshold is a match.
    customary = {name: value + (0.5 if name in HASHES else 0) for name, value in THRESHOLDS.items()}
    counted = len(range(0, len(pictures), COUNTED))
    wrong = false_hits(false, customary, counted)
    total = ("false hits per query", wrong.mean(axis=0))
    table(recall(true, customary), "Found, at the customary thresholds:", ".3f", total)
    table(wrong, "False hits per query there:", ".2f", ("all", wrong.mean(axis=0)))
    same = matched(false)
    print("\nThresholds: " + ", ".join(f"{name} {value:.3g}" for name, value in same.items()))
    wrong = false_hits(false, same, counted).mean(axis=0)
    shares = recall(true, same)
    table(shares, "Found, at no more false hits than the default:", ".3f", ("false hits per query", wrong))
    if options.plot:
        plot(shares, options.plot)


if __name__ == "__main__":
    main()
