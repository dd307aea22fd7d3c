"""Real photographs for benchmarks, from Debian packages and installed wheels; none is kept in the repository.

`apt-get download` needs a Debian or Ubuntu with these packages in its sources; it fetches 590 MB. What is
unpacked stays in a cache folder, `$XDG_CACHE_HOME/match-operator/photos` (`~/.cache` by default). Pictures
that tune, that are measured, and that distractors are cut from are never the same.
"""

import os
import re
import subprocess
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
import skimage
import sklearn
from PIL import Image

PACKAGES = (
    "opencv-doc",
    "lomiri-wallpapers-16.04",
    "mate-backgrounds",
    "plasma-workspace-wallpapers",
    "kphotoalbum",
    "lomiri-wallpapers-20.04",
    "ukui-wallpapers",
    "stellarium-data",
)
MEASURED_PACKAGE = "gcompris-qt-data"
VERSION = 1
"""To be raised when others are chosen."""
SIDE = 480
LARGE = 1000
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
# opencv-doc's figures: calibration boards that differ by a turn only, and results drawn over photographs.
FIGURES = re.compile(
    r"(left|right)\d|chess|calib|result|output|hist|board|aruco|plot|screen|mask|marker|noise|out_|_out|gui|"
    r"sobel|canny|corner|feature|match|detect|track|sample|graph|stereo|depth|fft|dft|filter|face|template|"
    r"tutorial|demo_|aloe|motion|grabcut|watershed|pyramid|segment|contour|blobs|tree_node",
    re.IGNORECASE,
)


class Photographs(NamedTuple):
    """Photographs in colour or grey, each list in a fixed order, none in two lists."""

    measured: list[Image.Image]
    """Looked for in the measurement, and never while tuning; longest side at most ``SIDE`` pixels."""
    tuning: list[Image.Image]
    """Looked for while choosing guesses and cutoffs; as large."""
    distractors: list[Image.Image]
    """What distractors of the measurement are cut from; longest side at most ``LARGE`` pixels."""
    tuning_distractors: list[Image.Image]
    """What those of the tuning are cut from; as large."""


def cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "match-operator" / "photos"


def fetch() -> Path:
    """Download and unpack what the cache does not have yet; the folder."""
    folder = cache()
    for package in (*PACKAGES, MEASURED_PACKAGE):
        target = folder / package
        if target.is_dir():
            continue
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(["apt-get", "download", "-q", package], cwd=folder, check=True)
        (archive,) = folder.glob(f"{package}_*.deb")
        part = folder / f"{package}.part"
        subprocess.run(["dpkg-deb", "-x", archive, part], check=True)
        if package == MEASURED_PACKAGE:
            _carve(part)
        part.rename(target)
        archive.unlink()
    return folder


def _carve(folder: Path) -> None:
    """Write the WebP files inside Qt resource files beside these: GCompris packs its photographs so."""
    for resource in sorted(folder.rglob("*.rcc")):
        data = resource.read_bytes()
        for number, found in enumerate(re.finditer(rb"RIFF....WEBPVP8", data, re.DOTALL)):
            start = found.start()
            length = 8 + int.from_bytes(data[start + 4 : start + 8], "little")
            resource.with_name(f"{resource.stem}-{number:03}.webp").write_bytes(data[start : start + length])


def photographs() -> Photographs:
    """All photographs that are no copy of another, by what they are for.

    Choosing takes a minute or two, so what was chosen is kept beside the packages.
    """
    file = fetch() / f"chosen-{VERSION}.npz"
    if file.exists():
        with np.load(file) as kept:
            lists = {
                name: [key for key in kept.files if key.startswith(name + " ")]
                for name in Photographs._fields
            }
            return Photographs(
                **{name: [Image.fromarray(kept[k]) for k in keys] for name, keys in lists.items()}
            )
    chosen = _chosen(file.parent)
    part = file.with_suffix(".part.npz")
    pixels = {
        f"{name} {number:04}": np.asarray(image)
        for name, images in chosen._asdict().items()
        for number, image in enumerate(images)
    }
    np.savez(part, allow_pickle=False, **pixels)
    part.rename(file)
    return chosen


def _chosen(folder: Path) -> Photographs:
    thumbs: list[np.ndarray] = []
    measured = list(_different([folder / MEASURED_PACKAGE], thumbs))
    wheels = [Path(skimage.__file__).parent, Path(sklearn.__file__).parent]
    others = list(_different([*(folder / package for package in PACKAGES), *wheels], thumbs))
    # Two of four, since the measurement is what has to be sure; neighbours are often of one package.
    return Photographs(
        [_small(image) for image in measured],
        [_small(image) for image in others[::4]],
        [image for number, image in enumerate(others) if number % 4 in (2, 3)],
        others[1::4],
    )


def _different(roots: list[Path], thumbs: list[np.ndarray]) -> list[Image.Image]:
    kept: list[Image.Image] = []
    for file in (f for root in roots for f in sorted(root.rglob("*")) if _wanted(f)):
        image = _photograph(file)
        if image is None:
            continue
        thumb = np.asarray(image.convert("L").resize((16, 16), Image.Resampling.BOX), dtype=float).ravel()
        thumb = (thumb - thumb.mean()) / (thumb.std() + 1e-9)
        # The same scene again (another size, a stereo pair, the next frame) would count as a false hit.
        if any(float(thumb @ other) / len(thumb) > 0.8 for other in thumbs):
            continue
        kept.append(image)
        thumbs.append(thumb)
    return kept


def _wanted(file: Path) -> bool:
    """Whether the file is likely to be a photograph, by its name and place."""
    if "opencv-doc" in file.parts and file.suffix != ".jpg":
        return False
    if "kphotoalbum" in file.parts and "demo" not in file.parts:
        return False
    if "stellarium-data" in file.parts and not {"nebulae", "landscapes"} & set(file.parts):
        return False
    if file.suffix == ".webp" and file.name.startswith("babyshapes"):  # paintings with holes
        return False
    return file.suffix.lower() in SUFFIXES and not FIGURES.search(file.name)


def _photograph(file: Path) -> Image.Image | None:
    """The image if it looks like a photograph: large, with the many shades and grain that drawings lack."""
    try:
        with Image.open(file) as opened:
            if min(opened.size) < 300 or max(opened.size) > 3.5 * min(opened.size) or "A" in opened.mode:
                return None
            opened.draft("RGB", (LARGE, LARGE))
            with warnings.catch_warnings(action="ignore"):  # of palettes with transparency
                image = opened.convert("RGB")
    except (OSError, SyntaxError, ValueError):
        return None
    image.thumbnail((LARGE, LARGE), Image.Resampling.LANCZOS)
    grey = np.asarray(_small(image).convert("L"))
    counts = np.bincount(grey.ravel(), minlength=256) / grey.size
    return image if counts.max() < 0.25 and (counts > 0.0005).sum() > 100 and grey.std() > 15 else None


def _small(image: Image.Image) -> Image.Image:
    small = image.copy()
    small.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    return small
