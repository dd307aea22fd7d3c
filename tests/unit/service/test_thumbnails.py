"""Small pictures of what was added: where they are kept, and that they go and come with their images."""

import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from match_service import thumbnails
from match_service.app import create_app
from match_service.engine.thumbnail import SIDE, note, thumbnail
from match_service.errors import BadImageError, StoreUnavailableError
from match_service.settings import Settings
from match_service.store.embedded import EmbeddedStore
from match_service.thumbnails import Folder, Objects, Thumbnails, ThumbnailsError
from pictures import encode, jpeg, picture

ODD = ["a", "../../etc/passwd", "/", "ü" * 4000, "a/b\\c:d*?", "https://example.com/x?y#z"]


@pytest.fixture(params=["folder", "objects"])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Thumbnails:
    return thumbnails.keep_in(
        str(tmp_path / "new/folder") if request.param == "folder" else f"memory://{tmp_path.name}/thumbnails"
    )


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def test_what_was_kept_is_given_until_it_is_replaced_or_deleted(kept: Thumbnails) -> None:
    for number, filepath in enumerate(ODD):
        assert kept.get(filepath) is None
        kept.put(filepath, b"%d" % number)
    assert [kept.get(filepath) for filepath in ODD] == [b"%d" % number for number in range(len(ODD))]
    kept.put("a", b"new")
    assert kept.get("a") == b"new"
    for _ in range(2):
        kept.delete("a")
        assert kept.get("a") is None
    assert kept.get("/") == b"2"


def test_whatever_the_filepath_nothing_is_written_outside_the_folder(tmp_path: Path) -> None:
    kept = Folder(tmp_path / "inside")
    for filepath in ODD:
        kept.put(filepath, b"x")
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == len(ODD)
    assert all(path.is_relative_to(tmp_path / "inside") for path in files)


def test_a_folder_that_is_gone_is_a_store_that_is_away(tmp_path: Path) -> None:
    kept = Folder(tmp_path / "folder")
    (tmp_path / "folder").rmdir()
    with pytest.raises(StoreUnavailableError, match="The folder of thumbnails cannot be used"):
        kept.put("a", b"x")


def test_objects_that_do_not_answer_are_a_store_that_is_away() -> None:
    class Away:
        def __getattr__(self, name: str) -> Any:
            raise ConnectionError

    kept = Objects(Away(), "bucket")
    for call in (lambda: kept.put("a", b""), lambda: kept.get("a"), lambda: kept.delete("a")):
        with pytest.raises(StoreUnavailableError, match="does not answer \\(ConnectionError\\)"):
            call()


@pytest.mark.parametrize(
    ("place", "sentence"),
    [
        ("nosuch://bucket", "MATCH_THUMBNAILS cannot be a nosuch:// address"),
        ("/dev/null/x", "no file can be made"),
    ],
)
def test_a_place_where_none_can_be_kept_is_told_before_serving(place: str, sentence: str) -> None:
    for act in (thumbnails.check, thumbnails.keep_in):
        with pytest.raises(ThumbnailsError, match=sentence):
            act(place)


@pytest.mark.parametrize(
    ("size", "expected"),
    [((4000, 3000), (480, 360)), ((300, 200), (300, 200)), ((5, 2000), (1, 480)), ((1001, 1000), (480, 480))],
)
def test_a_thumbnail_has_the_proportions_of_its_image(
    size: tuple[int, int], expected: tuple[int, int]
) -> None:
    small = opened(thumbnail(encode(picture(1, *size), "PNG"), "x"))
    assert small.format == "JPEG"
    assert np.abs(np.array(small.size) - expected).max() <= 1
    assert max(small.size) <= SIDE


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP"])
def test_a_thumbnail_looks_like_its_image(kind: str) -> None:
    image = picture(2, 1500, 1200)
    small = opened(thumbnail(encode(image, kind), "x")).convert("RGB")
    apart = np.asarray(small, dtype=float) - np.asarray(
        image.resize(small.size, Image.Resampling.BOX), dtype=float
    )
    assert np.abs(apart).mean() < (20 if kind == "GIF" else 4)


