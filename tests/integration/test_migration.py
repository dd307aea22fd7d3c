"""Moving a collection between two indices of a real Elasticsearch while it is written to and searched."""

import argparse
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
from elasticsearch import Elasticsearch

import elastic
import match_index
from labcluster.elasticsearch import shared_node
from match_operator.access import Access
from match_operator.clients.elastic import ElasticClient
from match_operator.errors import ElasticsearchError
from match_service import engine
from match_service.commands import migrate
from match_service.store.elastic import ElasticStore
from match_service.store.indices import ElasticIndices
from match_service.store.migration import GaveUpError, Mover
from numbered import found, record, signature

pytestmark = pytest.mark.elastic
IMAGES = 300


@pytest.fixture(scope="module")
def url() -> str:
    return shared_node()


@pytest.fixture
def client(url: str) -> Iterator[Elasticsearch]:
    with Elasticsearch(url, request_timeout=30) as made:
        yield made


@pytest.fixture
def alias(url: str) -> str:
    return elastic.make_index(url)


@pytest.fixture
def store(url: str, alias: str) -> Iterator[ElasticStore]:
    made = ElasticStore.connect(url, alias, manage_index=False)
    made.add_many(record(f"image-{number:03}", number) for number in range(IMAGES))
    yield made
    made.close()


def indices(client: Elasticsearch, alias: str, shards: int = 2) -> ElasticIndices:
    """A new target of ``shards`` for what is behind ``alias``."""
    source = match_index.backing_index(alias)
    target = match_index.backing_index(alias, 2)
    if not client.indices.exists(index=target):
        uuid = client.indices.get_settings(index=source)[source]["settings"]["index"]["uuid"]
        made = match_index.target_body(uuid)
        client.indices.create(index=target, settings={"number_of_shards": shards}, **made)
    return ElasticIndices(client, alias, source, target)


def behind(client: Elasticsearch, alias: str) -> list[str]:
    return list(client.indices.get_alias(name=alias))


def test_images_move_with_their_words_and_metadata_to_an_index_of_more_shards(
    client: Elasticsearch, alias: str, store: ElasticStore
) -> None:
    store.delete("image-007")

    Mover(indices(client, alias)).run()

    target = match_index.backing_index(alias, 2)
    assert behind(client, alias) == [target]
    assert client.indices.get_mapping(index=target)[target]["mappings"]["properties"].keys() == (
        match_index.FIELDS.keys()
    )
    assert store.count() == IMAGES - 1
    assert found(store, 7) == []
    assert found(store, 8) == ["image-008"], "by its words, since this store has no mirror"
    hit = store.search(engine.views(signature(9), all_orientations=False))[0]
    assert hit.metadata == {"n": 9}


def test_writes_and_deletes_during_a_move_are_kept_and_none_fails(
    client: Elasticsearch, url: str, alias: str, store: ElasticStore
) -> None:
    stop = threading.Event()
    kept: dict[str, int] = {}
    errors: list[Exception] = []

    def write() -> None:
        writer = ElasticStore.connect(url, alias, manage_index=False)
        number = 1_000
        try:
            while not stop.is_set():
                number += 1
                name = f"image-{number % 50:03}"
                if number % 7 == 0:
                    writer.delete(name)
                    kept.pop(name, None)
                else:
                    writer.add(record(name, number))
                    kept[name] = number
        except Exception as error:  # noqa: BLE001 - the test judges it
            errors.append(error)
        finally:
            writer.close()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        Mover(indices(client, alias)).run()
        target = match_index.backing_index(alias, 2)
        before = len(errors)
    finally:
        stop.set()
        writer.join()

    assert before == 0
    assert errors == []
    assert behind(client, alias) == [target]
    assert kept
    for name, number in kept.items():
        assert found(store, number) == [name]
    client.indices.refresh(index=target)
    names = set(store.filepaths(0, 1_000))
    assert {f"image-{n:03}" for n in range(50)} & names == {n for n in names if n < "image-050"}
    assert {n for n in names if n < "image-050"} >= set(kept)
    assert {n for n in names if n >= "image-050"} == {f"image-{n:03}" for n in range(50, IMAGES)}


