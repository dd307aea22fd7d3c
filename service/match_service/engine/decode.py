"""Bytes from strangers become pixels here and nowhere else, so every limit on them is set here.

The header is read first, and an image that breaks a limit is refused before a pixel is decoded. What
comes out is read by regions: most of an image is never looked at. How long a decoder may take no limit here
can promise, since damaged files make loops of many kinds: ``match_service.workshop`` stops it from outside.

Pillow decides what is an image. JPEG is decoded by simplejpeg, the same libjpeg-turbo with less around it,
where it gives Pillow's very pixels; whatever it objects to, Pillow gets to judge.
"""

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import Final

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin, UnidentifiedImageError

from match_service.errors import BadImageError

MAX_SIDE: Final = 65_535
"""Longest side in pixels, as in JPEG; longer images are walls of one line, not pictures."""

# Not in the list: formats that start another program (EPS runs Ghostscript), that only describe
# drawing commands (WMF, EMF), and containers no photo comes in.
# Those that Pillow tries first come first.
_WANTED: Final = (
    "JPEG", "PNG", "GIF", "BMP", "DIB", "PPM",
    "AVIF", "DDS", "ICNS", "ICO", "IM", "JPEG2000", "MSP", "PCX", "PSD", "QOI", "SGI", "SPIDER", "SUN",
    "TGA", "TIFF", "WEBP", "XBM", "XPM",
)  # fmt: skip
Image.init()
FORMATS: Final = tuple(name for name in _WANTED if name in Image.OPEN)
"""Formats that are tried, by Pillow's names: JPEG includes MPO, PPM all of PBM, PGM, PPM, PNM and PFM."""

_JPEG: Final = ("JPEG", "MPO")


@dataclass(frozen=True, slots=True)
class Limits:
    """What an upload may cost."""

    pixels: int = 100_000_000
    """Most pixels of an image; decoding takes four bytes for each. Above 178,956,970 Pillow refuses."""
    data: int = 64 * 1024 * 1024
    """Most encoded bytes."""
    slow_pixels: int = 4_000_000
    """Most pixels where Pillow's decoder is Python: such a one takes a second or two for a million."""
    wide_pixels: int = 40_000_000
    """Most pixels of JPEG 2000, whose decoder takes another four bytes for each value of each pixel."""
    frames: int = 10_000
    """Most frames where the header says how many there are; none but the first is decoded."""
    ratio: int = 4_000
    """Most pixels for one encoded byte, of images above ``RATIO_FROM`` pixels."""


DEFAULT_LIMITS: Final = Limits()

RATIO_FROM: Final = 16_000_000
"""Pixels up to which an image may be packed as tightly as it likes: they cost 64 MB at most."""
_COUNTED: Final = ("AVIF", "MPO", "PNG", "WEBP")
"""Formats whose header has the number of frames; in others counting means reading everything."""
_TILE_SIDES: Final = (322, 323)
"""TIFF's tags TileWidth and TileLength."""


class Frame:
    """The first frame of an image as RGB, read by regions.

    Colour follows Pillow's ``convert("RGB")``, as image-match's does: alpha is dropped, EXIF orientation
    ignored. Conversion is pixel by pixel in every mode, so a region converts as the whole would.
    """

    def __init__(self, source: "Image.Image | NDArray[np.uint8]") -> None:
        """``source`` is an image of any mode, or RGB pixels (rows, columns, 3)."""
        self._source = source
        if isinstance(source, Image.Image):
            self.width, self.height = source.size
        else:
            self.height, self.width = source.shape[:2]

    @property
    def pixels(self) -> NDArray[np.uint8] | None:
        """All of them (rows, columns, 3), if they lie in memory one after the other."""
        source = self._source
        return source if isinstance(source, np.ndarray) and source.flags.c_contiguous else None

    def region(self, top: int, bottom: int, left: int, right: int) -> NDArray[np.uint8]:
        """Pixels of rows ``top:bottom`` and columns ``left:right``, shape (rows, columns, 3)."""
        if not isinstance(self._source, Image.Image):
            return self._source[top:bottom, left:right]
        part = self._source.crop((left, top, right, bottom))
        if part.mode != "RGB":
            with quiet_pillow():
                part = part.convert("RGB")
        return np.asarray(part)

    def rows(self, top: int, bottom: int) -> NDArray[np.uint8]:
        """Pixels of whole rows ``top:bottom``, shape (rows, width, 3)."""
        return self.region(top, bottom, 0, self.width)


