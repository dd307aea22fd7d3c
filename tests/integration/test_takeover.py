"""``match-service import --from-elasticsearch``: indices that image-match itself has written become ours."""

import io
import itertools
import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from elasticsearch import Elasticsearch
from elasticsearch.helpers import bulk

import elastic
from commands import Ran, match_service
from gateway import Gateway
from imagematch import ImageMatch
from labcluster.elasticsearch import shared_node
from match_service import engine, takeover
from match_service.engine.layout import HALF, from_half
from match_service.store.base import Store
from match_service.store.elastic import ElasticStore
from match_service.store.embedded import EmbeddedStore
from match_service.takeover import source
from pictures import encode, flat, jpeg, picture

pytestmark = pytest.mark.elastic


@pytest.fixture
def old() -> Iterator[ImageMatch]:
    with closing(ImageMatch(shared_node(), f"old-{uuid.uuid4().hex[:8]}")) as made:
        yield made


def take_over(folder: Path, index: str, *arguments: str, **settings: str) -> Ran:
    return match_service(
        folder, "import", "--from-elasticsearch", shared_node(), "--index", index, *arguments, **settings
    )


def kept(folder: Path) -> Store:
    return EmbeddedStore.open(folder / "match.db")


def changed(seed: int) -> bytes:
    """A poorer and smaller copy."""
    return encode(picture(seed).resize((200, 150)), quality=40)


def found(store: Store, image: bytes) -> dict[str, float]:
    return {m.filepath: m.distance for m in store.search(engine.signature(image)[None, :])}


@pytest.mark.parametrize("nested", [False, True], ids=["flat documents", "nested documents"])
@pytest.mark.parametrize("target", ["embedded", "elasticsearch"])
def test_every_image_is_found_at_the_distance_image_match_gives(
    target: str, nested: bool, tmp_path: Path
) -> None:
    url = shared_node()
    settings = elastic.settings(url) if target == "elasticsearch" else {}
    with closing(ImageMatch(url, f"old-{uuid.uuid4().hex[:8]}", nested=nested)) as old:
        for seed in range(30):
            old.add(f"photos/{seed}.jpg", jpeg(seed), {"seed": seed} if seed % 2 else None)
        old.refresh()
        ran = take_over(tmp_path, old.index, *(("--doc-type", "image") if nested else ()), **settings)
        assert ran.code == 0, ran
        assert ran.said.startswith("30 images taken over in "), ran
        assert "0 could not be taken over" in ran.said
        store = (
            ElasticStore.connect(url, settings["ELASTICSEARCH_INDEX"], manage_index=False)
            if settings
            else kept(tmp_path)
        )
        with closing(store):
            if settings:
                old.client.indices.refresh(index=settings["ELASTICSEARCH_INDEX"])
            assert store.count() == 30
            for seed in range(30):
                theirs = old.distances(changed(seed))
                assert f"photos/{seed}.jpg" in theirs
                assert found(store, changed(seed)) == pytest.approx(theirs, abs=1e-12)
            (match,) = store.search(engine.signature(jpeg(3))[None, :])
            assert match.metadata == {"seed": 3}
            (match,) = store.search(engine.signature(jpeg(4))[None, :])
            assert match.metadata is None


def test_of_several_documents_of_a_path_the_newest_stays_and_the_report_says_so(
    old: ImageMatch, tmp_path: Path
) -> None:
    old.put(
        old.document("a", jpeg(1), "2020-01-02T00:00:00.5"),
        old.document("a", jpeg(2), "2021-01-02T00:00:00"),
        old.document("a", jpeg(3), "2020-06-02T00:00:00"),
        old.document("b", jpeg(4), None),
        old.document("b", jpeg(5), "2019-01-01T00:00:00"),
    )
    ran = take_over(tmp_path, old.index, "--prefix", "x/")
    assert ran.code == 0
    assert ran.said.startswith("2 images taken over")
    assert "3 had a newer one of the same filepath" in ran.said
    with closing(kept(tmp_path)) as store:
        assert store.filepaths(0, 10) == ["x/a", "x/b"]
        assert found(store, jpeg(2)) == {"x/a": 0.0}
        assert found(store, jpeg(5)) == {"x/b": 0.0}


