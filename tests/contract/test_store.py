"""What every store does, whatever keeps its images: one suite, run on each."""

import io
import itertools
import json
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import elastic
from labcluster import elasticsearch
from match_service import engine
from match_service.model import Json, Record, Signature
from match_service.store.base import DISTANCE_CUTOFF, Store
from match_service.store.elastic import ElasticStore
from match_service.store.embedded import EmbeddedStore
from match_service.store.mirror import MirrorMemory
from match_service.store.pictured import PicturedStore
from match_service.thumbnails import Folder

_aliases = (f"store-test-{number}" for number in itertools.count())


def open_embedded(folder: Path) -> Store:
    return EmbeddedStore.open(folder / "match.db")


def open_elastic(_: Path) -> Store:
    url, alias = elasticsearch.shared_node(), next(_aliases)
    store = ElasticStore.connect(url, alias, manage_index=True)
    store.check()
    quick = json.dumps({"index": {"refresh_interval": "20ms"}}).encode()
    request = urllib.request.Request(
        f"{url}/{alias}/_settings", quick, {"Content-Type": "application/json"}, method="PUT"
    )
    with urllib.request.urlopen(request, timeout=30):
        return store


def open_mirrored(_: Path) -> Store:
    url = elasticsearch.shared_node()
    store = ElasticStore.connect(url, elastic.make_index(url), memory=MirrorMemory(2**24))
    assert store.follower is not None
    store.follower.follow()
    assert store.follower.memory.view() is not None
    return store


def open_pictured(folder: Path) -> Store:
    return PicturedStore(open_embedded(folder), Folder(folder / "thumbnails"))


@pytest.fixture(
    params=[
        pytest.param(open_embedded, id="embedded"),
        pytest.param(open_pictured, id="with thumbnails"),
        pytest.param(open_elastic, id="elastic by words", marks=pytest.mark.elastic),
        pytest.param(open_mirrored, id="elastic", marks=pytest.mark.elastic),
    ]
)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    opener: Callable[[Path], Store] = request.param
    opened = opener(tmp_path)
    yield opened
    opened.close()


def pixels(seed: int) -> np.ndarray:
    """A picture of 12 x 12 soft patches, unlike that of any other seed."""
    patches = np.random.default_rng(seed).integers(0, 256, (12, 12), dtype=np.uint8)
    return np.asarray(Image.fromarray(patches).resize((240, 240), Image.Resampling.BICUBIC))


def signature_of(grey: np.ndarray) -> Signature:
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(grey)).save(buffer, "PNG")
    return engine.signature(buffer.getvalue())


@cache
def picture(seed: int) -> Signature:
    return signature_of(pixels(seed))


def degraded(seed: int, strength: float) -> Signature:
    noise = np.random.default_rng(seed).normal(0, strength, (24, 24))
    wide = np.repeat(np.repeat(noise, 10, axis=0), 10, axis=1)
    return signature_of(np.clip(pixels(seed) + wide, 0, 255).astype(np.uint8))


def record(filepath: str, seed: int, metadata: Json = None) -> Record:
    return Record(filepath, picture(seed), f"{seed:064x}", metadata)


def alone(signature: Signature) -> np.ndarray:
    return engine.views(signature, all_orientations=False)


def test_an_empty_store_answers(store: Store) -> None:
    assert store.search(alone(picture(1))) == []
    assert store.count() == 0
    assert store.filepaths(0, 10) == []
    assert store.delete("nothing") is False
    store.check()


def test_an_added_image_is_found_by_the_next_search(store: Store) -> None:
    store.add(record("photos/1.jpg", 1, {"author": "Ada", "tags": ["x", "y"]}))
    store.add(record("photos/2.jpg", 2))
    (match,) = store.search(alone(picture(1)))
    assert (match.filepath, match.distance, match.score, match.view) == ("photos/1.jpg", 0.0, 100.0, 0)
    assert match.metadata == {"author": "Ada", "tags": ["x", "y"]}
    assert store.count() == 2


def test_an_overwrite_replaces_the_old_signature_and_metadata(store: Store) -> None:
    store.add(record("a", 1, {"version": 1}))
    store.add(record("a", 2))
    assert store.search(alone(picture(1))) == []
    assert [(m.filepath, m.metadata) for m in store.search(alone(picture(2)))] == [("a", None)]
    assert store.count() == 1
    assert store.filepaths(0, 10) == ["a"]


def test_many_images_at_once_are_found_and_replace_what_was_there(store: Store) -> None:
    store.add(record("b", 9))
    store.add_many([record(name, seed) for seed, name in enumerate("abc", start=1)])
    # A bulk write does not wait for Elasticsearch's next refresh; the write after it does.
    store.add(record("d", 4))
    assert store.filepaths(0, 10) == ["a", "b", "c", "d"]
    assert [m.filepath for m in store.search(alone(picture(2)))] == ["b"]
    assert store.search(alone(picture(9))) == []
    store.add_many([])


