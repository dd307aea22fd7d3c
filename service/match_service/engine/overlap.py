"""Two images in one picture, for people to see what a score means.

The second is brought into the first's orientation and size and laid over it: half of each, or what differs.
Both are seen as ``thumbnail`` sees them, so nothing of their files but pixels goes into it.
"""

from dataclasses import dataclass
from io import BytesIO
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from match_service.engine.decode import DEFAULT_LIMITS, Limits
from match_service.engine.distance import distance
from match_service.engine.orientations import VIEW_NAMES, turned_back, views
from match_service.engine.signature import signature
from match_service.engine.thumbnail import small
from match_service.model import score

SIDE: Final = 960
"""Longest side in pixels."""
QUALITY: Final = 88
MODES: Final = ("blend", "difference")


@dataclass(frozen=True, slots=True)
class Overlap:
    """A picture of two images, and how they go together."""

    jpeg: bytes
    view: int
    """Which of ``VIEW_NAMES`` of the first the second shows."""
    distance: float

    @property
    def orientation(self) -> str:
        """How the second image is turned beside the first."""
        return VIEW_NAMES[self.view]

    @property
    def score(self) -> float:
        """100 for an equal signature in that orientation."""
        return score(self.distance)


def overlap(
    first: bytes, second: bytes, mode: str, *, all_orientations: bool, limits: Limits = DEFAULT_LIMITS
) -> Overlap:
    """The two laid over each other in one of ``MODES``; ``BadImageError`` for no image and for a flat one."""
    known, other = signature(first, limits), signature(second, limits)
    apart = [distance(view, other) for view in views(known, all_orientations)]
    view = int(np.argmin(apart))
    below = np.asarray(small(first, SIDE, limits))
    above = _fitted(turned_back(np.asarray(small(second, SIDE, limits)), view), below.shape)
    out = BytesIO()
    # Not optimized: for that Pillow sets aside a byte for each pixel, and of noise a JPEG may take more.
    Image.fromarray(_laid(below, above, mode)).save(out, "JPEG", quality=QUALITY)
    return Overlap(out.getvalue(), view, apart[view])


def _fitted(pixels: NDArray[np.uint8], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Stretched where need be: signatures are, too."""
    height, width = shape[:2]
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS))


def _laid(below: NDArray[np.uint8], above: NDArray[np.uint8], mode: str) -> NDArray[np.uint8]:
    wide = below.astype(np.int16), above.astype(np.int16)
    laid = (wide[0] + wide[1]) // 2 if mode == "blend" else np.abs(wide[0] - wide[1])
    return laid.astype(np.uint8)
