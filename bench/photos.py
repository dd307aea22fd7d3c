"""Real photographs for benchmarks, from Debian packages and installed wheels; none is kept in the repository.

`apt-get download` needs a Debian or Ubuntu with these packages in its sources. The photographs stay in a
cache folder, `$XDG_CACHE_HOME/match-operator/photos` (`~/.cache` by default).
"""

import os
import re
import subprocess
import warnings
from pathlib import Path

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
)
SIDE = 480
SUFFIXES = (".jpg", ".jpeg", ".png")
# opencv-doc's figures: calibration boards that differ by a turn only, and results drawn over photographs.
FIGURES = re.compile(
    r"(left|right)\d|chess|calib|result|output|hist|board|aruco|plot|screen|mask|marker|noise|out_|_out|gui|"
    r"sobel|canny|corner|feature|match|detect|track|sample|graph|stereo|depth|fft|dft|filter|face|template|"
    r"tutorial|demo_|aloe|motion|grabcut|watershed|pyramid|segment|contour|blobs|tree_node",
    re.IGNORECASE,
)


def cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "match-operator" / "photos"


def fetch() -> Path:
    """Download and unpack what the cache does not have yet; the folder."""
    folder = cache()
    for package in PACKAGES:
        target = folder / package
        if target.is_dir():
            continue
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(["apt-get", "download", "-q", package], cwd=folder, check=True)
        (archive,) = folder.glob(f"{package}_*.deb")
        subprocess.run(["dpkg-deb", "-x", archive, target.with_suffix(".part")], check=True)
        target.with_suffix(".part").rename(target)
        archive.unlink()
    return folder


def photographs() -> list[Image.Image]:
    """Different photographs in colour or grey, longest side at most ``SIDE`` pixels, in a fixed order."""
    roots = [fetch(), Path(skimage.__file__).parent, Path(sklearn.__file__).parent]
    files = [f for root in roots for f in sorted(root.rglob("*")) if _wanted(f)]
    kept: list[Image.Image] = []
    thumbs: list[np.ndarray] = []
    for file in files:
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
    return file.suffix.lower() in SUFFIXES and not FIGURES.search(file.name)


def _photograph(file: Path) -> Image.Image | None:
    """The image if it looks like a photograph: large, with the many shades and grain that drawings lack."""
    try:
        with Image.open(file) as opened:
            if min(opened.size) < 300 or max(opened.size) > 3.5 * min(opened.size) or "A" in opened.mode:
                return None
            opened.draft("RGB", (SIDE, SIDE))
            with warnings.catch_warnings(action="ignore"):  # of palettes with transparency
                image = opened.convert("RGB")
    except (OSError, SyntaxError, ValueError):
        return None
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    grey = np.asarray(image.convert("L"))
    counts = np.bincount(grey.ravel(), minlength=256) / grey.size
    return image if counts.max() < 0.25 and (counts > 0.0005).sum() > 100 and grey.std() > 15 else None