def test_a_mover_whose_place_was_taken_can_neither_fence_nor_switch(
    client: Elasticsearch, alias: str, store: ElasticStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("match_service.store.indices.GRACE_SECONDS", 0.0)
    first, second = indices(client, alias), indices(client, alias)
    first.take_over()
    second.take_over()

    with pytest.raises(GaveUpError):
        first.fence()
    with pytest.raises(GaveUpError):
        first.switch()
    second.fence()
    second.unfence()
    store.add(record("image-new", 5_000))
    assert found(store, 5_000) == ["image-new"]


def test_a_fence_left_by_a_dead_mover_is_lifted_and_the_move_ends(
    client: Elasticsearch, alias: str, store: ElasticStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("match_service.store.indices.GRACE_SECONDS", 0.0)
    dead = indices(client, alias)
    dead.take_over()
    dead.fence()
    written = threading.Thread(target=store.add, args=(record("image-waiting", 6_000),))
    written.start()

    Mover(indices(client, alias)).run()
    written.join()

    assert found(store, 6_000) == ["image-waiting"]
    assert store.count() == IMAGES + 1


@pytest.fixture
def operator(url: str) -> Iterator[ElasticClient]:
    made = ElasticClient(Access(url))
    yield made
    made.close()


def fencing(client: Elasticsearch, alias: str) -> ElasticIndices:
    """A mover that has put up its fence."""
    living = indices(client, alias)
    living.take_over()
    living.fence()
    return living


def worn(client: Elasticsearch, alias: str) -> list[str]:
    target = match_index.backing_index(alias, 2)
    return list(client.indices.get_alias(index=target)[target]["aliases"])


def test_a_target_says_from_its_beginning_what_is_moved_and_its_mover_begins_at_the_first_image(
    client: Elasticsearch, alias: str
) -> None:
    fresh = indices(client, alias, shards=2)
    source, target = (match_index.backing_index(alias, n) for n in (1, 2))
    found = client.indices.get(index=[source, target]).body
    meta = found[target]["mappings"]["_meta"]["match"]
    uuid = found[source]["settings"]["index"]["uuid"]
    assert meta == {"schema": match_index.SCHEMA_VERSION, "moved": {"from": uuid}}
    assert fresh.saved() == [-1] * int(found[source]["settings"]["index"]["number_of_shards"])


def test_a_mover_whose_fence_the_operator_lifted_cannot_switch(
    client: Elasticsearch, alias: str, store: ElasticStore, operator: ElasticClient
) -> None:
    source, target = (match_index.backing_index(alias, n) for n in (1, 2))
    living = fencing(client, alias)
    operator.allow_writes(alias, source, target, worn(client, alias))
    store.add(record("image-new", 7_000))

    with pytest.raises(GaveUpError):
        living.switch()
    with pytest.raises(GaveUpError):
        living.unfence()

    assert behind(client, alias) == [source]
    assert worn(client, alias) == [match_index.operators_badge(alias)]
    assert found(store, 7_000) == ["image-new"]


def test_the_operator_lifts_no_fence_of_a_mover_that_went_on_since_it_looked(
    client: Elasticsearch, alias: str, operator: ElasticClient
) -> None:
    source, target = (match_index.backing_index(alias, n) for n in (1, 2))
    living = fencing(client, alias)
    looked = worn(client, alias)
    living.unfence()
    living.fence()

    with pytest.raises(ElasticsearchError):
        operator.allow_writes(alias, source, target, looked)

    index = client.indices.get(index=source)[source]
    assert index["aliases"][alias]["is_write_index"] is False
    assert index["settings"]["index"]["blocks"]["write"] == "true"
    living.switch()


def test_a_mover_whose_move_was_given_up_cannot_switch_to_the_next_target(
    client: Elasticsearch, alias: str, operator: ElasticClient
) -> None:
    source, target = (match_index.backing_index(alias, n) for n in (1, 2))
    living = fencing(client, alias)
    operator.abandon_index(alias, source, [target])
    indices(client, alias)

    with pytest.raises(GaveUpError):
        living.switch()
    assert behind(client, alias) == [source]


def test_the_command_that_is_told_to_end_lifts_its_fence(
    client: Elasticsearch, url: str, alias: str, store: ElasticStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    indices(client, alias)
    one, two = match_index.backing_index(alias), match_index.backing_index(alias, 2)
    monkeypatch.setenv("ELASTICSEARCH_URL", url)
    monkeypatch.setenv("ELASTICSEARCH_INDEX", alias)
    monkeypatch.setattr(ElasticIndices, "unequal", lambda _: os.kill(os.getpid(), signal.SIGTERM))
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)  # as for the first process of a container
    try:
        with pytest.raises(SystemExit) as ended:
            migrate.run(argparse.Namespace(source=one, target=two))
    finally:
        signal.signal(signal.SIGTERM, before)

    assert ended.value.code == 128 + signal.SIGTERM
    assert behind(client, alias) == [one]
    store.add(record("image-new", 8_000))


def test_the_command_of_the_job_moves_a_collection_and_repeated_finds_it_moved(
    client: Elasticsearch, url: str, alias: str, store: ElasticStore
) -> None:
    indices(client, alias)
    one, two = match_index.backing_index(alias), match_index.backing_index(alias, 2)
    command = [sys.executable, "-m", "match_service", "migrate", "--from", one, "--to", two]
    env = os.environ | {"ELASTICSEARCH_URL": url, "ELASTICSEARCH_INDEX": alias}
    for _ in range(2):
        ended = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, check=False)
        assert (ended.returncode, ended.stdout) == (0, f"All images are in {two}.\n"), ended.stderr
    assert behind(client, alias) == [two]
    assert store.count() == IMAGES
