"""Damaged and hostile image files, made from sound ones of every format that is decoded.

Each is made from its number alone, so one that breaks something can be made again: ``mutants.make(number)``.
"""

import io
import random
import struct
import zlib
from collections.abc import Callable
from functools import cache

from PIL import Image

from match_service.engine.decode import FORMATS
from pictures import encode, picture

SIZES = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0xFFFFFFFF)
"""Widths, heights, lengths and counts at which decoders have gone wrong."""
NEAR = 64
"""Bytes from the start in which most formats have their header."""
Mutation = Callable[[bytearray, random.Random], bytes]


@cache
def sound() -> dict[str, list[bytes]]:
    """Whole files of each format, several where it has kinds that other code decodes."""
    image = picture(1, 48, 40)
    every = {name: [_saved(image, name)] for name in FORMATS if name in Image.SAVE}
    every["JPEG"] += [
        encode(image, progressive=True),
        encode(image.convert("CMYK")),
        encode(image.convert("L")),
        _frames("MPO"),
    ]
    every["PNG"] += [encode(image.convert(mode), "PNG") for mode in ("P", "1", "LA", "RGBA", "I;16")]
    every["PNG"] += [_frames("PNG")]
    every["GIF"] += [_frames("GIF")]
    every["WEBP"] += [_frames("WEBP"), encode(image, "WEBP", lossless=True), _with_exif()]
    every["TIFF"] += [
        _tiff(kind) for kind in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg", "group4")
    ]
    every["BMP"] += [encode(image.convert("P"), "BMP")]
    every["TGA"] += [_tga()]
    every["PPM"] += [encode(image.convert("L"), "PPM"), encode(image.convert("1"), "PPM"), _plain_ppm(image)]
    every["DDS"] += [_dds(kind) for kind in ("DXT1", "DXT3", "DXT5", "BC2", "BC5")]
    every["JPEG2000"] += [encode(image.convert("L"), "JPEG2000", tile_size=(16, 16))]
    every["PSD"] = [_psd(image)]
    every["SUN"] = [_sun(image)]
    every["XPM"] = [_xpm()]
    assert set(every) == set(FORMATS)
    return every


def _saved(image: Image.Image, name: str) -> bytes:
    if name == "ICNS":  # whose writer makes all sizes up to 1024
        part = encode(image.resize((32, 32)), "PNG")
        return b"icns" + struct.pack(">I", 16 + len(part)) + b"ic11" + struct.pack(">I", 8 + len(part)) + part
    return encode(image.convert("1") if name in {"MSP", "XBM"} else image, name)


def _frames(name: str) -> bytes:
    out = io.BytesIO()
    more = [picture(seed, 48, 40) for seed in (2, 3)]
    picture(1, 48, 40).save(out, name, save_all=True, append_images=more)
    return out.getvalue()


def _with_exif() -> bytes:
    out = io.BytesIO()
    exif = Image.Exif()
    exif[274] = 6
    picture(1, 48, 40).save(out, "WEBP", exif=exif)
    return out.getvalue()


def _tiff(compression: str) -> bytes:
    out = io.BytesIO()
    image = picture(1, 48, 40)
    (image.convert("1") if compression == "group4" else image).save(out, "TIFF", compression=compression)
    return out.getvalue()


def _tga() -> bytes:
    out = io.BytesIO()
    picture(1, 48, 40).save(out, "TGA", compression="tga_rle")
    return out.getvalue()


def _dds(kind: str) -> bytes:
    out = io.BytesIO()
    image = picture(1, 48, 40)
    (image if kind == "BC5" else image.convert("RGBA")).save(out, "DDS", pixel_format=kind)
    return out.getvalue()


def _plain_ppm(image: Image.Image) -> bytes:
    small = image.resize((12, 10))
    return b"P3\n12 10\n255\n" + " ".join(str(value) for value in small.tobytes()).encode() + b"\n"


def _psd(image: Image.Image) -> bytes:
    head = b"8BPS" + struct.pack(">H6xHIIHH", 1, 3, image.height, image.width, 8, 3)
    planes = b"".join(band.tobytes() for band in image.split())
    return head + struct.pack(">IIIH", 0, 0, 0, 0) + planes


def _sun(image: Image.Image) -> bytes:
    pixels = image.tobytes()
    return struct.pack(">8I", 0x59A66A95, image.width, image.height, 24, len(pixels), 3, 0, 0) + pixels


