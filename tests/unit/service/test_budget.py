"""So many bytes of images are held at a time, and no more, whichever way they come."""

import io
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from match_service import budget, engine
from match_service.app import create_app
from match_service.budget import Budget, sharing, take
from match_service.errors import OverloadedError
from match_service.fetch import Fetcher
from match_service.matcher import LocalDecoder
from match_service.settings import FetchLimits, Settings
from match_service.store.embedded import EmbeddedStore
from pictures import jpeg
from website import website

SIZE = 100_000
PRIVATE = FetchLimits(private_hosts=frozenset({"localhost"}), max_bytes=SIZE // 2)


def large(seed: int) -> bytes:
    """An image of two fifths of all that may be held."""
    return jpeg(seed).ljust(SIZE * 2 // 5, b"\0")


class Held(LocalDecoder):
    """Tells of each image that it has begun with, and goes on when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = threading.Semaphore(0)
        self.release = threading.Event()

    def signature(self, data: bytes) -> Any:
        self.begun.release()
        self.release.wait(30)
        return engine.signature(data)


@pytest.fixture
def decoder() -> Held:
    return Held()


@pytest.fixture
def app(tmp_path: Path, decoder: Held, monkeypatch: pytest.MonkeyPatch) -> Iterator[Flask]:
    monkeypatch.setattr(budget, "LEAST_BYTES", SIZE)
    settings = Settings(max_body_bytes=SIZE // 2, fetch=PRIVATE)
    store = EmbeddedStore.open(tmp_path / "match.db")
    yield create_app(settings, store, decoder=decoder)
    store.close()


def test_what_is_taken_waits_for_what_is_given_back() -> None:
    images = Budget(10)
    images.take(8, 0)
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(images.take, 4, 30)
        images.give(8)
        waiting.result(30)
    with pytest.raises(OverloadedError, match="holds as many images as it can"):
        images.take(7, 0)
    images.take(6, 0)


def test_the_end_gives_back_what_was_taken_within_and_no_more() -> None:
    images = Budget(10)
    with sharing(images):
        take(4)
        with sharing():
            take(6)
        take(6)
        with pytest.raises(OverloadedError):
            take(1, time.monotonic())
    images.take(10, 0)


def test_without_a_budget_nothing_is_counted() -> None:
    with sharing():
        take(10**15)


def test_a_limit_leaves_room_for_two_of_the_largest() -> None:
    Budget.beside(1).take(budget.LEAST_BYTES, 0)
    Budget.beside(1, budget.LEAST_BYTES).take(2 * budget.LEAST_BYTES, 0)


def _add(app: Flask, seed: int) -> Any:
    return app.test_client().post(
        "/add", data={"filepath": str(seed), "image": (io.BytesIO(large(seed)), "x")}
    )


def test_an_upload_that_finds_no_room_is_told_to_come_back(
    app: Flask, decoder: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ThreadPoolExecutor(2) as threads:
        working = [threads.submit(_add, app, seed) for seed in range(2)]
        for _ in working:
            assert decoder.begun.acquire(timeout=30)
        monkeypatch.setattr(budget, "WAIT_SECONDS", 0.01)
        refused = _add(app, 2)
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "2")
        decoder.release.set()
        assert [each.result().status_code for each in working] == [200, 200]
    assert [_add(app, seed).status_code for seed in range(2, 6)] == [200] * 4


def test_the_images_of_a_batch_give_their_room_to_those_that_follow(app: Flask, decoder: Held) -> None:
    decoder.release.set()
    with website(lambda name: large(int(name))) as site:
        fields = {f"urls[{n}]": f"{site}/{n}" for n in range(8)} | {
            f"filepaths[{n}]": str(n) for n in range(8)
        }
        answer = app.test_client().post("/add", data=fields)
    assert (answer.status_code, answer.json["status"]) == (200, "ok")


def test_what_is_fetched_counts_until_the_request_is_over() -> None:
    images = Budget(SIZE)
    fetcher = Fetcher(FetchLimits(timeout=1.0, private_hosts=frozenset({"localhost"})))
    with website(lambda name: large(int(name))) as site:
        with sharing(images):
            assert [len(fetcher.fetch(f"{site}/{n}")) for n in range(2)] == [SIZE * 2 // 5] * 2
            with pytest.raises(OverloadedError):
                fetcher.fetch(f"{site}/2")
        with sharing(images):
            assert fetcher.fetch(f"{site}/2") == large(2)