def decode(data: bytes, limits: Limits = DEFAULT_LIMITS, shrink_to: int | None = None) -> Frame:
    """Decode the first frame of ``data``; ``BadImageError`` says in a sentence what is wrong with it.

    With ``shrink_to`` a JPEG is decoded at a half or a quarter of its size, the smaller one that
    leaves its shorter side at least so many pixels. Other formats are always decoded whole.
    """
    with quiet_pillow(), _refusals():
        image = _open(data, limits)
        factor = _reduction(image, shrink_to) if shrink_to else 1
        pixels = _jpeg_pixels(data, image, factor)
        if pixels is not None:
            return Frame(pixels)
        if factor > 1:
            image.draft(image.mode, (image.width // factor, image.height // factor))
        image.load()
        # A mode that cannot become RGB shows on one pixel as well as on all of them.
        image.crop((0, 0, 1, 1)).convert("RGB")
    return Frame(image)


def _reduction(image: Image.Image, side: int) -> int:
    if image.format not in _JPEG:
        return 1
    return next((factor for factor in (4, 2) if min(image.size) >= side * factor), 1)


def _jpeg_pixels(data: bytes, image: Image.Image, factor: int) -> NDArray[np.uint8] | None:
    """RGB pixels (rows, columns, 3) of the JPEG opened as ``image``, or None where Pillow must decide.

    That is for four inks, whose conversion differs, and for all that is odd or damaged: Pillow reads some
    of it and refuses the rest, while ``strict`` refuses whatever libjpeg warns of.
    """
    if image.format not in _JPEG or image.mode not in {"RGB", "L"}:
        return None
    try:
        height, width = simplejpeg.decode_jpeg_header(data)[:2]
        if (width, height) != image.size:  # a second header, made to get past the limits
            return None
        rows, columns = -(-height // factor), -(-width // factor)
        pixels: NDArray[np.uint8] = simplejpeg.decode_jpeg(data, "RGB", min_height=rows, min_width=columns)
    except ValueError:
        return None
    return pixels


def check_header(data: bytes, limits: Limits = DEFAULT_LIMITS) -> None:
    """Refuse what ``decode`` would refuse before it decodes a pixel."""
    with quiet_pillow(), _refusals():
        _open(data, limits)


@contextmanager
def _refusals() -> Iterator[None]:
    """Codecs raise anything on damaged or hostile bytes; whatever it is, the image is refused for it."""
    try:
        yield
    except BadImageError:
        raise
    except Image.DecompressionBombError as error:
        raise BadImageError("The image has too many pixels to be decoded safely.", "pixels") from error
    except UnidentifiedImageError as error:
        raise BadImageError(
            "The data is not an image in a format that is read here, such as JPEG, PNG, GIF or WebP.",
            "format",
        ) from error
    except MemoryError as error:
        raise BadImageError("The image is too large to be decoded.", "memory") from error
    except Exception as error:
        raise BadImageError(f"The image cannot be decoded: {_reason(error)}.") from error


def check_size(count: int, limits: Limits = DEFAULT_LIMITS) -> None:
    """Refuse an image of no bytes or of too many."""
    if not count:
        raise BadImageError("The image is empty: it has no bytes.", "empty")
    if count > limits.data:
        raise BadImageError(f"The image has {count:,} bytes; at most {limits.data:,} are allowed.", "bytes")


def _open(data: bytes, limits: Limits) -> Image.Image:
    check_size(len(data), limits)
    image = Image.open(BytesIO(data), formats=FORMATS)
    width, height = image.size
    allowed = _pixels_allowed(image, limits)
    if width * height > allowed:
        kind = "" if allowed == limits.pixels else f"{image.format} "
        raise BadImageError(
            f"The {kind}image has {width} x {height} pixels; at most {allowed:,} in all are allowed.",
            "pixels",
        )
    if max(width, height) > MAX_SIDE:
        raise BadImageError(
            f"The image has {width} x {height} pixels; a side may have {MAX_SIDE:,}.", "pixels"
        )
    _check_packing(image, len(data), limits)
    return image


def _pixels_allowed(image: Image.Image, limits: Limits) -> int:
    codecs = {tile[0] for tile in getattr(image, "tile", ())}
    if codecs & set(Image.DECODERS):  # Pillow's register of decoders written in Python
        return min(limits.pixels, limits.slow_pixels)
    if image.format == "JPEG2000":
        return min(limits.pixels, limits.wide_pixels)
    return limits.pixels


def _check_packing(image: Image.Image, size: int, limits: Limits) -> None:
    """Refuse what takes more than its pixels: tiles larger than the image, frames without end, bombs."""
    pixels = image.width * image.height
    if pixels > max(RATIO_FROM, limits.ratio * size):
        raise BadImageError(
            f"The image has {pixels // size:,} pixels for each of its bytes; at most {limits.ratio:,} are"
            " allowed.",
            "ratio",
        )
    if image.format in _COUNTED and (frames := getattr(image, "n_frames", 1)) > limits.frames:
        raise BadImageError(
            f"The image has {frames:,} frames; at most {limits.frames:,} are allowed.", "frames"
        )
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        width, height = (int(image.tag_v2.get(tag, 0)) for tag in _TILE_SIDES)
        if width * height > limits.pixels:
            raise BadImageError(
                f"The image has tiles of {width} x {height} pixels; at most {limits.pixels:,} are allowed.",
                "pixels",
            )


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split()).rstrip(".")
    return text if text and "<" not in text else type(error).__name__


_quiet_lock = threading.Lock()
_quiet_users = 0
_quiet_saved: "warnings.catch_warnings[None] | None" = None


@contextmanager
def quiet_pillow() -> Iterator[None]:
    """Keep Pillow's warnings about odd files from the log, or from being raised where warnings are errors.

    ``catch_warnings`` alone is not safe in threads: the first to come sets the filter, the last to go
    restores it.
    """
    global _quiet_users, _quiet_saved  # noqa: PLW0603 - the filters they guard are global to the process
    with _quiet_lock:
        if _quiet_users == 0:
            _quiet_saved = warnings.catch_warnings()
            _quiet_saved.__enter__()
            warnings.simplefilter("ignore")
        _quiet_users += 1
    try:
        yield
    finally:
        with _quiet_lock:
            _quiet_users -= 1
            if _quiet_users == 0 and _quiet_saved is not None:
                _quiet_saved.__exit__(None, None, None)
                _quiet_saved = None
