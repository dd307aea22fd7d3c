"""Small writes that come together are one write, and an error is told to whom it concerns."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from match_service.errors import StoreUnavailableError
from match_service.store.together import Together


class Disk:
    """Holds its first write back until three more have come, and then refuses what ``refuses`` says."""

    def __init__(self, refuses: Callable[[Sequence[str]], Exception | None]) -> None:
        self.writes: list[list[str]] = []
        self._refuses = refuses
        self._first = threading.Event()
        self._go = threading.Event()
        self._together = Together(self._write)

    def _write(self, items: Sequence[str]) -> None:
        self.writes.append(sorted(items))
        if not self._first.is_set():
            self._first.set()
            self._go.wait(30)
        elif error := self._refuses(items):
            raise error

    def put(self, items: str) -> list[str]:
        """Put them while another is being written; what became of each."""
        with ThreadPoolExecutor(len(items) + 1) as pool:
            first = pool.submit(self._together.put, "first")
            self._first.wait(30)
            others = [pool.submit(self._together.put, item) for item in items]
            while len(self._together._waiting) < len(items):
                pass
            self._go.set()
            first.result()
            return [type(other.exception()).__name__ for other in others]


def test_of_items_that_come_together_only_the_one_to_blame_fails() -> None:
    disk = Disk(lambda items: ValueError() if "b" in items else None)
    assert disk.put("abc") == ["NoneType", "ValueError", "NoneType"]
    assert disk.writes[1] == ["a", "b", "c"]


def test_a_store_that_is_away_is_asked_once_for_all_that_wait() -> None:
    disk = Disk(lambda _: StoreUnavailableError("The file is locked."))
    assert disk.put("abc") == ["StoreUnavailableError"] * 3
    assert disk.writes == [["first"], ["a", "b", "c"]]


@pytest.mark.parametrize("count", [1, 5])
def test_each_item_is_written_once(count: int) -> None:
    disk = Disk(lambda _: None)
    disk.put("abcde"[:count])
    assert sorted(item for write in disk.writes for item in write) == [*"abcde"[:count], "first"]