def test_what_cannot_be_taken_over_is_named_with_the_reason(old: ImageMatch, tmp_path: Path) -> None:
    when = "2020-01-01T00:00:00"
    good = old.document("good", jpeg(1), when, metadata={"sha256": "ab" * 32})
    signature = good["signature"]
    old.put(
        good,
        {**good, "path": "short", "signature": signature[:-1]},
        {**good, "path": "lopsided", "signature": [2, *signature[1:]]},
        {**good, "path": "words", "signature": None},
        {**good, "path": "a\nb"},
        {**good, "path": None},
        {**good, "path": "flat", "signature": [0] * 648},
    )
    ran = take_over(tmp_path, old.index)
    assert ran.code == 1
    for line in (
        "short: Its signature has not 648 values",
        "lopsided: Its signature is not one that an image can have.",
        "words: Its signature has not 648 values",
        "The filepath holds control characters",
        "It has no path.",
        "flat: Its image is flat",
        "1 images taken over",
        "6 could not be taken over.",
    ):
        assert line in ran.said, ran.said
    with closing(kept(tmp_path)) as store:
        assert store.filepaths(0, 10) == ["good"]


def many(old: ImageMatch, count: int, year: int = 2020) -> None:
    """Documents a minute apart, of made-up signatures."""
    rng = np.random.default_rng(year)
    halves = rng.integers(-2, 3, (count, len(HALF))).astype(np.int8)
    documents = (
        {
            "_index": old.index,
            "path": f"{year}/{number:05}",
            "signature": from_half(half).tolist(),
            "timestamp": f"{year}-01-{1 + number // 1440:02}T{number // 60 % 24:02}:{number % 60:02}:00",
        }
        for number, half in enumerate(halves)
    )
    bulk(old.client, documents, refresh=True)


class Stopping:
    """A store that is away after so many batches."""

    def __init__(self, store: Store, batches: int) -> None:
        self.store, self.left, self.records = store, batches, 0

    def add_many(self, records: list[Any]) -> dict[str, str]:
        if not self.left:
            raise OSError("The disk is full.")
        self.left -= 1
        self.records += len(records)
        return self.store.add_many(records)


Opened = Callable[[], takeover.Index]


@pytest.fixture
def portioned(old: ImageMatch, monkeypatch: pytest.MonkeyPatch) -> Opened:
    """The index in portions of 300 documents, read 100 at a time."""
    monkeypatch.setattr(source, "PAGE", 100)

    def opened() -> takeover.Index:
        index = takeover.Index.open(shared_node(), old.index)
        index.portion = 300
        return index

    return opened


def test_a_run_that_was_stopped_resumes_where_it_was(
    old: ImageMatch, portioned: Opened, tmp_path: Path
) -> None:
    many(old, 3000)
    path = tmp_path / "state"
    out = io.StringIO()
    with closing(kept(tmp_path)) as store, portioned() as index:
        first: Any = Stopping(store, 17)
        assert takeover.run(index, first, takeover.State(path, index.name, "s"), out=out) == 1
        assert "The disk is full. Run the same command again to resume." in out.getvalue()
        second: Any = Stopping(store, 100)
        assert takeover.run(index, second, takeover.State(path, index.name, "s"), out=out) == 0
        assert store.count() == 3000
        # At most one portion is read twice.
        assert 3000 - first.records <= second.records <= 3000 - first.records + 600
        other: Any = Stopping(store, 100)
        assert takeover.run(index, other, takeover.State(path, index.name, "other store"), out=out) == 0
        assert other.records == 3000


def test_a_second_run_brings_what_has_come_since(old: ImageMatch, portioned: Opened, tmp_path: Path) -> None:
    many(old, 1500)
    out = io.StringIO()
    with closing(kept(tmp_path)) as store, portioned() as index:
        state = takeover.State(tmp_path / "state", index.name, "s")
        assert takeover.run(index, store, state, out=out) == 0
        many(old, 200, year=2021)
        again: Any = Stopping(store, 100)
        assert takeover.run(index, again, state, out=out) == 0
        assert store.count() == 1700
        assert again.records <= 200 + 600
        assert json.loads((tmp_path / "state").read_text())