def test_a_delete_takes_exactly_the_filepath_given(store: Store) -> None:
    near_names = ["a", "A", "a b", "x/a", "a/x", "a*", '"a"', "path:a"]
    for name in near_names:
        store.add(record(name, 1))
    assert store.delete("a") is True
    assert store.delete("a") is False
    assert store.count() == len(near_names) - 1
    assert {m.filepath for m in store.search(alone(picture(1)))} == set(near_names) - {"a"}


def test_a_deleted_image_can_be_added_again(store: Store) -> None:
    store.add(record("a", 1))
    store.delete("a")
    assert store.search(alone(picture(1))) == []
    store.add(record("a", 1))
    assert [m.filepath for m in store.search(alone(picture(1)))] == ["a"]


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        True,
        0,
        -1.5,
        2**53,
        "",
        "text",
        "ünïcode ☃ \U0001f600",
        [],
        {},
        [1, "two", [3]],
        {"a": {"b": [None]}},
    ],
    ids=repr,
)
def test_metadata_comes_back_as_it_was(store: Store, metadata: Json) -> None:
    store.add(record("a", 1, metadata))
    (match,) = store.search(alone(picture(1)))
    assert match.metadata == metadata
    assert type(match.metadata) is type(metadata)


def test_metadata_of_one_name_may_differ_in_type(store: Store) -> None:
    store.add(record("a", 1, {"key": 1, "deep": {"er": "x"}}))
    store.add(record("b", 1, {"key": "text", "deep": ["list"]}))
    assert [m.metadata for m in store.search(alone(picture(1)))] == [
        {"key": 1, "deep": {"er": "x"}},
        {"key": "text", "deep": ["list"]},
    ]


ODD_FILEPATHS = [
    " ", ".", "../../etc/passwd", "C:\\images\\1.png", "a\nb", "tab\there", "nul\0inside", "%2F",
    "?q=1#x", "na\u00efve.jpg", "nai\u0308ve.jpg", "日本語/写真.png", "\U0001f600",
    "\uffff", "x" * 8192, "'; DROP TABLE image; --",
]  # fmt: skip


def test_odd_filepaths_are_kept_apart_and_exact(store: Store) -> None:
    for filepath in ODD_FILEPATHS:
        store.add(record(filepath, 1))
    assert store.filepaths(0, 100) == sorted(ODD_FILEPATHS)
    assert [m.filepath for m in store.search(alone(picture(1)))] == sorted(ODD_FILEPATHS)
    for filepath in ODD_FILEPATHS:
        assert store.delete(filepath) is True
    assert store.count() == 0


def test_matches_come_nearest_first_and_equal_ones_by_filepath(store: Store) -> None:
    near = degraded(1, 4.0)
    store.add(Record("0-near", near, "0" * 64))
    store.add(record("c", 1))
    store.add(record("b", 1))
    store.add(record("stranger", 9))
    matches = store.search(alone(picture(1)))
    assert [m.filepath for m in matches] == ["b", "c", "0-near"]
    assert matches[2].distance == pytest.approx(engine.distance(near, picture(1)), abs=1e-12)
    assert 0.0 < matches[2].distance < DISTANCE_CUTOFF


def test_a_limit_gives_the_first_of_all_matches(store: Store) -> None:
    for name, strength in (("d", 6.0), ("c", 2.0), ("b", 0.0), ("a", 0.0), ("e", 4.0)):
        store.add(Record(name, degraded(1, strength), "0" * 64))
    everything = store.search(alone(picture(1)))
    assert [m.filepath for m in everything] == ["a", "b", "c", "e", "d"]
    for limit in range(7):
        assert store.search(alone(picture(1)), limit=limit) == everything[:limit]


def test_a_limit_is_reached_although_nearer_images_have_since_been_replaced(store: Store) -> None:
    for number in range(12):
        store.add(Record(f"{number:02}", degraded(1, number / 4), "0" * 64))
    for number in range(8):
        store.add(record(f"{number:02}", 2))
    assert [m.filepath for m in store.search(alone(picture(1)), limit=3)] == ["08", "09", "10"]


def test_the_cutoff_itself_is_not_near_enough(store: Store) -> None:
    near = degraded(1, 4.0)
    store.add(Record("near", near, "0" * 64))
    (match,) = store.search(alone(picture(1)))
    assert store.search(alone(picture(1)), cutoff=match.distance) == []
    assert store.search(alone(picture(1)), cutoff=np.nextafter(match.distance, 1.0)) == [match]


@pytest.mark.parametrize("view", range(16), ids=engine.VIEW_NAMES)
def test_a_turned_image_is_found_once_and_by_its_view(store: Store, view: int) -> None:
    turned = engine.views(picture(1), all_orientations=True)[view]
    store.add(Record("turned", turned, "0" * 64))
    matches = store.search(engine.views(picture(1), all_orientations=True))
    assert [(m.filepath, m.distance, m.view) for m in matches] == [("turned", 0.0, view)]
    assert len(store.search(alone(picture(1)))) == (1 if view == 0 else 0)


