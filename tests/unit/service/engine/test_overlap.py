"""Two images laid over each other: in the orientation that matched, or the picture is wrong."""

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from match_service import engine
from match_service.engine.overlap import SIDE, overlap
from match_service.errors import BadImageError, FeaturelessImageError
from pictures import encode, flat, jpeg, picture

FIRST = picture(1, 400, 300)
TURNS = {
    "identity": FIRST,
    "rotated 90": FIRST.transpose(Image.Transpose.ROTATE_90),
    "rotated 180": FIRST.transpose(Image.Transpose.ROTATE_180),
    "rotated 270": FIRST.transpose(Image.Transpose.ROTATE_270),
}
TURNS |= {
    name.replace("identity, ", "").replace("rotated", "mirrored, rotated")
    if "rotated" in name
    else "mirrored": turned
    for name, turned in (
        ("identity", FIRST.transpose(Image.Transpose.FLIP_LEFT_RIGHT)),
        *(
            (name, FIRST.transpose(Image.Transpose.FLIP_LEFT_RIGHT).transpose(way))
            for name, way in (
                ("rotated 90", Image.Transpose.ROTATE_90),
                ("rotated 180", Image.Transpose.ROTATE_180),
                ("rotated 270", Image.Transpose.ROTATE_270),
            )
        ),
    )
}
TURNS |= {
    f"{name}, inverted": Image.eval(turned, lambda value: 255 - value) for name, turned in TURNS.items()
}


def pixels(data: bytes) -> NDArray[np.float64]:
    return np.asarray(Image.open(io.BytesIO(data))).astype(float)


@pytest.mark.parametrize("name", engine.VIEW_NAMES)
def test_the_second_is_brought_into_the_orientation_of_the_first(name: str) -> None:
    """The difference of a copy is black, and of a copy that is turned wrongly it is not."""
    copy = TURNS[name].resize([side * 2 for side in TURNS[name].size])
    made = overlap(encode(FIRST, "PNG"), encode(copy, "PNG"), "difference", all_orientations=True)
    assert made.orientation == name
    assert made.score > 90
    assert pixels(made.jpeg).mean() < 6
    if name != "identity":
        unturned = overlap(encode(FIRST, "PNG"), encode(copy, "PNG"), "difference", all_orientations=False)
        assert unturned.orientation == "identity"
        assert pixels(unturned.jpeg).mean() > 30


def test_a_blend_is_half_of_each() -> None:
    other = picture(2, 400, 300)
    made = overlap(encode(FIRST, "PNG"), encode(other, "PNG"), "blend", all_orientations=False)
    half = (np.asarray(FIRST).astype(float) + np.asarray(other)) / 2
    assert np.abs(pixels(made.jpeg) - half).mean() < 6


def test_the_picture_has_the_shape_of_the_first_and_a_bounded_size() -> None:
    wide, tall = jpeg(1, 4000, 500), jpeg(2, 300, 2000)
    assert Image.open(io.BytesIO(overlap(wide, tall, "blend", all_orientations=True).jpeg)).size == (
        SIDE,
        120,
    )
    assert Image.open(io.BytesIO(overlap(tall, wide, "blend", all_orientations=True).jpeg)).size == (
        144,
        SIDE,
    )


def test_nothing_of_the_files_but_pixels_is_in_it() -> None:
    exif = Image.Exif()
    exif[0x010E] = "where I live"
    out = io.BytesIO()
    FIRST.save(out, "JPEG", exif=exif)
    made = overlap(out.getvalue(), jpeg(2), "blend", all_orientations=True)
    assert b"where I live" not in made.jpeg


def test_what_is_no_image_or_has_no_features_is_refused() -> None:
    with pytest.raises(FeaturelessImageError):
        overlap(jpeg(1), flat(), "blend", all_orientations=True)
    with pytest.raises(BadImageError):
        overlap(b"no image", jpeg(1), "blend", all_orientations=True)


@pytest.mark.parametrize("rows", [66, 67, 68, 83])
def test_noise_that_no_jpeg_makes_smaller_is_laid_over_as_well(rows: int) -> None:
    """Of these sizes the picture takes more than a byte for each of its pixels."""
    noise = np.random.default_rng(rows).integers(0, 2, (rows, SIDE, 3)).astype(np.uint8) * 255
    sent = encode(Image.fromarray(noise), "PNG")
    made = overlap(sent, sent, "blend", all_orientations=False)
    assert len(made.jpeg) > noise.size // 3
    assert pixels(made.jpeg).shape == noise.shape
