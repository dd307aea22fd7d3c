"""MATCH_ENGINE=reference: image-match itself, if it is there."""

import io
import sys
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image

from match_service import engine
from match_service.engine.decode import Limits
from match_service.engine.reference import ReferenceMissingError
from match_service.errors import BadImageError, FeaturelessImageError


@pytest.fixture(autouse=True)
def back_to_native() -> Iterator[None]:
    yield
    engine.select("native")


def encoded(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


NOISE = encoded(np.random.default_rng(0).integers(0, 256, (80, 90), dtype=np.uint8))


def test_it_gives_the_same_signature() -> None:
    native = engine.signature(NOISE)
    engine.select("reference")
    reference = engine.signature(NOISE)
    assert reference.dtype == np.int8
    assert np.array_equal(reference, native)


def test_it_refuses_what_the_native_engine_refuses() -> None:
    engine.select("reference")
    with pytest.raises(BadImageError, match="pixels"):
        engine.signature(NOISE, Limits(pixels=100))
    with pytest.raises(BadImageError, match="not an image in a format that is read here"):
        engine.signature(b"no image")
    with pytest.raises(BadImageError, match="cannot be decoded by image-match"):
        engine.signature(NOISE[:1000])
    with pytest.raises(FeaturelessImageError):
        engine.signature(encoded(np.zeros((9, 9), np.uint8)))


def test_where_it_is_not_installed_one_sentence_says_how(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "image_match.goldberg", None)
    with pytest.raises(ReferenceMissingError, match="pip install"):
        engine.select("reference")


def test_an_unknown_engine_is_refused() -> None:
    with pytest.raises(ValueError, match="native, fast or reference"):
        engine.select("turbo")