def test_nothing_a_file_says_about_its_maker_is_in_the_thumbnail() -> None:
    image = picture(1)
    exif = image.getexif()
    exif[0x010F] = "SecretCamera"
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", exif=exif, comment=b"secret comment", icc_profile=b"secretprofile")
    data = thumbnail(buffer.getvalue(), "note")
    assert b"ecret" not in data
    assert note(data) == "note"
    assert note(b"no image") == ""


def test_what_is_no_image_has_no_thumbnail() -> None:
    with pytest.raises(BadImageError):
        thumbnail(b"no image", "x")


class Site:
    """A service that keeps thumbnails in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "thumbnails"
        self.store = EmbeddedStore.open(folder / "match.db")
        self.client = create_app(Settings(thumbnails=str(self.folder)), self.store).test_client()

    def post(self, path: str, data: dict[str, Any]) -> Any:
        return self.client.post(path, data=data)

    def add(self, filepath: str, image: bytes, **fields: str) -> int:
        return int(
            self.post("/add", {"filepath": filepath, "image": (io.BytesIO(image), "x"), **fields}).status_code
        )

    def note(self, filepath: str) -> str | None:
        """The digest in the thumbnail that is given, None for a 404."""
        answer = self.client.get("/thumbnail", query_string={"filepath": filepath})
        if answer.status_code == 404:
            return None
        assert (answer.status_code, answer.mimetype) == (200, "image/jpeg")
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        return note(answer.data)

    def files(self) -> int:
        return sum(path.is_file() for path in self.folder.rglob("*"))


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.store.close()


def digest(image: bytes) -> str:
    return hashlib.sha256(image).hexdigest()


def test_a_thumbnail_comes_and_goes_with_its_image(site: Site) -> None:
    assert site.add("a", jpeg(1)) == 200
    assert site.note("a") == digest(jpeg(1))
    assert site.add("a", jpeg(2)) == 200
    assert site.note("a") == digest(jpeg(2))
    assert site.note("b") is None
    assert site.client.delete("/delete?filepath=a").status_code == 200
    assert (site.note("a"), site.files()) == (None, 0)


def test_an_image_that_is_refused_leaves_the_thumbnail_of_the_other(site: Site) -> None:
    site.add("a", jpeg(1))
    assert site.add("a", jpeg(2), if_new="true") == 409
    assert site.add("b", jpeg(1), unless_similar="90") == 409
    assert (site.note("a"), site.files()) == (digest(jpeg(1)), 1)


def test_batches_and_purges_have_their_thumbnails_too(site: Site) -> None:
    batch = {f"filepaths[{n}]": str(n) for n in range(3)} | {
        "metadata[0]": '{"old": true}',
        "metadata[1]": '{"old": true}',
    }
    images = {f"images[{n}]": (io.BytesIO(jpeg(n)), "x") for n in range(3)}
    assert site.post("/add", {**batch, **images}).json["status"] == "ok"
    assert [site.note(str(n)) for n in range(3)] == [digest(jpeg(n)) for n in range(3)]
    assert site.post("/purge", {"filter": json.dumps({"old": True}), "dry_run": "false"}).status_code == 200
    assert ([site.note(str(n)) for n in range(3)], site.files()) == ([None, None, digest(jpeg(2))], 1)


def test_a_thumbnail_of_another_image_is_never_shown(site: Site) -> None:
    site.add("a", jpeg(1))
    Folder(site.folder).put("a", thumbnail(jpeg(2), digest(jpeg(2))))
    assert site.note("a") is None


def test_an_image_is_added_although_its_thumbnail_cannot_be_kept(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    site.folder.rmdir()
    assert site.add("a", jpeg(1)) == 200
    assert "No thumbnail was kept" in caplog.text
    assert site.client.get("/count").json["result"] == [1]


def test_where_none_are_kept_the_answer_says_so(tmp_path: Path) -> None:
    store = EmbeddedStore.open(tmp_path / "match.db")
    answer = create_app(Settings(), store).test_client().get("/thumbnail?filepath=a")
    assert answer.status_code == 404
    assert answer.json["error"] == [
        "This service keeps no thumbnails; MATCH_THUMBNAILS says where it should."
    ]
    store.close()
