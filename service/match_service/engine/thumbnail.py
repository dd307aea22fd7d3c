"""A small picture of an image, for people to recognise it by.

It shows the pixels the signature was made of: the first frame, alpha dropped, EXIF orientation ignored.
Nothing of the file's own metadata (place, camera, owner) goes into it.
"""

from io import BytesIO
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from match_service.engine.decode import DEFAULT_LIMITS, Frame, Limits, decode

SIDE: Final = 480
"""Longest side in pixels."""
QUALITY: Final = 82


def thumbnail(data: bytes, note: str, limits: Limits = DEFAULT_LIMITS) -> bytes:
    """A JPEG of at most 480 x 480 pixels with ``note`` as its comment; ``BadImageError`` for no image."""
    out = BytesIO()
    small(data, SIDE, limits).save(out, "JPEG", quality=QUALITY, optimize=True, comment=note.encode())
    return out.getvalue()


def small(data: bytes, side: int, limits: Limits) -> Image.Image:
    """The image with no side longer than ``side``."""
    image = Image.fromarray(_reduced(decode(data, limits, shrink_to=side), side))
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    return image


def note(thumbnail: bytes) -> str:
    """The comment of a thumbnail, empty where there is none or the bytes are no image."""
    try:
        with Image.open(BytesIO(thumbnail), formats=["JPEG"]) as image:
            return bytes(image.info.get("comment", b"")).decode("ascii", "replace")
    except (OSError, SyntaxError, ValueError):
        return ""


def _reduced(frame: Frame, side: int) -> NDArray[np.uint8]:
    """Pixels (rows, columns, 3) by means over blocks, band by band: a large image costs no more memory."""
    step = max(1, max(frame.width, frame.height) // (2 * side))
    step = min(step, frame.width, frame.height)
    columns = frame.width // step
    bands = []
    for top in range(0, frame.height - step + 1, step):
        band = frame.rows(top, top + step)[:, : columns * step]
        bands.append(band.reshape(step, columns, step, 3).mean(axis=(0, 2)))
    return np.stack(bands).astype(np.uint8)
