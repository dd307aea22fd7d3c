"""MATCH_ENGINE=fast: JPEG at a fraction of its size, when asked for."""

import io
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image

from match_service import engine
from match_service.errors import BadImageError, FeaturelessImageError


@pytest.fixture(autouse=True)
def back_to_native() -> Iterator[None]:
    yield
    engine.select("native")


def encoded(width: int, height: int, format: str) -> bytes:  # noqa: A002
    coarse = np.random.default_rng(7).integers(0, 256, (13, 17, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC).save(buffer, format)
    return buffer.getvalue()


def both(data: bytes) -> tuple[np.ndarray, np.ndarray]:
    engine.select("fast")
    fast = engine.signature(data)
    engine.select("native")
    return fast, engine.signature(data)


def test_signatures_of_large_jpegs_are_near_the_exact_ones() -> None:
    fast, exact = both(encoded(2000, 1500, "JPEG"))
    assert not np.array_equal(fast, exact)
    assert engine.distance(fast, exact) < 0.2


@pytest.mark.parametrize(("width", "height", "format_"), [(900, 700, "JPEG"), (2000, 1500, "PNG")])
def test_small_jpegs_and_other_formats_keep_their_exact_signatures(
    width: int, height: int, format_: str
) -> None:
    fast, exact = both(encoded(width, height, format_))
    assert np.array_equal(fast, exact)


def test_it_refuses_what_the_native_engine_refuses() -> None:
    engine.select("fast")
    data = encoded(2000, 1500, "JPEG")
    with pytest.raises(BadImageError):
        engine.signature(data[: len(data) // 2])
    buffer = io.BytesIO()
    Image.new("RGB", (2000, 1500)).save(buffer, "JPEG")
    with pytest.raises(FeaturelessImageError):
        engine.signature(buffer.getvalue())
