"""The mirror of a real index: what was acknowledged is found and what is gone is not, whoever wrote it."""

import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from elasticsearch import Elasticsearch

import elastic
from labcluster.elasticsearch import shared_node
from match_service import engine
from match_service.store import follower, mirrored, reading
from match_service.store.elastic import ElasticStore
from match_service.store.mirror import BLOCK_ROWS, ROW_BYTES, MirrorMemory
from numbered import found, record, signature

pytestmark = pytest.mark.elastic
ROOM = BLOCK_ROWS * ROW_BYTES


@pytest.fixture(scope="module")
def url() -> str:
    return shared_node()


@pytest.fixture
def client(url: str) -> Iterator[Elasticsearch]:
    with Elasticsearch(url, request_timeout=30) as made:
        yield made


class Replica:
    """An API pod's store that reads into its mirror when the test says so, and only then."""

    def __init__(self, url: str, alias: str, memory: MirrorMemory | None = None) -> None:
        self.store = ElasticStore.connect(url, alias, manage_index=False, memory=memory or MirrorMemory(ROOM))
        assert self.store.follower is not None
        self.follower = self.store.follower
        self.follower.ask = lambda: None  # type: ignore[method-assign]
        self.follower.follow()

    @property
    def exact(self) -> bool:
        return self.follower.memory.view() is not None


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("rounds", [False, True], ids=["far behind", "up to date"])
def test_every_replica_finds_what_any_has_acknowledged(url: str, shards: int, rounds: bool) -> None:
    alias = elastic.make_index(url, shards)
    one, two = Replica(url, alias), Replica(url, alias)
    truth: dict[str, int] = {}
    chance = random.Random(shards)
    for number in range(60):
        writer, reader = chance.sample([one, two], 2)
        filepath = f"photos/{chance.randrange(8)}"
        before = truth.get(filepath)
        if chance.random() < 0.25:
            assert writer.store.delete(filepath) is (truth.pop(filepath, None) is not None)
        else:
            writer.store.add(record(filepath, number))
            truth[filepath] = number
            assert found(reader.store, number) == [filepath]
        if before is not None:
            assert found(reader.store, before) == []
        if rounds:
            chance.choice([one, two]).follower.follow()
    for replica in (one, two):
        assert replica.exact
        for filepath, number in truth.items():
            (match,) = replica.store.search(engine.views(signature(number), all_orientations=True))
            assert (match.filepath, match.metadata, match.distance) == (filepath, {"n": number}, 0.0)
        replica.follower.follow()
        view = replica.follower.memory.view()
        assert view is not None
        assert all(found(replica.store, number) == [filepath] for filepath, number in truth.items())


def test_nothing_acknowledged_is_missed_while_many_write_and_the_mirror_reads(url: str) -> None:
    alias = elastic.make_index(url, 2)
    writers = [Replica(url, alias) for _ in range(2)]
    reader = Replica(url, alias)
    stop = threading.Event()

    def read() -> int:
        rounds = 0
        while not stop.is_set():
            reader.follower.follow()
            rounds += 1
        return rounds

    def write(worker: int) -> None:
        store = writers[worker % 2].store
        for turn in range(30):
            number = 1000 * (worker + 1) + turn
            filepath = f"{worker}/{turn % 4}"
            store.add(record(filepath, number))
            assert found(reader.store, number) == [filepath]
            if turn >= 4:
                assert found(reader.store, number - 4) == []

    with ThreadPoolExecutor(7) as pool:
        reading = pool.submit(read)
        for done in [pool.submit(write, worker) for worker in range(6)]:
            done.result()
        stop.set()
        assert reading.result() > 2
    assert reader.exact


def test_workers_of_one_pod_share_one_memory_and_one_of_them_reads(url: str) -> None:
    alias = elastic.make_index(url)
    memory = MirrorMemory(ROOM)
    one, two = Replica(url, alias, memory), Replica(url, alias, memory)
    one.store.add(record("a", 1))
    one.follower.follow()
    assert memory.rows == 1
    assert found(two.store, 1) == ["a"]
    with memory.writing() as ours, memory.writing() as theirs:
        assert (ours, theirs) == (True, False)


def test_duplicates_are_looked_for_among_all_there_is_when_the_mirror_is_being_read_already(url: str) -> None:
    replica = Replica(url, elastic.make_index(url))
    replica.store.add(record("a", 1))
    asked = threading.Semaphore(0)
    follow = replica.follower.follow

    def following() -> bool:
        done = follow()
        asked.release()
        return done

    replica.follower.follow = following  # type: ignore[method-assign]
    with ThreadPoolExecutor(1) as pool:
        with replica.follower.memory.writing() as ours:  # in a round that began before the image was there
            assert ours
            collection = pool.submit(replica.store.review.collection)
            assert asked.acquire(timeout=30)
        (image,) = collection.result().images(np.array([0]))
    assert image is not None
    assert image.filepath == "a"