def _xpm() -> bytes:
    rows = ["".join("ab"[(x // 4 + y // 3) % 2] for x in range(24)) for y in range(20)]
    lines = ["24 20 2 1", "a c #102030", "b c #F0E0D0", *rows]
    return (
        b"/* XPM */\nstatic char *x[] = {\n" + ",\n".join(f'"{line}"' for line in lines).encode() + b"\n};\n"
    )


def _flip(data: bytearray, chance: random.Random) -> bytes:
    """Up to 16 bits, most of them near the start."""
    for _ in range(chance.choice((1, 2, 4, 16))):
        at = chance.randrange(min(len(data), chance.choice((NEAR, len(data)))))
        data[at] ^= 1 << chance.randrange(8)
    return bytes(data)


def _cut(data: bytearray, chance: random.Random) -> bytes:
    return bytes(data[: chance.randrange(len(data))])


def _splice(data: bytearray, chance: random.Random) -> bytes:
    """The start of one file and the rest of another."""
    other = chance.choice(chance.choice(list(sound().values())))
    at = chance.choice((8, 16, 32, NEAR, len(data) // 2))
    return bytes(data[:at]) + other[chance.choice((0, at)) :]


def _enlarge(data: bytearray, chance: random.Random) -> bytes:
    """A huge number where the header has one, in either order of bytes."""
    width = chance.choice((2, 4))
    at = chance.randrange(max(1, min(len(data), NEAR) - width))
    value = chance.choice(SIZES) & (256**width - 1)
    data[at : at + width] = value.to_bytes(width, chance.choice(("big", "little")))
    return bytes(_mended(data))


def _shuffle(data: bytearray, chance: random.Random) -> bytes:
    """Pieces in another order, doubled or left out: chunks where the format has some, else blocks."""
    head, parts = _parts(bytes(data))
    if not parts:
        return bytes(data)
    what = chance.randrange(3)
    at, to = chance.randrange(len(parts)), chance.randrange(len(parts))
    if what == 0:
        parts[at], parts[to] = parts[to], parts[at]
    elif what == 1:
        parts[to:to] = [parts[at]] * chance.choice((1, 3, 50))
    else:
        del parts[at]
    return head + b"".join(parts)


def _fill(data: bytearray, chance: random.Random) -> bytes:
    """A run of one byte, or of noise."""
    at = chance.randrange(len(data))
    length = min(chance.choice((1, 4, 64, 1024)), len(data) - at)
    data[at : at + length] = chance.choice((b"\0" * length, b"\xff" * length, chance.randbytes(length)))
    return bytes(data)


def _pad(data: bytearray, chance: random.Random) -> bytes:
    """Something behind the end, or in the middle."""
    at = chance.choice((len(data), chance.randrange(len(data))))
    data[at:at] = chance.choice((b"\0", b"\xff", b"\xff\xd8\xff")) * chance.choice((1, 1000, 20_000))
    return bytes(data)


MUTATIONS: dict[str, Mutation] = {
    "bits flipped": _flip,
    "cut off": _cut,
    "two files spliced": _splice,
    "huge numbers": _enlarge,
    "pieces reordered": _shuffle,
    "bytes overwritten": _fill,
    "bytes put in": _pad,
}


def _mended(data: bytearray) -> bytearray:
    """A PNG with its checksums right, so that it is not refused for them alone."""
    at = 8
    while data[:4] == b"\x89PNG" and at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        end = at + 8 + length
        if end + 4 > len(data):
            break
        data[end : end + 4] = zlib.crc32(data[at + 4 : end]).to_bytes(4, "big")
        at = end + 4
    return data


def _parts(data: bytes) -> tuple[bytes, list[bytes]]:
    if data[:4] == b"\x89PNG":
        return data[:8], _chunks(data, 8, ">I", 12)
    if data[:4] == b"RIFF":
        return data[:12], _chunks(data, 12, "<4xI", 8)
    if data[:2] == b"\xff\xd8":
        first, *rest = data[2:].split(b"\xff")
        return data[:2] + first, [b"\xff" + part for part in rest]
    step = max(1, len(data) // 16)
    return b"", [data[at : at + step] for at in range(0, len(data), step)]


def _chunks(data: bytes, at: int, head: str, around: int) -> list[bytes]:
    found = []
    while at + struct.calcsize(head) <= len(data):
        (length,) = struct.unpack_from(head, data, at)
        found.append(data[at : at + length + around])
        at += length + around
    return found


def make(number: int) -> tuple[str, str, bytes]:
    """Format, kind of damage and bytes of mutant ``number``."""
    chance = random.Random(number)
    name = FORMATS[number % len(FORMATS)]
    kinds = list(MUTATIONS)
    kind = kinds[number // len(FORMATS) % len(kinds)]
    data = bytearray(chance.choice(sound()[name]))
    return name, kind, MUTATIONS[kind](data, chance)
