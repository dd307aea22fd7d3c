"""The engine against its oracle: image-match 1.1.2 itself, on files of every kind it can be given.

Differences would be named in KNOWN_DIFFERENCES with their reason. There is none among what both read;
formats that only image-match reads are listed in docs/engine.md.
"""

import contextlib
import io
import struct
import warnings
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import skimage
from image_match.goldberg import ImageSignature
from image_match.signature_database_base import make_record
from PIL import Image, ImageCms, ImageOps

from match_service import engine
from match_service.engine.decode import decode
from match_service.engine.window import exact_window, window
from match_service.errors import BadImageError

ORACLE = ImageSignature()
PHOTOS = Path(skimage.__file__).parent / "data"
KNOWN_DIFFERENCES: dict[str, str] = {}

Case = Callable[[], bytes]


def encoded(image: Image.Image, format: str, **options: object) -> bytes:  # noqa: A002
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def scene(width: int, height: int, seed: int = 0) -> Image.Image:
    """Waves and noise: something everywhere, and no two seeds alike."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    waves = [
        np.sin(x / rng.uniform(3, 40) + 6 * rng.random()) * np.cos(y / rng.uniform(3, 40)) for _ in "RGB"
    ]
    pixels = 127 + 110 * np.stack(waves, axis=-1) + rng.normal(0, 9, (height, width, 3))
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def grey(pixels: np.ndarray) -> bytes:
    return encoded(Image.fromarray(pixels.astype(np.uint8)), "PNG")


def in_mode(mode: str) -> Image.Image:
    image = scene(123, 97)
    match mode:
        case "I;16" | "I;16B":
            wide = np.asarray(image.convert("L")).astype("<u2" if mode == "I;16" else ">u2") * 257
            return Image.fromarray(wide.astype("<u2" if mode == "I;16" else ">u2"))
        case "LAB":
            profiles = [ImageCms.createProfile(name) for name in ("sRGB", "LAB")]
            lab = ImageCms.profileToProfile(image, profiles[0], profiles[1], outputMode="LAB")
            assert lab is not None
            return lab
        case "LA" | "PA" | "RGBA":
            image.putalpha(scene(123, 97, 3).convert("L"))
            return image.convert("P").convert("PA") if mode == "PA" else image.convert(mode)
        case _:
            return image.convert(mode)


MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "HSV", "I", "F", "I;16", "I;16B")
WRITERS = (
    "AVIF", "BMP", "DDS", "DIB", "GIF", "ICO", "JPEG", "JPEG2000", "MPO", "MSP", "PCX", "PNG",
    "PPM", "QOI", "SGI", "SPIDER", "TGA", "TIFF", "WEBP", "XBM",
)  # fmt: skip


def in_modes(name: str) -> Iterator[tuple[str, bytes]]:
    """A file of the format for each mode that it can hold."""
    for mode in MODES:
        with contextlib.suppress(OSError, ValueError, KeyError):
            yield mode, encoded(in_mode(mode), name)


def photos() -> Iterator[tuple[str, Case]]:
    for path in sorted(PHOTOS.iterdir()):
        if path.suffix in {".png", ".jpg", ".gif"} or path.name == "multipage.tif":
            yield f"photo {path.name}", path.read_bytes


REENCODINGS: dict[str, Callable[[Image.Image], bytes]] = {
    "jpeg 30": lambda p: encoded(p, "JPEG", quality=30),
    "jpeg 75": lambda p: encoded(p, "JPEG", quality=75),
    "jpeg progressive": lambda p: encoded(p, "JPEG", quality=85, progressive=True),
    "jpeg 4:4:4": lambda p: encoded(p, "JPEG", quality=95, subsampling=0),
    "jpeg grey": lambda p: encoded(p.convert("L"), "JPEG"),
    "jpeg cmyk": lambda p: encoded(p.convert("CMYK"), "JPEG"),
    "jpeg exif turned": lambda p: encoded(p, "JPEG", exif=turned_exif()),
    "png palette": lambda p: encoded(p.convert("P", palette=Image.Palette.ADAPTIVE, colors=64), "PNG"),
    "png 1 bit": lambda p: encoded(p.convert("1"), "PNG"),
    "webp": lambda p: encoded(p, "WEBP", quality=60, method=0),
    "webp lossless alpha": lambda p: encoded(p.convert("RGBA"), "WEBP", lossless=True, method=0),
    "gif": lambda p: encoded(p, "GIF"),
    "tiff lzw": lambda p: encoded(p, "TIFF", compression="tiff_lzw"),
    "half": lambda p: encoded(p.resize((p.width // 2, p.height // 2)), "PNG"),
    "inverted": lambda p: encoded(ImageOps.invert(p), "BMP"),
    "white border": lambda p: encoded(ImageOps.expand(p, 40, "white"), "PNG"),
    "jpeg white border": lambda p: encoded(ImageOps.expand(p, 48, "white"), "JPEG"),
    "posterised": lambda p: encoded(ImageOps.posterize(p, 1), "PNG"),
}


def turned_exif() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def reencoded() -> Iterator[tuple[str, Case]]:
    for name in (
        "chelsea.png",
        "coffee.png",
        "rocket.jpg",
        "page.png",
        "horse.png",
        "phantom.png",
        "coins.png",
    ):
        photo = Image.open(PHOTOS / name).convert("RGB")
        photo.thumbnail((320, 320))
        for kind, encode in REENCODINGS.items():
            yield f"{name} {kind}", partial(encode, photo)


def shapes() -> Iterator[tuple[str, Case]]:
    sizes = [(w, h) for w in (1, 2, 3, 5, 9, 10, 11, 17) for h in (1, 2, 3, 8, 9, 11, 20)]
    sizes += [(21, 41), (61, 81), (100, 101), (1, 700), (700, 1), (3, 900), (900, 3), (40, 1500), (2500, 30)]
    sizes += [(1830, 1810), (3100, 100)]  # boxes of over 8,192 pixels; rows that BLAS splits among threads
    for width, height in sizes:
        yield f"size {width}x{height}", lambda w=width, h=height: encoded(scene(w, h, w + h), "PNG")
        if width * height < 10_000:
            yield f"coarse {width}x{height}", lambda w=width, h=height: grey(coarse(w, h))


def coarse(width: int, height: int) -> np.ndarray:
    """Few grey levels, so that means, medians and tolerances tie."""
    return np.random.default_rng(width * 31 + height).integers(0, 3, (height, width)) * 2


def art() -> Iterator[tuple[str, Case]]:
    """Pictures on the edges of decisions: exact ties, flat lines, full contrast."""
    y, x = np.mgrid[0:120, 0:160]
    for level in (0, 1, 127, 255):
        yield f"flat {level}", lambda v=level: grey(np.full((60, 80), v))
    for size in (1, 2, 5, 8, 13, 20, 40):
        yield f"checks {size}", lambda s=size: grey(((x // s + y // s) % 2) * 255)
        yield f"stripes {size}", lambda s=size: grey(((x // s) % 2) * 255)
        yield f"bars {size}", lambda s=size: grey(((y // s) % 2) * 255)
    for step in (1, 2, 3, 5):
        yield f"ramp {step}", lambda s=step: grey(x // 10 * s)
        yield f"diagonal ramp {step}", lambda s=step: grey((x // 16 + y // 12) * s)
        yield f"squares of {step}", lambda s=step: grey((x // 20 % 2) * s + 100)
    for margin in (1, 5, 6, 7, 20, 50, 59):
        inside = (np.minimum(x, 159 - x) >= margin) & (np.minimum(y, 119 - y) >= margin)
        noise = np.random.default_rng(margin).integers(0, 256, x.shape)
        yield f"margin {margin}", lambda i=inside, n=noise: grey(np.where(i, n, 255))
        yield f"margin top {margin}", lambda m=margin, n=noise: grey(np.where(y >= m, n, 0))
        yield f"hole {margin}", lambda i=inside, n=noise: grey(np.where(i, 30, n))
    for place in ((0, 0), (60, 80), (119, 159), (6, 8), (113, 151)):
        yield f"dot {place}", lambda p=place: grey(255 * ((y == p[0]) & (x == p[1])))
    yield "half black, half white", lambda: grey((x >= 80) * 255)
    yield "one level of noise", lambda: grey(np.random.default_rng(1).integers(127, 129, x.shape))
    yield "two levels of noise", lambda: grey(np.random.default_rng(2).integers(126, 129, x.shape))
    colours = np.array([[255, 0, 0], [76, 76, 76], [0, 130, 0]], dtype=np.uint8)
    yield (
        "colours of equal brightness",
        lambda: encoded(Image.fromarray(colours[(x // 20 + y // 20) % 3]), "PNG"),
    )


def png(width: int, height: int, depth: int, colour: int, *, rows: bytes, extra: bytes = b"") -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 1 if extra == b"interlaced" else 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def interlaced() -> bytes:
    pixels = np.asarray(scene(61, 47))
    passes = (
        (0, 0, 8, 8),
        (0, 4, 8, 8),
        (4, 0, 8, 4),
        (0, 2, 4, 4),
        (2, 0, 4, 2),
        (0, 1, 2, 2),
        (1, 0, 2, 1),
    )
    rows = b"".join(
        b"\0" + row.tobytes() for top, left, down, right in passes for row in pixels[top::down, left::right]
    )
    return png(61, 47, 8, 2, rows=rows, extra=b"interlaced")


def sixteen_bit_rgb() -> bytes:
    wide = np.asarray(scene(61, 47)).astype(">u2") * 257 - 3
    return png(61, 47, 16, 2, rows=b"".join(b"\0" + row.astype(">u2").tobytes() for row in wide))


def oddities() -> Iterator[tuple[str, Case]]:
    frames = [scene(90, 70, seed) for seed in range(3)]
    for name in ("GIF", "WEBP", "PNG", "TIFF", "AVIF"):
        yield f"animated {name}", partial(encoded, frames[0], name, save_all=True, append_images=frames[1:])
    palette = frames[0].convert("P", palette=Image.Palette.ADAPTIVE, colors=32)
    yield (
        "png palette with transparent bytes",
        partial(encoded, palette, "PNG", transparency=bytes(range(32))),
    )
    yield "png palette with a transparent index", partial(encoded, palette, "PNG", transparency=5)
    yield "gif with a transparent index", partial(encoded, palette, "GIF", transparency=5)
    yield "png rgb with a transparent colour", partial(encoded, frames[0], "PNG", transparency=(1, 2, 3))
    yield "png grey with a transparent level", partial(encoded, frames[0].convert("L"), "PNG", transparency=9)
    yield "png interlaced", interlaced
    yield "png 16 bit rgb", sixteen_bit_rgb
    yield "tiff turned", partial(encoded, frames[0], "TIFF", tiffinfo={0x0112: 6})
    for compression in ("packbits", "tiff_adobe_deflate", "jpeg"):
        yield f"tiff {compression}", partial(encoded, frames[0], "TIFF", compression=compression)
    yield "tiff fax", partial(encoded, frames[0].convert("1"), "TIFF", compression="group4")
    yield "jpeg without its end mark", lambda: encoded(frames[0], "JPEG")[:-2]
    yield "jpeg with bytes behind it", lambda: encoded(frames[0], "JPEG") + b"x" * 1000


CASES = dict(case for group in (photos, reencoded, shapes, art, oddities) for case in group())


WINDOWED = (
    "astronaut.png", "brick.png", "camera.png", "chelsea.png", "coffee.png", "coins.png",
    "hubble_deep_field.jpg", "ihc.png", "moon.png", "page.png", "retina.jpg", "rocket.jpg",
)  # fmt: skip
WINDOWS_PER_PHOTO = 60
SAVING: tuple[dict[str, object], ...] = (
    {"quality": 85},
    {"quality": 40, "subsampling": "4:2:0"},
    {"quality": 90, "subsampling": "4:2:2"},
    {"quality": 95, "subsampling": "4:4:4"},
    {"quality": 75, "progressive": True},
    {"quality": 60, "restart_marker_rows": 1},
    {"quality": 70, "optimize": True, "icc_profile": b"profile" * 40},
)


def windows(name: str) -> Iterator[bytes]:
    """Pieces of a photo, anywhere, of any shape, as JPEGs of all kinds; every tenth grey."""
    photo = Image.open(PHOTOS / name).convert("RGB")
    rng = np.random.default_rng(sum(name.encode()))
    for number in range(WINDOWS_PER_PHOTO):
        width, height = (int(rng.integers(12, min(230, side))) for side in photo.size)
        x, y = int(rng.integers(0, photo.width - width)), int(rng.integers(0, photo.height - height))
        piece = photo.crop((x, y, x + width, y + height))
        yield encoded(piece.convert("L") if number % 10 == 9 else piece, "JPEG", **SAVING[number % 7])


def check(data: bytes) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        record = make_record("any", ORACLE, 16, 63, img=data, bytestream=True)
    found = engine.raw_signature(data)  # its own warnings would be errors here
    assert found.dtype == np.int8
    assert found.tolist() == record["signature"]
    assert engine.word_integers(found).tolist() == [record[f"simple_word_{i}"] for i in range(63)]


def test_there_are_enough_inputs() -> None:
    assert len(CASES) + len(WINDOWED) * WINDOWS_PER_PHOTO >= 1000
    assert not KNOWN_DIFFERENCES


@pytest.mark.parametrize("name", CASES)
def test_signature_and_words_are_image_match_s(name: str) -> None:
    check(CASES[name]())


@pytest.mark.parametrize("name", WINDOWED)
def test_they_are_for_pieces_of_photos_in_every_kind_of_jpeg(name: str) -> None:
    for data in windows(name):
        check(data)


@pytest.mark.parametrize("name", WRITERS)
def test_they_are_in_every_mode_a_format_holds(name: str) -> None:
    modes = [mode for mode, data in in_modes(name) if check(data) is None]
    assert modes


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in CASES
        if name.startswith(("margin", "hole", "size 1x", "size 10x", "size 17x", "dot", "page"))
    ],
)
def test_both_arithmetics_agree_on_the_window(name: str) -> None:
    frame = decode(CASES[name]())
    assert window(frame) == exact_window(frame)


BROKEN: dict[str, Case] = {
    "nothing": lambda: b"",
    "text": lambda: b"hello, this is no image",
    "svg": lambda: b'<svg xmlns="http://www.w3.org/2000/svg"/>',
    "half a jpeg": lambda: halved("JPEG"),
    "half a png": lambda: halved("PNG"),
    "half a webp": lambda: halved("WEBP"),
    "half a bmp": lambda: halved("BMP"),
    "half a tiff": lambda: halved("TIFF"),
    "half a gif": lambda: halved("GIF"),
    "a header alone": lambda: encoded(scene(64, 64), "PNG")[:33],
    "a tiff of 64-bit floats": (PHOTOS / "multipage_rgb.tif").read_bytes,
    "random bytes": lambda: np.random.default_rng(0).bytes(5000),
}


def halved(name: str) -> bytes:
    data = encoded(scene(200, 150), name)
    return data[: len(data) // 2]


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_not_a_whole_image_is_refused_in_a_sentence(name: str) -> None:
    with pytest.raises(BadImageError) as refusal:
        engine.signature(BROKEN[name]())
    assert str(refusal.value).endswith(".")
    assert "<" not in str(refusal.value)
    assert len(str(refusal.value)) > 20
