"""Guessed views: copies the plain signature does not reach, and what must stay unreached."""

from collections.abc import Iterator

import numpy as np
import pytest
import simplejpeg
from PIL import Image, ImageOps

from match_service import engine
from match_service.engine.variants import VARIANT_CUTOFF, signature_and_variants, variants
from match_service.errors import FeaturelessImageError
from pictures import encode, flat, picture


@pytest.fixture(autouse=True)
def back_to_native() -> Iterator[None]:
    yield
    engine.select("native")


def scene(seed: int) -> Image.Image:
    """A picture with finer shapes than the sampling grid."""
    noise = np.random.default_rng(seed).integers(0, 256, (18, 24, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((640, 480), Image.Resampling.BICUBIC)


def nearest(copy: Image.Image, original: Image.Image) -> float:
    views = variants(encode(copy, quality=85))
    stored = engine.signature(encode(original, quality=90))
    return float(min(engine.distance(view, stored) for view in views))


COPIES = {
    "crop 10 %": lambda image: image.crop((32, 24, 608, 456)),
    "crop 20 %": lambda image: image.crop((64, 48, 576, 432)),
    "crop 20 %, off the centre": lambda image: image.crop((40, 60, 552, 444)),
    "turned by 5 degrees": lambda image: image.rotate(5, Image.Resampling.BICUBIC),
    "white border": lambda image: ImageOps.expand(image, 48, "white"),
    "dark frame, wider on one side": lambda image: ImageOps.expand(image, (150, 60, 20, 40), (30, 30, 33)),
}


@pytest.mark.parametrize("name", COPIES)
def test_a_copy_is_near_under_one_of_the_guesses(name: str) -> None:
    assert nearest(COPIES[name](scene(1)), scene(1)) < VARIANT_CUTOFF


def test_another_picture_is_far_under_all_of_them() -> None:
    assert min(nearest(scene(seed), scene(1)) for seed in range(2, 12)) > VARIANT_CUTOFF


@pytest.mark.parametrize("name", COPIES)
def test_a_mirrored_copy_is_near_where_mirrored_ones_are_asked_for_and_only_there(name: str) -> None:
    copy, stored = encode(ImageOps.mirror(COPIES[name](scene(1))), quality=85), encode(scene(1), quality=90)
    own = engine.signature(stored)
    plain, both = variants(copy), variants(copy, mirrored=True)
    assert len(both) == 2 * len(plain)
    assert min(engine.distance(view, own) for view in both) < VARIANT_CUTOFF
    assert min(engine.distance(view, own) for view in plain) > VARIANT_CUTOFF


def test_every_view_is_a_signature_like_any_other() -> None:
    views = variants(encode(picture(1), quality=85))
    assert views.dtype == np.int8
    assert views.shape[1] == 648
    assert set(np.unique(views)) <= {-2, -1, 0, 1, 2}
    assert np.array_equal(engine.unpack(engine.pack(views[0])), views[0])


def test_a_flat_image_has_no_views() -> None:
    assert variants(flat()).shape == (0, 648)
    assert variants(flat(), mirrored=True).shape == (0, 648)


def test_tiny_and_narrow_images_are_sampled_without_complaint() -> None:
    for size in ((1, 1), (2, 300), (300, 2), (15, 15)):
        assert variants(encode(scene(1).resize(size), "PNG")).shape[1] == 648


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("name", ["native", "fast", "reference"])
@pytest.mark.parametrize("mirrored", [False, True])
def test_signature_and_views_together_are_those_made_one_by_one(kind: str, name: str, mirrored: bool) -> None:
    engine.select(name)
    data = encode(scene(1).resize((2000, 1500)), kind)
    own, views = signature_and_variants(data, mirrored=mirrored)
    assert np.array_equal(own, engine.signature(data))
    assert np.array_equal(views, variants(data, mirrored=mirrored))


def test_signature_and_views_together_take_one_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encode(scene(1), quality=85)
    decode, decoded = simplejpeg.decode_jpeg, []
    monkeypatch.setattr(
        simplejpeg, "decode_jpeg", lambda *given, **named: decoded.append(1) or decode(*given, **named)
    )
    signature_and_variants(data, mirrored=True)
    assert len(decoded) == 1


def test_a_flat_image_has_neither_signature_nor_views() -> None:
    with pytest.raises(FeaturelessImageError):
        signature_and_variants(flat())
