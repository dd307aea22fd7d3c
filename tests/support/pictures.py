"""Images made at test time, so that tests need neither files nor a network."""

import io

import numpy as np
from PIL import Image


def picture(seed: int, width: int = 320, height: int = 240) -> Image.Image:
    """A colourful image of soft shapes; different seeds are far apart, equal seeds are equal."""
    noise = np.random.default_rng(seed).integers(0, 256, (7, 9, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)


def encode(image: Image.Image, kind: str = "JPEG", **options: int) -> bytes:
    """The file of ``image`` in a format named as Pillow does."""
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def jpeg(seed: int, width: int = 320, height: int = 240) -> bytes:
    return encode(picture(seed, width, height), quality=90)


def flat() -> bytes:
    """An image of one colour."""
    return encode(Image.new("RGB", (64, 64), (90, 120, 30)), "PNG")
