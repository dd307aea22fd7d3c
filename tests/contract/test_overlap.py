"""/overlap on the wire, decoded in the server's own processes, and through both clients."""

import asyncio
import io
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image

from match_client import AsyncClient, BadRequestError, Client, Overlap, StrangeAnswerError
from pictures import encode, flat, jpeg, picture
from scripted import ok, script
from serving import Server, server

FIRST = picture(1)
TURNED = encode(FIRST.transpose(Image.Transpose.ROTATE_90), "PNG")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with server(tmp_path_factory.mktemp("service")) as running:
        yield running


def brightness(data: bytes) -> float:
    return float(np.asarray(Image.open(io.BytesIO(data))).mean())


def test_the_answer_is_a_picture_that_says_how_the_images_go_together(service: Server) -> None:
    images = {"image1": jpeg(1), "image2": TURNED}
    answer = service.form("POST", "/overlap", {"mode": "difference"}, images)
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "image/jpeg"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Match-Orientation"] == "rotated 90"
    assert float(answer.headers["Match-Score"]) > 90
    assert Image.open(io.BytesIO(answer.body)).size == FIRST.size
    assert brightness(answer.body) < 6
    service.add("turned", TURNED)
    (row,) = service.search(jpeg(1), details="true")
    assert row["orientation"] == answer.headers["Match-Orientation"]


@pytest.mark.parametrize(
    ("fields", "files", "sentence"),
    [
        ({}, {"image1": jpeg(1)}, "url2 or image2 is required."),
        ({"mode": "sum"}, {"image1": jpeg(1), "image2": jpeg(2)}, "mode must be blend or difference."),
        ({"all_orientations": "x"}, {"image1": jpeg(1), "image2": jpeg(2)}, "all_orientations must be true"),
        ({}, {"image1": jpeg(1), "image2": b"no image"}, "The data is not an image"),
        ({}, {"image1": jpeg(1), "image2": flat()}, "The image is flat"),
        ({"url1": "file:///etc/passwd"}, {"image2": jpeg(2)}, "The URL must begin with"),
    ],
)
def test_what_cannot_be_laid_over_is_refused_in_the_envelope(
    service: Server, fields: dict[str, str], files: dict[str, bytes], sentence: str
) -> None:
    answer = service.form("POST", "/overlap", fields, files)
    assert (answer.status, answer.json["method"]) == (400, "overlap")
    assert answer.error.startswith(sentence)


def test_large_images_make_a_small_picture(service: Server) -> None:
    large = encode(picture(3, 6000, 4000), quality=85)
    answer = service.form("POST", "/overlap", {}, {"image1": large, "image2": large})
    assert Image.open(io.BytesIO(answer.body)).size == (960, 640)
    assert len(answer.body) < 500_000


def test_both_clients_give_the_picture(service: Server) -> None:
    async def ask() -> Overlap:
        async with AsyncClient(service.url) as client:
            return await client.overlap(jpeg(1), TURNED, "difference", all_orientations=False)

    with Client(service.url) as client:
        found = client.overlap(jpeg(1), TURNED)
        with pytest.raises(BadRequestError, match="flat"):
            client.overlap(jpeg(1), flat())
    assert (found.orientation, found.score > 90) == ("rotated 90", True)
    assert Image.open(io.BytesIO(found.jpeg)).format == "JPEG"
    plain = asyncio.run(ask())
    assert (plain.orientation, brightness(plain.jpeg) > 30) == ("identity", True)


def test_an_answer_that_is_no_picture_is_a_strange_one() -> None:
    with script() as other, Client(other.url) as client:
        other.then(ok())
        with pytest.raises(StrangeAnswerError):
            client.overlap(b"1", b"2")
