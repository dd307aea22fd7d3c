"""The Match HTTP API as its README promises it, on the wire, over both stores."""

import base64
import contextlib
import hashlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from elasticsearch import Elasticsearch
from elasticsearch.helpers import bulk
from PIL import Image, ImageOps

import elastic
import match_index
from labcluster.elasticsearch import shared_node
from match_service import engine
from match_service.engine import scan
from match_service.model import Record
from match_service.store.embedded import EmbeddedStore
from pictures import encode, flat, jpeg, picture
from serving import Server, server
from website import website

STORES = ["embedded", pytest.param("elasticsearch", marks=pytest.mark.elastic)]


@pytest.fixture(scope="module", params=STORES)
def service(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    settings = {"WORKER_COUNT": "2", "MATCH_FETCH_PRIVATE_HOSTS": "localhost"}
    if request.param == "elasticsearch":
        settings |= elastic.settings(shared_node(), shards=2)
    with server(tmp_path_factory.mktemp("service"), **settings) as running:
        yield running


@pytest.fixture(autouse=True)
def _empty(service: Server) -> None:
    """Each test begins with nothing stored."""
    for filepath in service.list(limit=10_000):
        service.delete(filepath)


def _envelope(method: str, result: str = "[]") -> str:
    return f'{{"status": "ok", "error": [], "method": "{method}", "result": {result}}}'


class TestTheReadme:
    """Each answer byte for byte, as the original's README or (where they differ) its code has it."""

    def test_add(self, service: Server) -> None:
        assert service.add("a", jpeg(1)).body.decode() == _envelope("add")

    def test_delete(self, service: Server) -> None:
        service.add("a", jpeg(1))
        assert service.delete("a").body.decode() == _envelope("delete")

    def test_search(self, service: Server) -> None:
        service.add("http://images.example/a.jpg", jpeg(1))
        body = service.form("POST", "/search", files={"image": jpeg(1)}).body.decode()
        row = '[{"score": 100.0, "filepath": "http://images.example/a.jpg", "metadata": null}]'
        assert body == _envelope("search", row)

    def test_compare(self, service: Server) -> None:
        files = {"image1": jpeg(1), "image2": jpeg(1)}
        body = service.form("POST", "/compare", files=files).body.decode()
        assert body == _envelope("compare", '[{"score": 100.0}]')

    def test_count(self, service: Server) -> None:
        service.add("a", jpeg(1))
        assert service.send("GET", "/count").body.decode() == _envelope("count", "[1]")

    def test_list(self, service: Server) -> None:
        service.add("b", jpeg(1))
        service.add("a", jpeg(2))
        assert service.send("GET", "/list").body.decode() == _envelope("list", '["a", "b"]')

    def test_ping(self, service: Server) -> None:
        assert service.send("GET", "/ping").body.decode() == _envelope("ping")

    @pytest.mark.parametrize("method", ["count", "list", "ping"])
    def test_reading_by_post_works_too(self, service: Server, method: str) -> None:
        assert service.send("POST", f"/{method}").json["method"] == method


class TestAdd:
    def test_an_added_image_is_found_by_the_next_search(self, service: Server) -> None:
        for seed in range(5):
            service.add(f"image {seed}", jpeg(seed))
            assert [match["filepath"] for match in service.search(jpeg(seed))] == [f"image {seed}"]

    def test_an_overwrite_replaces_signature_and_metadata(self, service: Server) -> None:
        service.add("a", jpeg(1), metadata='{"n": 1}')
        service.add("a", jpeg(2))
        assert service.search(jpeg(1)) == []
        assert service.search(jpeg(2)) == [{"score": 100.0, "filepath": "a", "metadata": None}]
        assert service.count() == 1

    def test_adds_of_one_path_at_the_same_time_keep_one(self, service: Server) -> None:
        with ThreadPoolExecutor(8) as threads:
            answers = list(threads.map(lambda seed: service.add("a", jpeg(seed)), range(16)))
        assert {answer.status for answer in answers} == {200}
        assert (service.count(), service.list()) == (1, ["a"])
        assert sum(len(service.search(jpeg(seed))) for seed in range(16)) == 1

    @pytest.mark.parametrize(
        "text",
        [
            "{}",
            "[]",
            "0",
            "false",
            '"text"',
            '{"a": {"b": [1, 2.5, null, "\\u00e9"]}}',
            '{"": {".": 1, "a.b": 2}}',
        ],
    )
    def test_metadata_comes_back_as_it_was_given(self, service: Server, text: str) -> None:
        service.add("a", jpeg(1), metadata=text)
        body = service.form("POST", "/search", files={"image": jpeg(1)}).body.decode()
        assert f'"metadata": {text}}}' in body

    def test_metadata_of_different_shapes_live_side_by_side(self, service: Server) -> None:
        for number, text in enumerate(('{"x": 1}', '{"x": {"y": 1}}', '{"x": "2020-01-01"}', '"x"', "[1]")):
            assert service.add(str(number), jpeg(number), metadata=text).status == 200

    def test_an_image_may_be_named_by_url_wherever_it_may_be_uploaded(self, service: Server) -> None:
        with website(lambda name: jpeg(int(name))) as site:
            assert service.form("POST", "/add", {"filepath": "a", "url": f"{site}/1"}).status == 200
            assert service.form("POST", "/search", {"url": f"{site}/1"}).result[0]["score"] == 100.0
            mixed = service.form("POST", "/compare", {"url1": f"{site}/1"}, {"image2": jpeg(1)})
            assert mixed.result == [{"score": 100.0}]

    def test_a_flat_image_is_refused(self, service: Server) -> None:
        assert service.add("a", flat()).status == 400


class TestDelete:
    def test_only_the_exact_path_is_deleted(self, service: Server) -> None:
        for number, filepath in enumerate(("a", "a b", "x/a", "A", "a ", "ab")):
            service.add(filepath, jpeg(number))
        service.delete("a")
        assert service.list() == ["A", "a ", "a b", "ab", "x/a"]

    def test_more_than_ten_adds_of_a_path_leave_nothing_after_one_delete(self, service: Server) -> None:
        for seed in range(12):
            service.add("a", jpeg(seed))
        service.delete("a")
        assert service.count() == 0
        assert [service.search(jpeg(seed)) for seed in range(12)] == [[]] * 12

    def test_the_path_may_stand_in_the_query_string(self, service: Server) -> None:
        service.add("a&b=c d", jpeg(1))
        assert service.send("DELETE", "/delete?filepath=a%26b%3Dc+d").status == 200
        assert service.count() == 0

    def test_an_unknown_path_is_no_error(self, service: Server) -> None:
        assert service.delete("never added").result == []


class TestSearch:
    def test_the_best_match_comes_first(self, service: Server) -> None:
        service.add("same", jpeg(1))
        service.add("small and coarse", encode(picture(1).resize((120, 90)), quality=30))
        service.add("stranger", jpeg(2))
        matches = service.search(jpeg(1))
        assert [match["filepath"] for match in matches] == ["same", "small and coarse"]
        assert matches[0]["score"] == 100.0
        assert 55.0 < matches[1]["score"] < 100.0

    def test_turned_and_mirrored_images_are_found_unless_not_wanted(self, service: Server) -> None:
        service.add("a", jpeg(1))
        turned = picture(1).transpose(Image.Transpose.TRANSVERSE)
        assert [m["filepath"] for m in service.search(encode(turned, "PNG"))] == ["a"]
        for no in ("false", "False", "0", "no"):
            assert service.search(encode(turned, "PNG"), all_orientations=no) == []

    def test_a_thorough_search_finds_framed_copies_too(self, service: Server) -> None:
        service.add("a", jpeg(1))
        service.add("b", jpeg(2))
        framed = encode(ImageOps.expand(picture(1), (300, 40, 10, 20), (240, 240, 241)))
        assert service.search(framed) == []
        for yes in ("true", "1"):
            assert [m["filepath"] for m in service.search(framed, thorough=yes)] == ["a"]
        assert service.search(jpeg(1), thorough="true")[0]["score"] == 100.0

    def test_every_document_appears_once(self, service: Server) -> None:
        service.add("a", jpeg(1))
        service.add("b", jpeg(1))
        assert [match["filepath"] for match in service.search(jpeg(1))] == ["a", "b"]


class TestList:
    def test_paths_come_sorted_and_in_pages(self, service: Server) -> None:
        names = ["Z", "a", "a/b", "é", "猫", "🐈"]
        for number, name in enumerate(reversed(names)):
            service.add(name, jpeg(number))
        assert service.list() == sorted(names) == names
        assert [service.list(offset, 2) for offset in (0, 2, 4, 6)] == [names[:2], names[2:4], names[4:], []]
        assert service.form("POST", "/list", {"offset": "1", "limit": "1"}).result == ["a"]

    def test_paging_reaches_beyond_ten_thousand(self, tmp_path: Path, request: pytest.FixtureRequest) -> None:
        names = [f"image {number:05d}" for number in range(20_050)]
        with _filled(request.node.callspec.params["service"], tmp_path, names) as many:
            assert many.count() == len(names)
            for offset, limit in (
                (0, 3),
                (9_999, 3),
                (10_000, 20),
                (15_000, 10_000),
                (20_049, 5),
                (20_050, 5),
            ):
                assert many.list(offset, limit) == names[offset : offset + limit]


def test_searches_and_writes_at_the_same_time_all_succeed(service: Server) -> None:
    done = threading.Event()

    def search() -> int:
        rounds = 0
        while not done.is_set():
            service.search(jpeg(1))
            service.list()
            rounds += 1
        return rounds

    with ThreadPoolExecutor(2) as threads:
        searches = [threads.submit(search) for _ in range(2)]
        for number in range(20):
            assert service.add(str(number % 5), jpeg(number)).status == 200
            assert service.delete(str(number % 7)).status == 200
        done.set()
        assert all(each.result() > 0 for each in searches)


def _filled(store: str, folder: Path, names: list[str]) -> contextlib.AbstractContextManager[Server]:
    """A server over a store that holds ``names``, put there without decoding an image for each."""
    signature = engine.signature(jpeg(1))
    if store == "embedded":
        embedded = EmbeddedStore.open(folder / "match.db")
        embedded.add_many(Record(name, signature, hashlib.sha256(b"").hexdigest()) for name in names)
        embedded.close()
        return server(folder)
    settings = elastic.settings(shared_node())
    halves = base64.b64encode(scan.pack_halves(signature[None, :])).decode()
    with Elasticsearch(settings["ELASTICSEARCH_URL"], request_timeout=60) as client:
        bulk(
            client,
            (
                {
                    "_index": settings["ELASTICSEARCH_INDEX"],
                    "_id": match_index.document_id(name),
                    "filepath": name,
                    "signature": halves,
                }
                for name in names
            ),
            refresh="wait_for",
            chunk_size=5000,
        )
    return server(folder, **settings)
