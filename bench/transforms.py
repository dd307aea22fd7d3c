"""What happens to photographs on their way around: RGB images in, JPEG files out."""

import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageOps

Change = Callable[[Image.Image, np.random.Generator], Image.Image]


def encode(image: Image.Image, quality: int = 85) -> bytes:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=quality)
    return out.getvalue()


def resized(factor: float) -> Change:
    return lambda image, _: image.resize(
        (round(image.width * factor), round(image.height * factor)), Image.Resampling.BICUBIC
    )


def cropped(share: float, *, centred: bool = True) -> Change:
    """Cut ``share`` off the width and off the height, half on each side or anyhow."""

    def change(image: Image.Image, chance: np.random.Generator) -> Image.Image:
        width, height = round(image.width * (1 - share)), round(image.height * (1 - share))
        across, down = (0.5, 0.5) if centred else chance.random(2)
        left, top = round((image.width - width) * across), round((image.height - height) * down)
        return image.crop((left, top, left + width, top + height))

    return change


def rotated(degrees: float) -> Change:
    return lambda image, _: image.rotate(degrees, Image.Resampling.BICUBIC, fillcolor=(0, 0, 0))


def bordered(share: float, colour: str = "white") -> Change:
    """Add a border as wide as ``share`` of the shorter side, on each side."""
    return lambda image, _: ImageOps.expand(image, round(min(image.size) * share), colour)


def mirrored(change: Change) -> Change:
    """Mirror what ``change`` makes."""
    return lambda image, chance: ImageOps.mirror(change(image, chance))


def enhanced(kind: type, factor: float) -> Change:
    return lambda image, _: kind(image).enhance(factor)


def watermark(image: Image.Image, _: np.random.Generator) -> Image.Image:
    layer = Image.new("RGBA", image.size, (0, 0, 0, 0))
    draw = ImageDraw.Draw(layer)
    size = max(12, image.width // 12)
    for row, top in enumerate(range(0, image.height, size * 3)):
        for left in range(-(row % 2) * size * 4, image.width, size * 8):
            draw.text((left, top), "SAMPLE", fill=(255, 255, 255, 110), font_size=size)
    return Image.alpha_composite(image.convert("RGBA"), layer).convert("RGB")


def caption(image: Image.Image, _: np.random.Generator) -> Image.Image:
    changed = image.copy()
    draw = ImageDraw.Draw(changed)
    draw.text((image.width // 12, image.height * 85 // 100), "when you see it", "white",
              font_size=max(12, image.height // 10), stroke_width=2, stroke_fill="black")  # fmt: skip
    return changed


def screenshot(image: Image.Image, chance: np.random.Generator) -> Image.Image:
    """The picture in the window of an imaginary viewer: title bar, buttons, side list, status line."""
    bar, side, foot = image.height // 8, image.width // 5, image.height // 14
    dark = bool(chance.integers(2))
    paper, ink = ((32, 33, 36), (220, 220, 220)) if dark else ((245, 245, 247), (50, 50, 50))
    gap = image.width // 40
    frame = Image.new("RGB", (side + image.width + 2 * gap, bar + image.height + 2 * gap + foot), paper)
    draw = ImageDraw.Draw(frame)
    size = max(9, bar // 3)
    draw.text((gap, bar // 3), "Pictures - Holiday 2024", ink, font_size=size)
    for number in range(3):
        left = frame.width - (number + 1) * size * 2
        draw.ellipse((left, bar // 3, left + size, bar // 3 + size), outline=ink)
    for line in range(int(chance.integers(4, 9))):
        draw.text((gap, bar + gap + line * size * 2), f"folder {line}", ink, font_size=size)
    draw.text((gap, frame.height - foot), "1 of 24 - 100 %", ink, font_size=max(8, foot // 2))
    frame.paste(image, (side + gap, bar + gap))
    return frame


def _unchanged(image: Image.Image, _: np.random.Generator) -> Image.Image:
    return image


def _half_and_crop(image: Image.Image, chance: np.random.Generator) -> Image.Image:
    return resized(0.5)(cropped(0.05)(image, chance), chance)


TRANSFORMS: dict[str, tuple[Change, int]] = {
    "JPEG 80": (_unchanged, 80),
    "JPEG 50": (_unchanged, 50),
    "JPEG 30": (_unchanged, 30),
    "resize 50 %": (resized(0.5), 85),
    "resize 200 %": (resized(2.0), 85),
    "blur": (lambda image, _: image.filter(ImageFilter.GaussianBlur(image.width / 200)), 85),
    "brightness 70 %": (enhanced(ImageEnhance.Brightness, 0.7), 85),
    "brightness 130 %": (enhanced(ImageEnhance.Brightness, 1.3), 85),
    "contrast 70 %": (enhanced(ImageEnhance.Contrast, 0.7), 85),
    "contrast 130 %": (enhanced(ImageEnhance.Contrast, 1.3), 85),
    "watermark": (watermark, 85),
    "caption": (caption, 85),
    "half size, crop 5 %, JPEG 50": (_half_and_crop, 50),
    "mirrored": (lambda image, _: ImageOps.mirror(image), 85),
    "rotated 90": (lambda image, _: image.transpose(Image.Transpose.ROTATE_90), 85),
    "mirrored, rotated 90": (
        lambda image, _: ImageOps.mirror(image).transpose(Image.Transpose.ROTATE_90),
        85,
    ),
    "inverted": (lambda image, _: ImageOps.invert(image), 85),
    "crop 5 %": (cropped(0.05), 85),
    "crop 10 %": (cropped(0.1), 85),
    "crop 10 %, anywhere": (cropped(0.1, centred=False), 85),
    "crop 20 %": (cropped(0.2), 85),
    "crop 20 %, anywhere": (cropped(0.2, centred=False), 85),
    "rotated 2": (rotated(2), 85),
    "rotated 5": (rotated(5), 85),
    "white border 3 %": (bordered(0.03), 85),
    "white border 10 %": (bordered(0.1), 85),
    "black border 10 %": (bordered(0.1, "black"), 85),
    "screenshot": (screenshot, 85),
    "mirrored, crop 10 %": (mirrored(cropped(0.1)), 85),
    "mirrored, crop 20 %, anywhere": (mirrored(cropped(0.2, centred=False)), 85),
}


def apply(name: str, image: Image.Image, seed: int) -> bytes:
    """The changed image's file; the same for the same seed."""
    change, quality = TRANSFORMS[name]
    return encode(change(image, np.random.default_rng(seed)), quality)