def test_an_image_near_in_several_views_counts_by_its_best(store: Store) -> None:
    half = pixels(1)
    symmetric = signature_of(np.where(np.arange(240) < 120, half, half[:, ::-1]))
    store.add(Record("symmetric", symmetric, "0" * 64))
    matches = store.search(engine.views(symmetric, all_orientations=True))
    assert [(m.filepath, m.distance, m.view) for m in matches] == [("symmetric", 0.0, 0)]


def test_pages_of_filepaths_are_in_code_point_order(store: Store) -> None:
    names = ["B", "a", "b", "Ä", "z", "ﬁ", "\U0001f600", "10", "9"]
    for name in names:
        store.add(record(name, 1))
    everything = sorted(names)
    assert store.filepaths(0, 100) == everything
    assert store.filepaths(2, 3) == everything[2:5]
    assert store.filepaths(8, 5) == everything[8:]
    assert store.filepaths(9, 5) == []
    assert store.filepaths(10**12, 5) == []
    assert store.filepaths(0, 0) == []


def test_writers_of_one_filepath_leave_exactly_one_image(store: Store) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda seed: store.add(record("same", seed % 3)), range(24)))
    assert store.count() == 1
    assert sum(len(store.search(alone(picture(seed)))) for seed in range(3)) == 1


def test_a_search_never_misses_an_image_that_is_being_overwritten(store: Store) -> None:
    for number in range(3):
        store.add(record(f"bystander {number}", 7))
    store.add(record("busy", 1, 0))
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(lambda: [store.add(record("busy", 1, n)) for n in range(40)])
        searches = 0
        while not writing.done() or not searches:
            assert [m.filepath for m in store.search(alone(picture(1)))] == ["busy"]
            searches += 1
        writing.result()
    assert [m.metadata for m in store.search(alone(picture(1)))] == [39]


def test_an_image_is_added_only_where_nothing_is(store: Store) -> None:
    assert store.add_new(record("a", 1, {"first": True})) is not None
    assert store.add_new(record("a", 2)) is None
    assert [(m.filepath, m.metadata) for m in store.search(alone(picture(1)))] == [("a", {"first": True})]
    store.delete("a")
    assert store.add_new(record("a", 2)) is not None
    assert store.count() == 1


def test_of_many_that_add_one_new_image_exactly_one_does(store: Store) -> None:
    with ThreadPoolExecutor(4) as pool:
        added = list(pool.map(lambda seed: store.add_new(record("same", seed % 3)), range(8)))
    assert sum(each is not None for each in added) == 1


def test_what_was_added_can_be_withdrawn_until_something_else_is_there(store: Store) -> None:
    first = store.add_new(record("a", 1))
    assert first is not None
    assert store.withdraw("a", first) is True
    assert (store.count(), store.withdraw("a", first)) == (0, False)
    second = store.add_new(record("a", 1))
    assert second is not None
    store.add(record("a", 1, {"another": True}))
    assert [store.withdraw("a", change) for change in (first, second)] == [False, False]
    assert [m.metadata for m in store.search(alone(picture(1)))] == [{"another": True}]


def test_many_images_can_be_seen_at_once_where_that_is_asked_for(store: Store) -> None:
    store.add_many([record(name, seed) for seed, name in enumerate("abc", start=1)], visible=True)
    assert store.filepaths(0, 10) == ["a", "b", "c"]
    assert [m.filepath for m in store.search(alone(picture(2)))] == ["b"]


def test_what_is_kept_of_an_image_can_be_had(store: Store) -> None:
    before = time.time()
    store.add(record("a", 1, {"tags": ["x"]}))
    store.add(record("b", 2))
    stored = store.get("a")
    assert stored is not None
    assert (stored.record.filepath, stored.record.sha256) == ("a", f"{1:064x}")
    assert stored.record.metadata == {"tags": ["x"]}
    assert np.array_equal(stored.record.signature, picture(1))
    assert before - 1 <= stored.added <= time.time() + 1
    assert (store.get("A"), store.get("nothing")) == (None, None)


def test_pages_reach_every_image_once_in_code_point_order(store: Store) -> None:
    names = sorted(["B", "a", "b", "Ä", "z", "ﬁ", "\U0001f600", "10", "9"])
    for number, name in enumerate(reversed(names)):
        store.add(record(name, 1, number))
    found: list[str] = []
    after = None
    while page := store.page(after, 2):
        found += [stored.record.filepath for stored in page]
        after = found[-1]
    assert found == names
    (first,) = store.page(None, 1)
    assert np.array_equal(first.record.signature, picture(1))
    assert first.record.metadata == len(names) - 1


def test_several_images_are_deleted_at_once_and_counted(store: Store) -> None:
    for name in ("a", "b", "c"):
        store.add(record(name, 1))
    assert store.delete_many(["a", "c", "never"]) == 2
    assert store.filepaths(0, 10) == ["b"]
    assert [m.filepath for m in store.search(alone(picture(1)))] == ["b"]
    assert store.delete_many([]) == 0
