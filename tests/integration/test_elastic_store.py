"""What only a real Elasticsearch shows: starting order, races, lost shards, credentials, round trips."""

import base64
import contextlib
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from elasticsearch import Elasticsearch

import elastic
from gateway import Gateway
from labcluster.elasticsearch import shared_node
from match_service import engine
from match_service.errors import StoreUnavailableError
from match_service.model import Record
from match_service.store import passing, words
from match_service.store.elastic import ElasticStore
from pictures import jpeg
from serving import server

pytestmark = pytest.mark.elastic


@pytest.fixture(scope="module")
def url() -> str:
    return shared_node()


@pytest.fixture
def gateway(url: str) -> Iterator[Gateway]:
    host, port = url.removeprefix("http://").split(":")
    made = Gateway((host, int(port)))
    yield made
    made.close()


@pytest.fixture
def client(url: str) -> Iterator[Elasticsearch]:
    with Elasticsearch(url, request_timeout=30) as made:
        yield made


def _alias() -> str:
    return f"t-{uuid.uuid4().hex[:12]}"


def _record(filepath: str, seed: int = 1) -> Record:
    return Record(filepath, engine.signature(jpeg(seed)), "0" * 64, {"seed": seed})


def test_the_service_starts_before_elasticsearch_and_is_ready_once_that_answers(
    gateway: Gateway, tmp_path: Path
) -> None:
    settings = {"ELASTICSEARCH_URL": f"http://127.0.0.1:{gateway.port}", "ELASTICSEARCH_INDEX": _alias()}
    with server(tmp_path, wait=False, WORKER_COUNT="2", **settings) as running:
        assert running.send("GET", "/livez").status == 200
        refused = running.send("GET", "/readyz")
        assert (refused.status, refused.headers["Retry-After"]) == (503, "2")
        assert refused.error == "Elasticsearch does not answer (ConnectionError)."
        assert running.add("a", jpeg(1)).status == 503
        gateway.open()
        assert running.send("GET", "/readyz").status == 200
        assert running.add("a", jpeg(1)).status == 200
        gateway.close()
        assert running.send("GET", "/readyz").status == 503
        assert running.form("POST", "/search", files={"image": jpeg(1)}).status == 503
        assert running.send("GET", "/livez").status == 200
        gateway.open()
        assert [match["filepath"] for match in running.search(jpeg(1))] == ["a"]


def test_any_number_of_replicas_may_create_the_index_at_once(url: str, client: Elasticsearch) -> None:
    alias = _alias()
    stores = [ElasticStore.connect(url, alias) for _ in range(8)]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda number: stores[number].add(_record(f"{number}")), range(8)))
    assert list(client.indices.get_alias(name=alias)) == [f"{alias}-000001"]
    assert [store.count() for store in stores] == [8] * 8
    for store in stores:
        store.close()


def test_a_missing_alias_is_put_back_on_its_index(url: str, client: Elasticsearch) -> None:
    alias = _alias()
    store = ElasticStore.connect(url, alias)
    store.add(_record("a"))
    client.indices.delete_alias(index=f"{alias}-000001", name=alias)
    with pytest.raises(StoreUnavailableError):
        store.add(_record("b"))
    store.add(_record("b"))
    assert store.filepaths(0, 9) == ["a", "b"]
    assert not client.indices.exists(index=alias) or client.indices.exists_alias(name=alias)
    store.close()


def test_an_index_that_somebody_else_manages_is_waited_for(url: str, client: Elasticsearch) -> None:
    alias = _alias()
    store = ElasticStore.connect(url, alias, manage_index=False)
    for call in (store.check, store.count, lambda: store.add(_record("a"))):
        with pytest.raises(StoreUnavailableError, match=f"no alias {alias} yet"):
            call()
    assert client.indices.get(index=f"{alias}*").body == {}
    client.indices.create(index=f"{alias}-000001", aliases={alias: {"is_write_index": True}})
    store.check()
    store.close()


def test_an_index_of_another_schema_is_told_and_not_written(url: str, client: Elasticsearch) -> None:
    alias = _alias()
    mappings = {"_meta": {"match": {"schema": 2}}}
    client.indices.create(index=f"{alias}-000001", aliases={alias: {}}, mappings=mappings)
    store = ElasticStore.connect(url, alias)
    for call in (store.check, lambda: store.add(_record("a"))):
        with pytest.raises(StoreUnavailableError, match="has schema 2, but this version needs"):
            call()
    assert client.count(index=alias)["count"] == 0
    store.close()


def test_an_index_in_the_place_of_the_alias_is_told(url: str, client: Elasticsearch) -> None:
    alias = _alias()
    client.indices.create(index=alias)
    store = ElasticStore.connect(url, alias)
    with pytest.raises(StoreUnavailableError, match="needs an alias of that name"):
        store.check()
    store.close()


