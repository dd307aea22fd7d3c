"""What strangers may send: limits hold before decoding, and odd files make no noise."""

import io
import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from match_service import engine
from match_service.engine.decode import Limits, decode
from match_service.errors import BadImageError, FeaturelessImageError


def encoded(image: Image.Image, name: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, name, **options)
    return buffer.getvalue()


def noise(width: int = 60, height: int = 40, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and brings no pixels."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b""))
        + chunk(b"IEND", b"")
    )


def animation(name: str, frames: int) -> bytes:
    rest = [noise(seed=seed) for seed in range(1, frames)]
    return encoded(noise(), name, save_all=True, append_images=rest, lossless=True)


def tiled_tiff(side: int) -> bytes:
    """A TIFF of 8 x 8 pixels that lie in one tile of ``side`` squared."""
    tags = [
        (256, 3, 8), (257, 3, 8), (258, 3, 8), (259, 3, 8), (262, 3, 1), (277, 3, 1),
        (322, 4, side), (323, 4, side), (324, 4, 8), (325, 4, 4),
    ]  # fmt: skip
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    return b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(tags)) + entries + bytes(4)


def outcome(data: bytes) -> str:
    try:
        engine.raw_signature(data, Limits(pixels=1_000_000))
    except BadImageError as refusal:
        return str(refusal)
    return "Read."


def test_regions_are_the_pixels_of_the_whole() -> None:
    image = noise()
    frame = decode(encoded(image))
    assert (frame.width, frame.height) == (60, 40)
    assert np.array_equal(frame.region(3, 17, 5, 50), np.asarray(image)[3:17, 5:50])
    assert np.array_equal(frame.rows(39, 40), np.asarray(image)[39:])


def test_alpha_is_dropped_and_orientation_ignored_as_image_match_does() -> None:
    image = noise()
    exif = Image.Exif()
    exif[0x0112] = 6
    clear = image.copy()
    clear.putalpha(0)
    assert np.array_equal(decode(encoded(clear)).rows(0, 40), np.asarray(image))
    assert decode(encoded(image, "JPEG", exif=exif)).width == 60


@pytest.mark.parametrize(
    ("data", "limits", "sentence"),
    [
        (b"", Limits(), "no bytes"),
        (encoded(noise()), Limits(data=100), "at most 100 are allowed"),
        (encoded(noise()), Limits(pixels=2399), "60 x 40 pixels; at most 2,399"),
        (png_header(10_001, 10_000), Limits(), "10001 x 10000 pixels; at most 100,000,000"),
        (png_header(70_000, 3), Limits(), "a side may have 65,535"),
        (png_header(65_000, 65_000), Limits(pixels=2**40), "too many pixels"),
        (png_header(9_000, 9_000), Limits(), "pixels for each of its bytes; at most 4,000"),
        (
            encoded(noise(), "QOI"),
            Limits(slow_pixels=2399),
            "The QOI image has 60 x 40 pixels; at most 2,399",
        ),
        (encoded(noise(), "DDS"), Limits(slow_pixels=2399), "The DDS image has"),
        (b"P3 60 40 255 " + b"1 " * 7200, Limits(slow_pixels=2399), "The PPM image has"),
        (encoded(noise(), "JPEG2000"), Limits(wide_pixels=2399), "The JPEG2000 image has"),
        (animation("PNG", 3), Limits(frames=2), "3 frames; at most 2"),
        (animation("WEBP", 3), Limits(frames=2), "3 frames; at most 2"),
        (tiled_tiff(65_520), Limits(), "tiles of 65520 x 65520 pixels"),
    ],
)
def test_what_breaks_a_limit_is_refused_by_name(data: bytes, limits: Limits, sentence: str) -> None:
    with pytest.raises(BadImageError, match=sentence):
        engine.signature(data, limits)


def test_what_just_keeps_the_limits_is_read() -> None:
    data = encoded(noise())
    assert engine.signature(data, Limits(pixels=2400, data=len(data))).any()


def test_formats_that_run_programs_are_not_even_tried() -> None:
    eps = encoded(noise(), "EPS")
    with pytest.raises(BadImageError, match="not an image in a format that is read here"):
        engine.signature(eps)


@pytest.mark.parametrize(
    ("image", "name"),
    [
        (noise().convert("CMYK"), "TIFF"),
        (noise().convert("CMYK"), "JPEG"),
        (noise().convert("P"), "PNG"),
        (noise().convert("LA"), "PNG"),
        (noise().convert("1"), "PNG"),
        (noise().convert("YCbCr"), "TIFF"),
        (noise().convert("LAB"), "TIFF"),
        (noise().convert("F"), "TIFF"),
        (noise().convert("I"), "TIFF"),
        (Image.fromarray(np.arange(2400, dtype=np.uint16).reshape(40, 60) * 27), "PNG"),
    ],
    ids=lambda value: getattr(value, "mode", value),
)
def test_every_mode_becomes_rgb_as_pillow_has_it(image: Image.Image, name: str) -> None:
    data = encoded(image, name)
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    assert np.array_equal(decode(data).rows(0, 40), expected)


@pytest.mark.parametrize("name", ["GIF", "PNG", "WEBP", "TIFF"])
def test_of_an_animation_the_first_frame_counts(name: str) -> None:
    frames = decode(animation(name, 3)), decode(encoded(noise(), name, lossless=True))
    assert np.array_equal(*(frame.rows(0, 40) for frame in frames))


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_flat_image_is_refused_as_such(level: int) -> None:
    with pytest.raises(FeaturelessImageError, match="flat"):
        engine.signature(encoded(Image.new("L", (50, 50), level)))


def test_a_damaged_file_is_refused_whatever_the_codec_raises() -> None:
    rng = np.random.default_rng(3)
    for name in ("PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP", "TGA", "JPEG2000", "PPM", "PCX"):
        good = encoded(noise(), name)
        for _ in range(25):
            damaged = bytearray(good)
            for place in rng.integers(0, len(good), 5):
                damaged[place] = rng.integers(0, 256)
            assert outcome(bytes(damaged)).endswith(".")


def test_threads_leave_the_warning_filters_as_they_were() -> None:
    palette = encoded(noise().convert("P"), transparency=bytes(range(200)))
    before = list(warnings.filters)
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(engine.signature, [palette] * 64))
    assert all(np.array_equal(results[0], other) for other in results)
    assert warnings.filters == before
