"""Duplicates of a whole collection, on each store: what is found, who sees it, and how it is stopped."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from elasticsearch import Elasticsearch
from PIL import Image, ImageOps

import elastic
import match_index
from labcluster import elasticsearch
from match_service import engine
from match_service.app import create_app
from match_service.duplicates import Duplicates
from match_service.errors import StoreUnavailableError
from match_service.model import Record
from match_service.settings import Settings
from match_service.store.base import Store
from match_service.store.elastic import ElasticStore
from match_service.store.embedded import EmbeddedStore
from match_service.store.mirror import MirrorMemory
from match_service.store.review import SILENT_SECONDS, Job
from pictures import encode, picture

SECONDS = 60
Opener = Callable[[], Store]


@pytest.fixture(params=["embedded", pytest.param("elastic", marks=pytest.mark.elastic)])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opener]:
    """Opens the same collection again and again, as replicas do."""
    stores: list[Store] = []
    if request.param == "elastic":
        url = elasticsearch.shared_node()
        alias = elastic.make_index(url)

    def opener() -> Store:
        if request.param == "embedded":
            stores.append(EmbeddedStore.open(tmp_path / "match.db"))
        else:
            stores.append(ElasticStore.connect(url, alias, manage_index=False, memory=MirrorMemory(2**25)))
        return stores[-1]

    yield opener
    for store in stores:
        store.close()


def add(store: Store, filepath: str, image: Image.Image, metadata: str | None = None) -> None:
    data = encode(image, "PNG")
    store.add(Record(filepath, engine.signature(data), f"{hash(data):x}", metadata))


def finished(duplicates: Duplicates) -> Job:
    """The last job once it runs no more."""
    deadline = time.monotonic() + SECONDS
    pause = threading.Event()
    while time.monotonic() < deadline:
        job = duplicates.job()
        if job is not None and job.state != "running":
            return job
        pause.wait(0.02)
    raise AssertionError("the job did not end")


def found(duplicates: Duplicates, min_score: float = 80, *, turned: bool = False) -> list[list[str]]:
    duplicates.start(min_score, all_orientations=turned)
    job = finished(duplicates)
    assert (job.state, job.error, job.progress) == ("done", "", 1.0)
    return [[image["filepath"] for image in group] for group in duplicates.page(job, 0, 100)]


def test_groups_are_the_images_that_look_alike_largest_first(opened: Opener) -> None:
    store = opened()
    for seed in range(6):
        add(store, f"{seed}/original", picture(seed))
    add(store, "1/small", picture(1).resize((160, 120)))
    add(store, "4/small", picture(4).resize((160, 120)))
    add(store, "4/same", picture(4), metadata="kept")
    add(store, "5/mirrored", ImageOps.mirror(picture(5)))
    duplicates = Duplicates(store.review)
    assert found(duplicates) == [["4/original", "4/same", "4/small"], ["1/original", "1/small"]]
    assert found(duplicates, turned=True) == [
        ["4/original", "4/same", "4/small"],
        ["1/original", "1/small"],
        ["5/mirrored", "5/original"],
    ]
    assert found(duplicates, 100) == [["4/original", "4/same"]]
    job = finished(duplicates)
    assert (job.images, job.groups) == (10, 1)
    assert duplicates.page(job, 0, 1)[0] == [
        {"filepath": "4/original", "score": 100.0, "metadata": None},
        {"filepath": "4/same", "score": 100.0, "metadata": "kept"},
    ]


def test_groups_agree_with_searching_for_every_image(opened: Opener) -> None:
    store = opened()
    images = {}
    for seed in range(20):
        for step in range(seed % 4):
            noise = np.random.default_rng(100 * seed + step).normal(0, 12 * step, (240, 320, 3))
            pixels = np.clip(np.asarray(picture(seed), dtype=float) + noise, 0, 255).astype(np.uint8)
            images[f"{seed:02}-{step}"] = Image.fromarray(pixels)
    for filepath, image in images.items():
        add(store, filepath, image)
    near: dict[str, set[str]] = {}
    for filepath, image in images.items():
        view = engine.signature(encode(image, "PNG"))[None, :]
        near[filepath] = {match.filepath for match in store.search(view) if match.score >= 70}
    expected = []
    left = set(images)
    while left:
        group, grown = set(), {min(left)}
        while grown != group:
            group, grown = grown, set().union(*(near[filepath] for filepath in grown))
        left -= group
        if len(group) > 1:
            expected.append(sorted(group))
    assert len(expected) > 5
    expected.sort(key=lambda group: (-len(group), group[0]))
    assert found(Duplicates(store.review), 70) == expected


def test_another_replica_sees_the_job_and_its_groups(opened: Opener) -> None:
    one, other = opened(), opened()
    for filepath in ("a", "b"):
        add(one, filepath, picture(1))
    assert Duplicates(other.review).job() is None
    assert found(Duplicates(one.review)) == [["a", "b"]]
    elsewhere = Duplicates(other.review)
    job = elsewhere.job()
    assert job is not None
    assert [m["filepath"] for m in elsewhere.page(job, 0, 10)[0]] == ["a", "b"]


def test_what_was_deleted_or_replaced_since_is_in_no_group(opened: Opener) -> None:
    store = opened()
    for filepath in ("a", "b", "c"):
        add(store, filepath, picture(1))
        add(store, f"{filepath}2", picture(2))
    duplicates = Duplicates(store.review)
    assert found(duplicates) == [["a", "b", "c"], ["a2", "b2", "c2"]]
    store.delete("a")
    add(store, "a2", picture(3))
    store.delete("b2")
    job = finished(duplicates)
    assert [[m["filepath"] for m in group] for group in duplicates.page(job, 0, 10)] == [["b", "c"]]
    assert found(duplicates) == [["b", "c"]]


def test_one_job_runs_at_a_time_and_a_dead_one_makes_room(opened: Opener) -> None:
    store = opened()
    store.check()
    review, now = store.review, time.time()
    first = Job("first", "running", 80, False, started=now, seen=now)
    assert review.begin(first) == first
    assert review.begin(replace(first, id="second")).id == "first"
    assert review.update(replace(first, seen=now - SILENT_SECONDS - 1, progress=0.4))
    told = Duplicates(review).job()
    assert told is not None
    assert (told.state, told.error) == ("failed", "The process that was at it has ended; start it again.")
    third = replace(first, id="third")
    assert review.begin(third).id == "third"
    assert not review.update(replace(first, progress=0.5))
    assert review.job() == third


def test_of_many_replicas_that_begin_at_once_one_does(opened: Opener) -> None:
    stores = [opened() for _ in range(4)]
    for store in stores:
        store.check()
    now = time.time()
    gate = threading.Barrier(len(stores))
    begun: list[str] = []

    def begin(number: int, store: Store) -> None:
        gate.wait()
        begun.append(store.review.begin(Job(str(number), "running", 80, False, started=now, seen=now)).id)

    threads = [threading.Thread(target=begin, args=pair) for pair in enumerate(stores)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(begun) == len(stores)
    assert len(set(begun)) == 1


def test_a_cancelled_job_stops_and_keeps_no_groups(opened: Opener) -> None:
    store = opened()
    store.check()
    now = time.time()
    job = store.review.begin(Job("running", "running", 80, False, started=now, seen=now))
    duplicates = Duplicates(store.review)
    cancelled = duplicates.cancel()
    assert cancelled is not None
    assert cancelled.state == "cancelled"
    assert not store.review.update(replace(job, progress=0.9))
    assert duplicates.page(cancelled, 0, 10) == []
    assert found(duplicates) == []


def test_the_endpoint_starts_follows_and_pages(opened: Opener) -> None:
    store = opened()
    for number in range(3):
        for filepath in ("a", "b"):
            add(store, f"{filepath}{number}", picture(number))
    client = create_app(Settings(), store).test_client()
    assert client.get("/duplicates").get_json()["result"] == []
    started = client.post("/duplicates", data={"min_score": "90"}).get_json()
    assert started["method"] == "duplicates"
    assert started["result"][0]["min_score"] == 90.0
    assert finished(Duplicates(store.review)).state == "done"
    (job,) = client.get("/duplicates?offset=1&limit=1").get_json()["result"]
    assert (job["state"], job["progress"], job["images"], job["count"]) == ("done", 1.0, 6, 3)
    assert [[m["filepath"] for m in group] for group in job["groups"]] == [["a1", "b1"]]
    assert client.delete("/duplicates").get_json()["result"][0]["state"] == "done"
    for wrong in ("54", "101", "x", "nan", "-1"):
        answer = client.post("/duplicates", data={"min_score": wrong})
        assert answer.status_code == 400


@pytest.mark.elastic
@pytest.mark.parametrize("manage", [True, False])
def test_the_index_of_reviews_is_made_only_where_indices_are_to_be_managed(*, manage: bool) -> None:
    url = elasticsearch.shared_node()
    alias = elastic.make_index(url)
    index = match_index.review_index(alias)
    with (
        Elasticsearch(url, request_timeout=30) as client,
        closing(ElasticStore.connect(url, alias, manage_index=manage, memory=MirrorMemory(2**25))) as store,
    ):
        client.indices.delete(index=index)
        job = Job("one", "running", 80, False, started=time.time(), seen=time.time())
        if manage:
            assert store.review.begin(job) == job
            made = client.indices.get(index=index)[index]["mappings"]["properties"]
            assert made == match_index.review_body()["mappings"]["properties"]
            return
        for asked in (lambda: store.review.begin(job), lambda: store.review.keep_groups(job, [[]])):
            with pytest.raises(StoreUnavailableError, match=f"no index {index}, where duplicates are kept"):
                asked()
        assert store.review.job() is None
        assert not client.indices.exists(index=index)


@pytest.mark.elastic
def test_without_the_signatures_in_memory_the_job_says_what_is_missing() -> None:
    url = elasticsearch.shared_node()
    store = ElasticStore.connect(url, elastic.make_index(url), manage_index=False)
    duplicates = Duplicates(store.review)
    duplicates.start(80, all_orientations=False)
    job = finished(duplicates)
    assert job.state == "failed"
    assert "MATCH_MIRROR_MAX_BYTES" in job.error
    store.close()