def test_the_mirror_reads_by_itself_once_searches_come(url: str) -> None:
    alias = elastic.make_index(url)
    memory = MirrorMemory(ROOM)
    store = ElasticStore.connect(url, alias, manage_index=False, memory=memory)
    store.add(record("a", 1))
    assert memory.view() is None
    while memory.view() is None:
        assert found(store, 1) == ["a"]
    store.add(record("b", 1))
    while memory.rows < 2:
        assert found(store, 1) == ["a", "b"]
    store.close()


def test_an_index_beyond_the_bound_is_searched_by_words(url: str, client: Elasticsearch) -> None:
    alias = elastic.make_index(url)
    memory = MirrorMemory(ROOM)
    memory.capacity = 3
    replica = Replica(url, alias, memory)
    for number in range(5):
        replica.store.add(record(f"{number}", number))
        assert found(replica.store, number) == [f"{number}"]
    replica.follower.follow()
    assert not replica.exact
    facts = replica.store.check()
    assert (facts["search"], facts["documents"], facts["bytes"]) == ("words", 5, 0)
    assert "MATCH_MIRROR_MAX_BYTES" in str(facts["reason"])
    assert found(replica.store, 4) == ["4"]
    memory.capacity = 10
    replica.follower.follow()
    assert replica.exact
    assert replica.store.check() == {
        "search": "mirror",
        "documents": 5,
        "bytes": 5 * ROW_BYTES,
        "max_bytes": 10 * ROW_BYTES,
    }
    assert found(replica.store, 4) == ["4"]


def test_the_log_says_once_when_the_way_of_searching_changes(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "match_service")
    memory = MirrorMemory(ROOM)
    memory.capacity = 1
    replica = Replica(url, elastic.make_index(url), memory)
    for number in range(2):
        replica.store.add(record(f"{number}", number))
        replica.follower.follow()
        replica.follower.follow()
    exact, beyond = (each.getMessage() for each in caplog.records if each.name == "match_service")
    assert exact == "Searches are exact: 0 images take 0 MiB of memory."
    assert beyond.startswith("2 images would take 0 MiB of memory, but MATCH_MIRROR_MAX_BYTES allows 0:")


def test_without_memory_for_a_mirror_searches_go_by_words(url: str) -> None:
    store = ElasticStore.connect(url, elastic.make_index(url), memory=MirrorMemory(0))
    store.add(record("a", 1))
    assert (found(store, 1), store.check()["search"]) == (["a"], "words")
    store.close()


def replace_index(replica: Replica, client: Elasticsearch, alias: str, **removal: dict[str, str]) -> None:
    """Put an empty second index behind the alias of a mirror that knows the first, with an image in it."""
    replica.store.add(record("old", 1))
    replica.follower.follow()
    client.indices.create(index=f"{alias}-000002")
    second = {"add": {"index": f"{alias}-000002", "alias": alias, "is_write_index": True}}
    client.indices.update_aliases(actions=[second, removal])


def test_another_index_behind_the_alias_is_read_anew(url: str, client: Elasticsearch) -> None:
    alias = elastic.make_index(url)
    replica = Replica(url, alias)
    replace_index(replica, client, alias, remove={"index": f"{alias}-000001", "alias": alias})
    replica.store.add(record("new", 2))
    replica.follower.follow()
    assert (found(replica.store, 1), found(replica.store, 2), replica.exact) == ([], ["new"], True)
    both = [{"add": {"index": f"{alias}-000001", "alias": alias}}]
    client.indices.update_aliases(actions=both)
    assert (found(replica.store, 1), found(replica.store, 2)) == (["old"], ["new"])
    replica.follower.follow()
    assert (found(replica.store, 1), found(replica.store, 2), replica.exact) == (["old"], ["new"], True)


def test_an_index_that_leaves_the_alias_leaves_the_mirror(url: str, client: Elasticsearch) -> None:
    alias = elastic.make_index(url)
    replica = Replica(url, alias)
    replica.store.add(record("old", 1))
    client.indices.create(index=f"{alias}-000002")
    names = {f"{alias}-000001": False, f"{alias}-000002": True}
    both = [{"add": {"index": name, "alias": alias, "is_write_index": last}} for name, last in names.items()]
    client.indices.update_aliases(actions=both)
    replica.store.add(record("new", 2))
    replica.follower.follow()
    assert len(replica.follower.memory.shards()) == 2
    client.indices.update_aliases(actions=[{"remove": {"index": f"{alias}-000001", "alias": alias}}])
    assert (found(replica.store, 1), found(replica.store, 2)) == ([], ["new"])
    replica.follower.follow()
    assert (found(replica.store, 1), found(replica.store, 2), replica.exact) == ([], ["new"], True)
    assert len(replica.follower.memory.shards()) == 1


