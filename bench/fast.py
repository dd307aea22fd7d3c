"""What MATCH_ENGINE=fast costs in likeness: signatures of JPEGs decoded at a fraction of their size.

`python bench/fast.py [FOLDER]` takes the JPEG photographs of a folder (those of photos.py by default), each
brought to 1,920 pixels on its longest side, and prints two Markdown tables: how far fast signatures lie from
exact ones, and how often a degraded copy is found (distance below 0.45) with exact signatures, with fast ones
on both sides, and mixed.
"""

import argparse
import importlib
import io
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import photos
from PIL import Image

from match_service import engine
from match_service.engine.decode import decode
from match_service.model import Signature

module = importlib.import_module("match_service.engine.signature")
FRACTIONS = (1, 2, 4)
THRESHOLD = 0.45
SIDE = 1920
DEGRADE: dict[str, Callable[[Image.Image], Image.Image]] = {
    "JPEG 50": lambda p: p,
    "half size": lambda p: p.resize((p.width // 2, p.height // 2)),
    "crop 5 %": lambda p: cropped(p, 0.05),
    "crop 10 %": lambda p: cropped(p, 0.10),
    "rotate 2 degrees": lambda p: p.rotate(2, Image.Resampling.BICUBIC),
}


def cropped(photo: Image.Image, share: float) -> Image.Image:
    x, y = round(photo.width * share / 2), round(photo.height * share / 2)
    return photo.crop((x, y, photo.width - x, photo.height - y))


def jpeg(photo: Image.Image, quality: int) -> bytes:
    buffer = io.BytesIO()
    photo.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def signature_at(data: bytes, fraction: int) -> Signature:
    """Signature of the JPEG decoded at 1/fraction, whatever its size."""
    shorter = min(Image.open(io.BytesIO(data)).size)
    found: Signature = module.frame_signature(decode(data, shrink_to=shorter // fraction))
    return found


def photographs(folder: Path, most: int) -> Iterator[Image.Image]:
    paths = [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in {".jpg", ".jpeg"}]
    seen: list[Signature] = []
    for path in paths:
        image = Image.open(path)
        if min(image.size) < 480:
            continue
        photo = image.convert("RGB")
        photo.thumbnail((SIDE, SIDE))
        found = engine.raw_signature(jpeg(photo, 85))
        if found.any() and all(engine.distance(found, other) > 0.3 for other in seen):
            seen.append(found)
            yield photo
        if len(seen) == most:
            return


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--photos", type=int, default=200, help="at most so many (default 200)")
    arguments = parser.parse_args()
    apart: dict[int, list[float]] = {fraction: [] for fraction in FRACTIONS[1:]}
    found: dict[tuple[str, int, int], list[bool]] = {}
    count = 0
    for photo in photographs(arguments.folder or photos.fetch(), arguments.photos):
        count += 1
        data = jpeg(photo, 85)
        kept = {fraction: signature_at(data, fraction) for fraction in FRACTIONS}
        for fraction, distances in apart.items():
            distances.append(engine.distance(kept[1], kept[fraction]))
        for name, degrade in DEGRADE.items():
            query = jpeg(degrade(photo), 50)
            for fraction in FRACTIONS:
                looked_for = signature_at(query, fraction)
                for stored in {1, fraction}:
                    hit = engine.distance(kept[stored], looked_for) < THRESHOLD
                    found.setdefault((name, stored, fraction), []).append(hit)
    print(f"{count} photographs\n\n| decoded at | median | p95 | largest |\n| --- | --- | --- | --- |")
    for fraction, distances in apart.items():
        middle, high = np.percentile(distances, [50, 95])
        print(f"| 1/{fraction} | {middle:.3f} | {high:.3f} | {max(distances):.3f} |")
    columns = ((1, 1), (2, 2), (4, 4), (1, 2), (1, 4))
    heads = ("exact", "1/2 both", "1/4 both", "exact kept, 1/2 sought", "exact kept, 1/4 sought")
    print(f"\n| degraded by | {' | '.join(heads)} |\n|{' --- |' * 6}")
    for name in DEGRADE:
        print(f"| {name} |", " | ".join(f"{np.mean(found[name, *pair]):.3f}" for pair in columns), "|")


if __name__ == "__main__":
    main()