def test_an_index_without_dates_is_taken_over_as_well(
    old: ImageMatch, portioned: Opened, tmp_path: Path
) -> None:
    old.client.indices.create(
        index=old.index,
        mappings={"properties": {"timestamp": {"type": "text"}, "signature": {"type": "byte"}}},
    )
    many(old, 700)
    old.put(old.document("2020/00000", jpeg(1), "2025-01-01T00:00:00"))
    with closing(kept(tmp_path)) as store, portioned() as index:
        state = takeover.State(tmp_path / "state", index.name, "s")
        assert takeover.run(index, store, state, out=io.StringIO()) == 0
        assert store.count() == 700
        assert found(store, jpeg(1)) == {"2020/00000": 0.0}


def test_a_source_that_dies_stops_the_run_with_a_sentence(
    old: ImageMatch, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    many(old, 500)
    monkeypatch.setattr(source, "PAGE", 100)
    host, _, port = shared_node().removeprefix("http://").partition(":")
    gateway = Gateway((host, int(port)))
    gateway.open()
    out = io.StringIO()

    class Closing(Stopping):
        def add_many(self, records: list[Any]) -> dict[str, str]:
            refused = super().add_many(records)
            if self.records >= 200:
                gateway.close()
            return refused

    with (
        closing(kept(tmp_path)) as store,
        takeover.Index.open(f"http://127.0.0.1:{gateway.port}", old.index) as index,
    ):
        cut: Any = Closing(store, 100)
        assert takeover.run(index, cut, takeover.State(tmp_path / "s", index.name, "s"), out=out) == 1
    assert "Stopped: Elasticsearch does not answer" in out.getvalue()


def test_what_cannot_be_read_at_all_is_one_sentence(old: ImageMatch, tmp_path: Path) -> None:
    old.put({"title": "no image"})
    for arguments, sentence in (
        (("--from-elasticsearch", shared_node(), "--index", "none"), "Elasticsearch has no "),
        (("--from-elasticsearch", "http://u:secret@127.0.0.1:9"), "does not answer (ConnectError)"),
        (("--from-elasticsearch", shared_node(), "--index", old.index), "has a signature of image-match"),
    ):
        ran = match_service(tmp_path, "import", *arguments)
        assert (ran.code, ran.said.count("\n")) == (1, 1), ran
        assert sentence in ran.said
        assert "secret" not in ran.said
    for wrong in (("import",), ("import", "x", "--from-elasticsearch", "y")):
        assert match_service(tmp_path, *wrong).code == 2


def test_our_own_index_is_not_taken_for_one_of_image_match(tmp_path: Path) -> None:
    url = shared_node()
    alias = elastic.make_index(url)
    with closing(ElasticStore.connect(url, alias, manage_index=False)) as store:
        from match_service.model import Record  # noqa: PLC0415

        store.add(Record("a", engine.signature(jpeg(1)), "0" * 64))
    ran = take_over(tmp_path, alias)
    assert ran.code == 1
    assert "a: Its signature has not 648 values" in ran.said or "has no path" in ran.said


def test_numbers_of_portions_follow_the_index(old: ImageMatch, portioned: Opened) -> None:
    many(old, 3000)
    with portioned() as index:
        portions = index.portions()
        sizes = [sum(map(len, index.pages(portion))) for portion in portions]
    assert sum(sizes) == 3000
    assert max(sizes) <= 600
    dated = portions[1:]
    assert [a.high for a in dated[:-1]] == [b.low for b in dated[1:]]
    assert all(a.high is not None and a.high > (a.low or 0) for a, _ in itertools.pairwise(dated))


def test_flat_files_make_no_image_match_document_findable() -> None:
    """Why flat images are left out: image-match itself never finds one."""
    with closing(ImageMatch(shared_node(), f"old-{uuid.uuid4().hex[:8]}")) as old:
        old.add("flat", flat())
        old.refresh()
        with np.errstate(invalid="ignore"):
            assert old.distances(flat()) == {}


def test_reading_leaves_the_index_as_it_was(old: ImageMatch, tmp_path: Path) -> None:
    old.add("a", jpeg(1))
    old.refresh()
    with Elasticsearch(shared_node()) as client:

        def contexts() -> list[int]:
            nodes = client.nodes.stats(metric="indices", index_metric="search")["nodes"].values()
            return [node["indices"]["search"]["open_contexts"] for node in nodes]

        before, scrolls = client.indices.get(index=old.index).body, contexts()
        assert take_over(tmp_path, old.index).code == 0
        assert client.indices.get(index=old.index).body == before
        assert contexts() == scrolls
