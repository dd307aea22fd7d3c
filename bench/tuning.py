"""Which guesses and cutoffs of a thorough search find what, at how many false hits: how its own were chosen.

`python bench/tuning.py [--distractors N] [--photos N]` prints the table of docs/robustness.md. Photographs
and what distractors are cut from are those that photos.py sets apart for it: nothing that bench/robustness.py
measures has part in it.
"""

import argparse
import multiprocessing
import os
import platform
import time
from concurrent.futures import ProcessPoolExecutor
from typing import NamedTuple

import distractors
import numpy as np
import photos
import transforms
from PIL import Image

from match_service import engine
from match_service.engine import scan, variants
from match_service.engine.decode import decode
from match_service.model import Signature, Views

CUTOFF = 0.45
CHANGES = (
    "JPEG 50",
    "caption",
    "half size, crop 5 %, JPEG 50",
    "crop 10 %",
    "crop 10 %, anywhere",
    "crop 20 %",
    "crop 20 %, anywhere",
    "rotated 2",
    "rotated 5",
    "white border 10 %",
    "black border 10 %",
    "screenshot",
)
SHOWN = ("crop 10 %, anywhere", "crop 20 %, anywhere", "screenshot")
ALWAYS = ("crop 10 %", "crop 20 %", "rotated 5", "white border 10 %", "black border 10 %")

CROPS = {
    "10 % at 25 places, 20 % at 49": variants.CROPS,
    "10 % at 25, 20 % at 25": ((0.1, 5), (0.2, 5)),
    "10 % at 9, 15 % at 25, 20 % at 25": ((0.1, 3), (0.15, 5), (0.2, 5)),
}
CUTOFFS = {name: (0.28, 0.33, 0.36, 0.38) if n == 0 else (0.36,) for n, name in enumerate(CROPS)}
WORK: dict[str, "Worker"] = {}


class Tried(NamedTuple):
    """One choice of guesses and their cutoff in one search."""

    views: int
    found: bool
    wrong: tuple[int, int]
    """False hits where views that are no guess must come nearer than 0.45, and than ``PLAIN_CUTOFF``."""


class Outcome(NamedTuple):
    """One search: false hits of the default one, and what each choice comes to."""

    default: int
    tried: dict[tuple[str, float], Tried]


class Worker:
    """Searches, in a process of its own that shares the distractors with the others."""

    def __init__(self, pictures: list[Image.Image], halves: scan.Halves) -> None:
        self._pictures = pictures
        self._rows = scan.Rows.of(halves)
        self._own = [engine.signature(transforms.encode(picture, 95)) for picture in pictures]

    def search(self, change: str, number: int) -> Outcome:
        """Look for photograph ``number`` by a changed copy."""
        data = transforms.apply(change, self._pictures[number], number)
        plain = engine.views(engine.raw_signature(data), all_orientations=True)
        near = scan.Query(plain, CUTOFF).search(self._rows)
        rows = near.rows, near.rows[near.distances < variants.PLAIN_CUTOFF]
        own = self._own[number]
        known = _nearest(plain, own) < variants.PLAIN_CUTOFF
        grey = variants.reduced(decode(data))
        tried = {}
        for name, crops in CROPS.items():
            views = variants.signatures(grey, crops)
            both = variants.with_mirrored(views)
            most = max(CUTOFFS[name])
            hits = scan.Query(both, most).search(self._rows) if len(both) else near
            for cutoff in CUTOFFS[name]:
                guessed = hits.rows[hits.distances < cutoff]
                found = known or (len(views) > 0 and _nearest(views, own) < cutoff)
                first, second = (len(np.union1d(part, guessed)) for part in rows)
                tried[name, cutoff] = Tried(len(views), found, (first, second))
        return Outcome(len(near.rows), tried)


def _nearest(views: Views, own: Signature) -> float:
    return min(engine.distance(view, own) for view in views)


def _search(task: tuple[str, int]) -> Outcome:
    return WORK["worker"].search(*task)


def report(tasks: list[tuple[str, int]], outcomes: list[Outcome], per: float) -> None:
    """The table; ``per`` turns counts of false hits into those of 100,000 distractors."""
    default = np.mean([outcome.default for outcome in outcomes]) * per
    print(f"The default search: {default:.1f} false hits a search per 100,000 distractors.\n")
    columns = ("guesses, cutoff", "views", "added", "in all, others below 0.45", "0.445", *SHOWN)
    print(f"| {' | '.join(columns)} |\n|{' --- |' * len(columns)}")
    least = 1.0
    for choice in outcomes[0].tried:
        tried = [outcome.tried[choice] for outcome in outcomes]
        wrong = np.mean([each.wrong for each in tried], axis=0) * per
        shares = {
            change: np.mean(
                [each.found for each, (name, _) in zip(tried, tasks, strict=True) if name == change]
            )
            for change in CHANGES
        }
        least = min(least, *(float(shares[change]) for change in ALWAYS))
        views = max(each.views for each in tried)
        print(f"| {choice[0]}, {choice[1]} | {views} | {wrong[0] - default:.2f} | {wrong[0]:.1f} ", end="")
        print(f"| {wrong[1]:.1f} | {' | '.join(f'{shares[change]:.2f}' for change in SHOWN)} |")
    print(f"\n{', '.join(ALWAYS)}: found by {least:.2f} or more of the searches, by each choice.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--photos", type=int, default=1000, help="use at most so many photographs")
    parser.add_argument("--distractors", type=int, default=50_000)
    options = parser.parse_args()
    began = time.monotonic()
    found = photos.photographs()
    pictures = found.tuning[: options.photos]
    halves = distractors.windows(found.tuning_distractors, options.distractors)
    WORK["worker"] = Worker(pictures, halves)
    tasks = [(change, number) for change in CHANGES for number in range(len(pictures))]
    with ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("fork")) as pool:
        outcomes = list(pool.map(_search, tasks, chunksize=8))
    print(
        f"{len(pictures)} photographs, {len(halves):,} windows of {len(found.tuning_distractors)} others, "
        f"{len(tasks)} searches; {time.monotonic() - began:.0f} s on "
        f"{os.cpu_count()} x {platform.machine()}, load {os.getloadavg()[0]:.1f}"
    )
    report(tasks, outcomes, 100_000 / len(halves))


if __name__ == "__main__":
    main()
