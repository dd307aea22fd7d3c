"""JPEG is decoded by another library than the other formats; nobody must be able to tell."""

import io
import warnings

import numpy as np
import pytest
from PIL import Image

from match_service.engine.decode import Limits, decode
from match_service.errors import BadImageError


def photo(mode: str = "RGB", width: int = 97, height: int = 75, **options: object) -> bytes:
    y, x = np.mgrid[0:height, 0:width]
    noise = np.random.default_rng(5).integers(0, 60, (height, width, 3))
    pixels = noise + (np.stack([x, y, x + y], axis=-1) * 190 // (width + height))
    buffer = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).convert(mode).save(buffer, "JPEG", **options)
    return buffer.getvalue()


KINDS: dict[str, bytes] = {
    "4:2:0": photo(subsampling="4:2:0"),
    "4:2:2": photo(subsampling="4:2:2"),
    "4:4:4": photo(subsampling="4:4:4"),
    "RGB kept": photo(keep_rgb=True),
    "progressive": photo(progressive=True),
    "grey": photo("L"),
    "four inks": photo("CMYK"),
    "restart marks": photo(restart_marker_rows=1),
    "one pixel": photo(width=1, height=1),
}


def by_pillow(data: bytes) -> np.ndarray | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return np.asarray(Image.open(io.BytesIO(data), formats=["JPEG"]).convert("RGB"))
        except Exception:  # noqa: BLE001 - damaged files make Pillow raise anything
            return None


def by_us(data: bytes) -> np.ndarray | None:
    try:
        frame = decode(data)
    except BadImageError:
        return None
    return frame.rows(0, frame.height)


def same(data: bytes) -> bool:
    ours, theirs = by_us(data), by_pillow(data)
    if ours is None or theirs is None:
        return ours is theirs
    return np.array_equal(ours, theirs)


def damaged(data: bytes, rng: np.random.Generator) -> bytes:
    at = int(rng.integers(2, len(data) if rng.random() < 0.5 else 700))
    count = int(rng.integers(1, 20))
    match rng.integers(4):
        case 0:
            return data[:at]
        case 1:
            return data[:at] + rng.bytes(1) + data[at + 1 :]
        case 2:
            return data[:at] + data[at + count :]
        case _:
            return data[:at] + rng.bytes(count) + data[at:]


@pytest.mark.parametrize("kind", KINDS)
def test_pixels_are_pillow_s(kind: str) -> None:
    assert by_pillow(KINDS[kind]) is not None
    assert same(KINDS[kind])


@pytest.mark.parametrize("kind", [name for name in KINDS if name != "one pixel"])
def test_a_damaged_file_is_read_or_refused_as_pillow_does(kind: str) -> None:
    rng = np.random.default_rng(len(kind))
    assert all(same(damaged(KINDS[kind], rng)) for _ in range(150))


def test_a_second_header_does_not_get_past_the_limits() -> None:
    data = photo()
    start = data.index(b"\xff\xc0")
    length = 2 + int.from_bytes(data[start + 2 : start + 4], "big")
    header = data[start : start + length]
    big = header[:5] + (60_000).to_bytes(2, "big") * 2 + header[9:]
    with pytest.raises(BadImageError):
        decode(data[:start] + big + data[start:], Limits(pixels=1_000_000))
    with pytest.raises(BadImageError):
        decode(data[: start + length] + big + data[start + length :], Limits(pixels=1_000_000))


@pytest.mark.parametrize(("kind", "mode"), [("simplejpeg", "RGB"), ("Pillow", "CMYK")])
def test_a_shrunken_jpeg_keeps_at_least_the_side_asked_for(kind: str, mode: str) -> None:
    data = photo(mode, 1000, 700)
    frames = [decode(data, shrink_to=side) for side in (701, 350, 200, 80)]
    assert [(frame.width, frame.height) for frame in frames] == [
        (1000, 700),
        (500, 350),
        (500, 350),
        (250, 175),
    ]


def test_other_formats_are_not_shrunken() -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (800, 600)).save(buffer, "PNG")
    assert decode(buffer.getvalue(), shrink_to=10).width == 800
