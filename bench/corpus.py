"""A large, realistic collection from few photographs: windows of them, and what people do to pictures.

Signatures of windows come from sums over the photograph (an integral image), thousands at a time; they are
those of the cut-out up to rounding. Queries are real files through the real engine.
"""

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import numpy as np
import skimage
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageOps

from match_service import engine
from match_service.engine.grey import SCALE, integer_grey
from match_service.engine.layout import HALF, NEIGHBOUR, POINT, from_half
from match_service.errors import BadImageError

LONGEST: Final = 1000
SMALLEST: Final = 300
TOLERANCE: Final = 2 / 255
SUFFIXES: Final = {".jpg", ".jpeg", ".png"}

Signatures = NDArray[np.int8]


def jpeg(image: Image.Image, quality: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def _scaled(image: Image.Image, factor: float) -> Image.Image:
    return image.resize((int(image.width * factor), int(image.height * factor)), Image.Resampling.BICUBIC)


def _cropped(image: Image.Image, share: float) -> Image.Image:
    x, y = int(image.width * share / 2), int(image.height * share / 2)
    return image.crop((x, y, image.width - x, image.height - y))


TRANSFORMS: Final[dict[str, Callable[[Image.Image], bytes]]] = {
    "JPEG 30": lambda image: jpeg(image, 30),
    "half size": lambda image: jpeg(_scaled(image, 0.5), 85),
    "crop 5 %": lambda image: jpeg(_cropped(image, 0.05), 85),
    "crop 10 %": lambda image: jpeg(_cropped(image, 0.10), 85),
    "rotate 2 degrees": lambda image: jpeg(image.rotate(2, Image.Resampling.BICUBIC), 85),
    "brighter": lambda image: jpeg(ImageEnhance.Brightness(image).enhance(1.3), 85),
    "border 3 %": lambda image: jpeg(ImageOps.expand(image, int(0.03 * min(image.size)), "white"), 85),
    "mirrored and turned": lambda image: jpeg(ImageOps.mirror(image).rotate(90, expand=True), 85),
}


def photographs(folder: Path | None, most: int = 250) -> list[Image.Image]:
    """Photographs of ``folder`` and its subfolders, or scikit-image's own; none twice, none like another."""
    root = folder or Path(skimage.__file__).parent / "data"
    found: list[Image.Image] = []
    kept: list[Signatures] = []
    for path in sorted(path for path in root.rglob("*") if path.suffix.lower() in SUFFIXES):
        try:
            with Image.open(path) as opened:
                image = opened.convert("RGB")
            image.thumbnail((LONGEST, LONGEST))
            signature = engine.signature(jpeg(image, 95))
        except (OSError, BadImageError):
            continue
        colours = image.resize((64, 64)).getcolors(4096)
        if min(image.size) < SMALLEST or colours is None or len(colours) < 1000:
            continue  # icons, diagrams, screenshots
        if kept and engine.distances(engine.pack_many(np.stack(kept)), signature[None]).min() < 0.5:
            continue
        kept.append(signature)
        found.append(image)
    return found[:: max(1, len(found) // most)][:most]


def windows(photos: list[Image.Image], count: int, batch: int = 10_000) -> Iterator[Signatures]:
    """``count`` signatures of random parts of the photographs, in batches (n, 648)."""
    rng = np.random.default_rng(0)
    sums = [_integral(photo) for photo in photos]
    while count > 0:
        share = np.diff(np.linspace(0, min(batch, count), len(sums) + 1).astype(int))
        parts = [_parts(total, int(n), rng) for total, n in zip(sums, share, strict=True) if n]
        made = np.concatenate(parts)
        made = made[made.any(axis=1)][rng.permutation(len(made[made.any(axis=1)]))]
        yield made
        count -= len(made)


def _integral(photo: Image.Image) -> NDArray[np.int64]:
    grey = integer_grey(np.asarray(photo))
    return np.pad(grey.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))


def _parts(total: NDArray[np.int64], count: int, rng: np.random.Generator) -> Signatures:
    high, wide = total.shape[0] - 1, total.shape[1] - 1
    heights = (high * rng.uniform(0.2, 0.95, count)).astype(int)
    widths = (wide * rng.uniform(0.2, 0.95, count)).astype(int)
    tops = (rng.random(count) * (high - heights)).astype(int)
    lefts = (rng.random(count) * (wide - widths)).astype(int)
    side = np.maximum(2, (0.5 + np.minimum(heights, widths) / 20).astype(int))
    upper, lower = (edge + tops[:, None] for edge in _spans(heights, side))
    left, right = (edge + lefts[:, None] for edge in _spans(widths, side))
    corners = [(lower, right, 1), (upper, right, -1), (lower, left, -1), (upper, left, 1)]
    boxes = sum(sign * total[y[:, :, None], x[:, None, :]] for y, x, sign in corners)
    areas = (lower - upper)[:, :, None] * (right - left)[:, None, :]
    means = (boxes / (areas * SCALE)).reshape(count, 81)
    return from_half(_quantised(means[:, POINT[HALF]] - means[:, NEIGHBOUR[HALF]]))


def _spans(sizes: NDArray[np.int64], side: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    low, high = (0.05 * (sizes - 1)).astype(int) + 1, np.ceil(0.95 * (sizes - 1)).astype(int)
    centres = (low[:, None] + (high - low)[:, None] * np.arange(1, 10) / 10).astype(int)
    first = np.maximum(centres - side[:, None] / 2, 0).astype(int)
    return first, np.minimum(first + side[:, None], sizes[:, None])


def _quantised(differences: NDArray[np.float64]) -> Signatures:
    sizes = np.abs(differences)
    sizes[sizes < TOLERANCE] = np.nan
    kept = np.count_nonzero(~np.isnan(sizes), axis=1)
    ordered = np.sort(sizes, axis=1)  # the missing last
    rows = np.arange(len(sizes))
    low = ordered[rows, np.maximum(kept - 1, 0) // 2]
    middle = (low + ordered[rows, np.minimum(kept // 2, sizes.shape[1] - 1)]) / 2
    levels = np.where(np.isnan(sizes), 0, np.where(sizes > middle[:, None], 2, 1))
    return (levels * np.sign(differences)).astype(np.int8)
