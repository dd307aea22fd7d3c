"""No acknowledged change is lost when the power is cut or the service killed; and the loss would be seen."""

import os
import random
from pathlib import Path

import pytest

import killing
import power_cut
from disk import SECTOR, Disk, Event
from power_cut import Promises, Recording, Reopening

REPLAYS = int(os.environ.get("DURABILITY_REPLAYS", "200"))
KILLS = int(os.environ.get("DURABILITY_KILLS", "5"))
SEED = 20


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """A run of the store as it is."""
    return power_cut.record(tmp_path_factory.mktemp("run"), 800)


def test_a_power_cut_loses_no_acknowledged_change(recording: Recording, tmp_path: Path) -> None:
    assert power_cut.replays(recording, REPLAYS, SEED, Reopening(tmp_path)) == []


def test_were_the_disk_not_waited_for_the_loss_would_be_seen(recording: Recording, tmp_path: Path) -> None:
    assert power_cut.replays(recording.without_syncs(), 20, SEED, Reopening(tmp_path))


def test_were_the_folder_not_waited_for_the_loss_would_be_seen(recording: Recording, tmp_path: Path) -> None:
    cut = recording.without_syncs(of_folder=True)
    assert power_cut.replays(cut, 20, SEED, Reopening(tmp_path))


@pytest.mark.parametrize("synchronous", ["NORMAL", "OFF"])
def test_were_sqlite_told_to_wait_less_the_loss_would_be_seen(tmp_path: Path, synchronous: str) -> None:
    (tmp_path / "run").mkdir()
    hasty = power_cut.record(tmp_path / "run", 200, synchronous=synchronous)
    assert power_cut.replays(hasty, 20, SEED, Reopening(tmp_path))


def test_a_service_killed_at_any_moment_has_all_it_acknowledged_when_it_is_back(tmp_path: Path) -> None:
    result = killing.kill_often(tmp_path, KILLS, SEED)
    assert result.lost == []
    assert result.refused == []
    assert result.acknowledged > KILLS


FOLDER, FILE = 1, 2


def disk(*happened: tuple[str, int, int, str, bytes]) -> Disk:
    """A disk to which this happened: kind, inode, offset, names, data."""
    made = Disk(FOLDER)
    for kind, inode, offset, name, data in happened:
        made.happen(Event(kind, 0, inode, offset, name, data))
    return made


CREATED = ("C", FILE, 0, "a", b"")
SYNCED = [
    ("S", FILE, 0, "", b""),
    ("s", FILE, 0, "", b""),
    ("S", FOLDER, 0, "", b""),
    ("s", FOLDER, 0, "", b""),
]


def states(cut: Disk) -> set[bytes | None]:
    """Contents of the file "a" after many power cuts, None where there is none."""
    chance = random.Random(1)
    return {cut.lost_power(chance).get("a") for _ in range(200)}


def test_what_was_synced_is_there_and_what_was_not_may_be() -> None:
    synced = disk(CREATED, ("W", FILE, 0, "", b"old"), *SYNCED)
    assert states(synced) == {b"old"}
    synced.happen(Event("W", 0, FILE, 3, "", b"new"))
    assert states(synced) == {b"old", b"oldnew"}
    synced.happen(Event("T", 0, FILE, 1, "", b""))
    assert states(synced) == {b"old", b"oldnew", b"o"}
    assert synced.whole() == {"a": b"o"}


def test_a_file_is_lost_with_its_name_and_may_come_back_when_its_removal_is_not_sure() -> None:
    unnamed = disk(CREATED, ("W", FILE, 0, "", b"x"), *SYNCED[:2])
    assert states(unnamed) == {None, b"x"}
    removed = disk(CREATED, ("W", FILE, 0, "", b"x"), *SYNCED, ("U", 0, 0, "a", b""))
    assert states(removed) == {None, b"x"}


def test_what_is_written_while_a_sync_runs_is_not_sure() -> None:
    begun, ended, *folder = SYNCED
    late = disk(CREATED, begun, ("W", FILE, 0, "", b"x"), ended, *folder)
    assert states(late) == {b"", b"x"}


def test_writes_are_torn_at_sectors_and_reordered() -> None:
    torn = disk(CREATED, ("W", FILE, 0, "", b"1" * SECTOR + b"2" * SECTOR), *SYNCED[2:])
    assert {state[:1] + state[-1:] for state in states(torn) if state} == {b"11", b"12", b"\0" + b"2"}


def test_a_change_that_was_not_answered_is_there_whole_or_not_at_all() -> None:
    promises = Promises({"a": 1, "b": None}, {"x": {"c": 5, "d": 6}})
    assert promises.broken({"a": 1}) == promises.broken({"a": 1, "c": 5, "d": 6}) == []
    assert promises.broken({"a": 2}) == ["a is 2, but 1 was acknowledged"]
    assert promises.broken({}) == ["a is None, but 1 was acknowledged"]
    assert promises.broken({"a": 1, "b": 3}) == ["b is 3, but None was acknowledged"]
    assert len(promises.broken({"a": 1, "c": 5})) == 1
