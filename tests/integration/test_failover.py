"""The mirror over a replicated index whose primary is killed: what was acknowledged stays found."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

import elastic
import match_index
from match_service import engine
from match_service.errors import StoreUnavailableError
from match_service.model import Record
from match_service.store.elastic import ElasticStore
from match_service.store.mirror import BLOCK_ROWS, ROW_BYTES, MirrorMemory
from multinode import Cluster, cluster
from numbered import found, signature

pytestmark = pytest.mark.elastic
BEFORE, AFTER = 30, 40


@pytest.fixture(scope="module")
def nodes() -> Iterator[Cluster]:
    with cluster(data_nodes=2) as made:
        yield made


def pod(nodes: Cluster, alias: str) -> ElasticStore:
    """An API pod with a mirror of its own, which follows by itself."""
    memory = MirrorMemory(BLOCK_ROWS * ROW_BYTES)
    return ElasticStore.connect(nodes.url, alias, manage_index=False, memory=memory)


def wait_until_exact(store: ElasticStore) -> None:
    while store.check()["search"] != "mirror":
        pass


class Ledger:
    """What has been acknowledged, by filepath: the number of its signature, or None once it is deleted."""

    def __init__(self) -> None:
        self.acknowledged: dict[str, int | None] = {}
        self.refused = 0

    def write(self, store: ElasticStore, number: int) -> None:
        """Add, overwrite or delete; what is not acknowledged may have happened or not."""
        filepath = f"{number % 20}" if number % 3 == 0 else f"new/{number}"
        gone = number % 7 == 0
        try:
            if gone:
                store.delete(filepath)
            else:
                store.add(Record(filepath, signature(number), "0" * 64, {"n": number}))
        except StoreUnavailableError:
            self.refused += 1
            self.acknowledged.pop(filepath, None)
        else:
            self.acknowledged[filepath] = None if gone else number

    def check(self, store: ElasticStore, filepath: str) -> None:
        """The one writer has nothing under way meanwhile, so the answer is certain."""
        number = self.acknowledged.get(filepath)
        if number is not None:
            assert found(store, number) == [filepath]


def keep_searching(store: ElasticStore, records: list[Record], stop: threading.Event) -> int:
    """Each answer is right, or refused; how many were right."""
    answered = 0
    while not stop.is_set():
        for record in records:
            try:
                matches = store.search(engine.views(record.signature, all_orientations=False))
            except StoreUnavailableError:
                continue
            assert [match.filepath for match in matches] == [record.filepath]
            answered += 1
    return answered


def test_pods_see_each_others_changes_at_once_on_a_replicated_index(nodes: Cluster) -> None:
    alias = elastic.make_index(nodes.urls["master"], replicas=1)
    nodes.client.cluster.health(index=alias, wait_for_status="green", timeout="30s")
    one, two = pod(nodes, alias), pod(nodes, alias)
    for number in range(20):
        writer, reader = (one, two) if number % 2 else (two, one)
        writer.add(Record(f"{number % 5}", signature(number), "0" * 64))
        assert found(reader, number) == [f"{number % 5}"]
        if number >= 5:
            assert found(reader, number - 5) == []
    for store in (one, two):
        wait_until_exact(store)
        assert [found(store, number) for number in range(15, 20)] == [[f"{n}"] for n in range(5)]
        store.close()


def test_nothing_acknowledged_is_lost_when_the_primary_is_killed(nodes: Cluster) -> None:
    alias = elastic.make_index(nodes.urls["master"], replicas=1)
    nodes.client.cluster.health(index=alias, wait_for_status="green", timeout="30s")
    writer, reader, bystander = (pod(nodes, alias) for _ in range(3))
    wait_until_exact(reader)
    ledger, stop = Ledger(), threading.Event()
    steady = [Record(f"steady/{number}", signature(10_000 + number), "0" * 64) for number in range(5)]
    for record in steady:
        writer.add(record)

    with ThreadPoolExecutor(1) as pool:
        searching = pool.submit(keep_searching, bystander, steady, stop)
        try:
            for number in range(BEFORE + AFTER):
                if number == BEFORE:
                    nodes.kill(nodes.node_of_primary(match_index.backing_index(alias)))
                ledger.write(writer, number)
                if number < BEFORE:
                    ledger.check(reader, next(reversed(ledger.acknowledged)))
        finally:
            stop.set()
        assert searching.result() > 0
    assert len(ledger.acknowledged) > AFTER
    for store in (writer, reader, bystander, pod(nodes, alias)):
        wait_until_exact(store)
        for filepath, number in ledger.acknowledged.items():
            if number is not None:
                (match,) = store.search(engine.views(signature(number), all_orientations=True))
                assert (match.filepath, match.metadata) == (filepath, {"n": number})
        listed = set(store.filepaths(0, 1000))
        assert {path for path, number in ledger.acknowledged.items() if number is None}.isdisjoint(listed)
        store.close()