def test_a_lost_shard_is_a_503_and_never_a_silently_shorter_answer(url: str, client: Elasticsearch) -> None:
    alias = elastic.make_index(url)
    store = ElasticStore.connect(url, alias, manage_index=False)
    for number in range(8):
        store.add(_record(str(number), number))
    lost = f"{alias}-000002"
    nowhere = {"index.routing.allocation.require._name": "nobody"}
    client.indices.create(index=lost, aliases={alias: {}}, settings=nowhere, wait_for_active_shards="0")
    views = engine.views(_record("0", 0).signature, True)
    calls: dict[str, Callable[[], Any]] = {
        "check": store.check,
        "count": store.count,
        "search": lambda: store.search(views),
        "list": lambda: store.filepaths(0, 9),
    }
    answered = {}
    for name, call in calls.items():
        with contextlib.suppress(StoreUnavailableError):
            answered[name] = call()
    assert answered == {}
    client.indices.delete(index=lost)
    assert (store.count(), len(store.search(views))) == (8, 1)
    store.close()


def test_a_search_is_one_request_whatever_the_number_of_orientations(url: str, gateway: Gateway) -> None:
    gateway.open()
    store = ElasticStore.connect(f"http://127.0.0.1:{gateway.port}", elastic.make_index(url))
    store.add(_record("a"))
    gateway.seen.clear()
    matches = store.search(engine.views(_record("a").signature, True))
    assert [(match.filepath, match.distance, match.view) for match in matches] == [("a", 0.0, 0)]
    assert (gateway.seen.count(b" HTTP/1.1\r\n"), gateway.seen.count(b"_msearch")) == (1, 1)
    store.close()


def test_user_and_password_of_the_url_are_sent_and_never_shown(url: str, gateway: Gateway) -> None:
    address = f"http://elastic:pa%3Ass%40word@127.0.0.1:{gateway.port}"
    store = ElasticStore.connect(address, elastic.make_index(url))
    with pytest.raises(StoreUnavailableError) as failure:
        store.check()
    assert "word" not in str(failure.value)
    gateway.open()
    store.check()
    assert base64.b64encode(b"elastic:pa:ss@word") in gateway.seen
    store.close()


def test_a_call_waits_for_an_elasticsearch_that_is_away_for_a_moment(url: str, gateway: Gateway) -> None:
    gateway.open()
    store = ElasticStore.connect(f"http://127.0.0.1:{gateway.port}", elastic.make_index(url))
    store.add(_record("a"))
    gateway.close()
    with ThreadPoolExecutor(3) as threads:
        view = engine.views(_record("a").signature, False)
        calls = [threads.submit(store.add, _record("b", 2)), threads.submit(store.search, view)]
        calls.append(threads.submit(store.count))
        with pytest.raises(StoreUnavailableError):  # the one who asks whether it is there is told at once
            store.check()
        assert not any(call.done() for call in calls)
        gateway.open()
        assert calls[0].result(30) is None
        assert [match.filepath for match in calls[1].result(30)] == ["a"]
        assert calls[2].result(30) in (1, 2)
    store.close()


def test_nobody_waits_any_more_in_an_outage_that_lasts(url: str, gateway: Gateway) -> None:
    gateway.open()
    store = ElasticStore.connect(f"http://127.0.0.1:{gateway.port}", elastic.make_index(url))
    assert store.count() == 0
    gateway.close()
    took = []
    for _ in range(2):
        since = time.monotonic()
        with pytest.raises(StoreUnavailableError):
            store.count()
        took.append(time.monotonic() - since)
    assert passing.PATIENCE_SECONDS / 2 < took[0] < 2 * passing.PATIENCE_SECONDS
    assert took[1] < passing.PATIENCE_SECONDS / 5
    gateway.open()
    assert store.count() == 0
    store.close()


def test_a_second_address_serves_while_the_first_is_down(url: str, gateway: Gateway) -> None:
    addresses = f"127.0.0.1:{gateway.port}, {url}"
    store = ElasticStore.connect(addresses, elastic.make_index(url))
    store.add(_record("a"))
    assert [store.count() for _ in range(4)] == [1] * 4
    store.close()


def test_what_elasticsearch_refuses_is_told_and_the_rest_goes_in(url: str) -> None:
    store = ElasticStore.connect(url, elastic.make_index(url))
    endless = "b" * 40_000  # more than a term of Lucene may have
    refused = store.add_many([_record("a"), _record(endless), _record("c")])
    assert list(refused) == [endless]
    assert refused[endless].startswith("Elasticsearch refused it (")
    store.add(_record("d"))
    assert store.filepaths(0, 9) == ["a", "c", "d"]
    store.close()


def test_a_document_is_what_the_mapping_declares(url: str, client: Elasticsearch) -> None:
    alias = elastic.make_index(url)
    store = ElasticStore.connect(url, alias)
    store.add(_record("a"))
    (hit,) = client.search(index=alias)["hits"]["hits"]
    assert set(hit["_source"]) == {"filepath", "metadata", "sha256", "signature", "timestamp"}
    word = words.tokens(_record("a").signature)[59]
    assert client.count(index=alias, query={"term": {"words": word}})["count"] == 1
    store.close()
