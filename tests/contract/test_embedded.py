"""What only the embedded store promises: a file that survives crashes and that processes share."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from match_service.errors import StoreUnavailableError
from match_service.model import Record
from match_service.store import database, embedded, memory
from match_service.store.embedded import EmbeddedStore
from numbered import found, record

# Another process: adds images as told on stdin or endlessly, and says which are acknowledged.
WORKER = """
import sys
import numpy as np
from match_service.engine.layout import HALF, from_half
from match_service.model import Record
from match_service.store.embedded import EmbeddedStore

store = EmbeddedStore.open(sys.argv[1])
name, first, last = sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
for n in range(first, last):
    signature = from_half(np.random.default_rng(n).choice([-2, -1, 1, 2], len(HALF)).astype(np.int8))
    store.add(Record(f"{name}/{n}", signature, "0" * 64, {"n": n}))
    print(n, flush=True)
print("count", store.count(), flush=True)
sys.stdin.read()
store.close()
"""


def worker(path: Path, name: str, first: int, last: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WORKER, str(path), name, str(first), str(last)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "match.db"


@pytest.fixture
def store(path: Path) -> Iterator[EmbeddedStore]:
    opened = EmbeddedStore.open(path)
    yield opened
    opened.close()


def test_nothing_acknowledged_is_lost_when_writers_are_killed(path: Path) -> None:
    acknowledged: list[int] = []
    for start in (0, 100_000, 200_000):
        with worker(path, "w", start, start + 100_000) as process:
            assert process.stdout is not None
            for line in process.stdout:
                acknowledged.append(int(line))
                if len(acknowledged) % 40 == 0:
                    break
            process.send_signal(signal.SIGKILL)
            # What it said between our last look and its death counts too.
            acknowledged += [int(line) for line in process.stdout]
    store = EmbeddedStore.open(path)
    # The one write that was under way may have been finished without a word each time.
    assert len(acknowledged) <= store.count() <= len(acknowledged) + 3
    for number in acknowledged:
        assert found(store, number) == [f"w/{number}"]
    store.close()
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


def test_processes_see_each_other_s_writes(path: Path, store: EmbeddedStore) -> None:
    store.add(record("ours", 1))
    with worker(path, "theirs", 10, 15) as process:
        assert process.stdout is not None
        for number in range(10, 15):
            assert process.stdout.readline() == f"{number}\n"
            assert found(store, number) == [f"theirs/{number}"]
        assert process.stdout.readline() == "count 6\n"
        store.delete("theirs/10")
        store.add(record("theirs/11", 99))
    assert (found(store, 10), found(store, 11), found(store, 99)) == ([], [], ["theirs/11"])
    assert store.count() == 5


def test_many_processes_write_at_once_and_none_fails(path: Path) -> None:
    processes = [worker(path, f"p{n}", 1000 * n, 1000 * n + 60) for n in range(4)]
    for process in processes:
        process.communicate("", timeout=120)
        assert process.returncode == 0
    store = EmbeddedStore.open(path)
    assert store.count() == 240
    assert found(store, 3059) == ["p3/3059"]
    store.close()


def test_a_second_store_in_the_process_follows_overwrites_and_deletes(
    path: Path, store: EmbeddedStore
) -> None:
    other = EmbeddedStore.open(path)
    store.add(record("a", 1))
    assert found(other, 1) == ["a"]
    store.add(record("a", 2))
    assert (found(other, 1), found(other, 2), other.count()) == ([], ["a"], 1)
    other.delete("a")
    assert (found(store, 2), store.count()) == ([], 0)
    other.close()


def test_who_missed_more_removals_than_are_listed_reads_everything_anew(
    path: Path, store: EmbeddedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "KEPT_REMOVALS", 3)
    other = EmbeddedStore.open(path)
    for number in range(10):
        store.add(record(f"image {number}", number))
    assert other.count() == 10
    for number in range(9):
        store.delete(f"image {number}")
    assert other.count() == 1
    assert (found(other, 0), found(other, 9)) == ([], ["image 9"])
    other.close()


def test_rows_survive_the_compaction_of_memory(store: EmbeddedStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "COMPACT_ROWS", 4)
    for number in range(12):
        store.add(record(f"image {number}", number))
    for number in range(0, 12, 2):
        store.delete(f"image {number}")
    store.add(record("image 1", 1))
    assert store.count() == 6
    assert [found(store, number) for number in range(12)] == [
        [f"image {number}"] if number % 2 else [] for number in range(12)
    ]


def test_a_batch_is_kept_whole_or_not_at_all(store: EmbeddedStore) -> None:
    impossible = np.ones(648, dtype=np.int8)
    with pytest.raises(ValueError, match="No image has this signature"):
        store.add_many([record("a", 1), Record("b", impossible, "0" * 64)])
    with pytest.raises(UnicodeEncodeError):
        store.add_many([record("a", 1), record("\ud800", 2)])
    assert store.count() == 0
    store.add_many([record("a", 1), record("b", 2), record("a", 3)])
    assert (store.count(), found(store, 1), found(store, 3)) == (2, [], ["a"])
    store.add_many([])


def test_threads_share_waits_for_the_disk_and_only_the_bad_record_fails(
    path: Path, store: EmbeddedStore
) -> None:
    impossible = Record("bad", np.ones(648, dtype=np.int8), "0" * 64)
    adds = [record(f"image {number}", number) for number in range(200)]
    adds[100:100] = [impossible]
    commits: list[str] = []
    store._database._writer.set_trace_callback(
        lambda text: commits.append(text) if text == "COMMIT" else None
    )
    with ThreadPoolExecutor(16) as pool:
        results = list(pool.map(lambda each: _outcome(store, each), adds))
    assert [result for result in results if result] == ["ValueError"]
    assert (store.count(), found(store, 199)) == (200, ["image 199"])
    assert len(commits) < 150


def _outcome(store: EmbeddedStore, added: Record) -> str:
    try:
        store.add(added)
    except ValueError as error:
        return type(error).__name__
    return ""


def test_everything_is_there_after_reopening(path: Path) -> None:
    first = EmbeddedStore.open(path)
    first.add(record("a", 1))
    first.close()
    assert [p.name for p in path.parent.iterdir()] == ["match.db"]
    again = EmbeddedStore.open(str(path))
    assert (again.count(), found(again, 1)) == (1, ["a"])
    again.close()


def test_threads_that_open_a_new_file_together_all_succeed(path: Path) -> None:
    failures: list[BaseException] = []

    def open_and_add(number: int) -> None:
        try:
            opened = EmbeddedStore.open(path)
            opened.add(record(str(number), number))
            opened.close()
        except BaseException as error:  # noqa: BLE001 - reported below
            failures.append(error)

    threads = [threading.Thread(target=open_and_add, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    store = EmbeddedStore.open(path)
    assert store.count() == 8
    store.close()


def test_a_newer_file_is_refused(path: Path) -> None:
    EmbeddedStore.open(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {database.SCHEMA_VERSION + 1}")
    connection.close()
    with pytest.raises(StoreUnavailableError, match=r"written by a newer version: its schema is 2"):
        EmbeddedStore.open(path)


def test_another_program_s_database_is_refused_and_left_alone(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE bookmarks (url)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(StoreUnavailableError, match="another program's database"):
        EmbeddedStore.open(path)
    assert path.read_bytes() == before


def test_a_file_that_is_no_database_is_refused_and_left_alone(path: Path) -> None:
    path.write_text(json.dumps({"some": "file"}) * 100)
    with pytest.raises(StoreUnavailableError, match="it is no database at all"):
        EmbeddedStore.open(path)
    assert path.read_text().startswith('{"some"')


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailableError, match=r"the folder .*/nowhere does not exist"):
        EmbeddedStore.open(tmp_path / "nowhere" / "match.db")


def test_writing_to_a_file_that_was_taken_away_is_refused(path: Path, store: EmbeddedStore) -> None:
    store.add(record("a", 1))
    path.unlink()
    with pytest.raises(StoreUnavailableError, match="removed or replaced"):
        store.add(record("b", 2))
    with pytest.raises(StoreUnavailableError, match="removed or replaced"):
        store.check()


def test_a_lock_that_is_never_given_back_is_named(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.1)
    store = EmbeddedStore.open(path)
    hog = sqlite3.connect(path, isolation_level=None)
    hog.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailableError, match="locked by another process"):
        store.add(record("a", 1))
    assert store.count() == 0  # readers are not held up
    hog.execute("ROLLBACK")
    hog.close()
    store.add(record("a", 1))
    assert store.count() == 1
    store.close()


def test_a_closed_store_says_so(path: Path) -> None:
    store = EmbeddedStore.open(path)
    store.close()
    with pytest.raises(StoreUnavailableError):
        store.count()
    with pytest.raises(StoreUnavailableError):
        store.add(record("a", 1))