def test_an_index_whose_history_is_another_is_read_anew(url: str, client: Elasticsearch) -> None:
    """A restore in place keeps the index's uuid, and numbers its changes from where the snapshot was."""
    alias = elastic.make_index(url)
    replica = Replica(url, alias)
    replica.store.add(record("old", 1))
    replica.follower.follow()
    index, repository = f"{alias}-000001", f"repository-{alias}"
    location = {"type": "fs", "settings": {"location": repository}}
    client.snapshot.create_repository(name=repository, repository=location)
    client.snapshot.create(repository=repository, snapshot="one", indices=index, wait_for_completion=True)
    replica.store.add(record("later", 2))
    replica.follower.follow()
    client.indices.close(index=index)
    client.snapshot.restore(repository=repository, snapshot="one", indices=index, wait_for_completion=True)
    client.cluster.health(index=index, wait_for_status="yellow")
    replica.store.add(record("else", 3))  # as many changes as the mirror has seen
    replica.store.add(record("more", 4))
    replica.follower.follow()
    assert [found(replica.store, number) for number in (1, 2, 3, 4)] == [["old"], [], ["else"], ["more"]]
    client.snapshot.delete_repository(name=repository)


def test_changes_that_not_every_copy_has_are_left_to_each_search(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their numbers may be given to other changes when the primary fails."""
    alias = elastic.make_index(url)
    replica = Replica(url, alias)
    look = replica.follower._look
    shards, checkpoints, documents = look()
    replica.store.add(record("a", 1))
    monkeypatch.setattr(replica.follower, "_look", lambda: (shards, [checkpoints[0] + 1], documents))
    replica.store.add(record("b", 2))
    replica.follower.follow()
    assert replica.follower.memory.rows == 1
    assert (found(replica.store, 1), found(replica.store, 2)) == (["a"], ["b"])
    monkeypatch.setattr(replica.follower, "_look", look)
    replica.follower.follow()
    assert replica.follower.memory.rows == 2


def test_an_index_that_was_replaced_and_removed_is_missed_by_no_search(
    url: str, client: Elasticsearch
) -> None:
    """A restore does so; the mirror only hears of it in its next round."""
    alias = elastic.make_index(url)
    replica = Replica(url, alias)
    replace_index(replica, client, alias, remove_index={"index": f"{alias}-000001"})
    assert replica.exact
    assert found(replica.store, 1) == []
    replica.store.add(record("new", 2))
    assert found(replica.store, 2) == ["new"]
    replica.follower.follow()
    assert (found(replica.store, 1), found(replica.store, 2), replica.exact) == ([], ["new"], True)


def test_more_changes_than_fit_a_page_are_all_found(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirrored, "CHANGES", 3)
    monkeypatch.setattr(reading, "CHANGES", 2)
    monkeypatch.setattr(follower, "LOAD_DOCUMENTS", 2)
    alias = elastic.make_index(url)
    replica = Replica(url, alias)
    for number in range(11):
        replica.store.add(record(f"{number}", number))
    assert [found(replica.store, number) for number in range(11)] == [[f"{number}"] for number in range(11)]
    replica.follower.follow()
    assert replica.follower.memory.rows == 11
    again = Replica(url, alias)
    assert again.follower.memory.rows == 11
    assert [found(again.store, number) for number in range(11)] == [[f"{number}"] for number in range(11)]


def test_more_matches_than_elasticsearch_gives_at_once_are_all_found(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirrored, "LOOK_UPS", 4)
    alias = elastic.make_index(url)
    replica = Replica(url, alias)
    for number in range(9):
        replica.store.add(record(f"{number}", 1))
    replica.follower.follow()
    assert found(replica.store, 1) == [f"{number}" for number in range(9)]


def test_rows_of_images_long_gone_are_given_up(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follower, "GARBAGE_ROWS", 5)
    alias = elastic.make_index(url)
    replica = Replica(url, alias)
    for number in range(12):
        replica.store.add(record("busy", number))
        replica.follower.follow()
    assert replica.follower.memory.rows < 12
    assert (found(replica.store, 11), found(replica.store, 10)) == (["busy"], [])
