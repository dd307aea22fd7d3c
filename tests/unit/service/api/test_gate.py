"""So many are let in, so many wait their turn in order, and the rest is told to come back."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from flask import Flask, Response

from match_service.api import errors
from match_service.api.gate import Gate, admit


def _waiting(gate: Gate, count: int) -> None:
    """Return once so many wait."""
    deadline = time.monotonic() + 20
    while len(gate._waiting) != count:
        assert time.monotonic() < deadline


def test_a_place_goes_to_whoever_has_waited_longest_and_no_more_wait_than_may() -> None:
    gate = Gate(1, 2, seconds=20)
    assert gate.enter()
    order: list[int] = []

    def wait(number: int) -> None:
        assert gate.enter()
        order.append(number)

    with ThreadPoolExecutor(2) as threads:
        waiters: list[Future[None]] = []
        for number in range(2):
            waiters.append(threads.submit(wait, number))
            _waiting(gate, number + 1)
        assert not gate.enter()
        for waiter in waiters:
            gate.leave()
            waiter.result(20)
    assert order == [0, 1]
    gate.leave()
    assert gate.enter()


def test_who_waits_too_long_is_turned_away_and_holds_no_place() -> None:
    gate = Gate(1, 1, seconds=0.01)
    assert gate.enter()
    assert not gate.enter()
    gate.leave()
    assert gate.enter()


class _Torn:
    """An answer whose end fails, as one does that gives back what is gone meanwhile."""

    def __iter__(self) -> Iterator[bytes]:
        yield b"a"

    def close(self) -> None:
        raise ConnectionError


@pytest.fixture
def app() -> Any:
    """An application of one place and nobody waiting: /slow holds the place until it is released."""
    made = Flask(__name__)
    begun, release = threading.Event(), threading.Event()

    def slow() -> Response:
        def body() -> Any:
            yield b"a"
            begun.set()
            release.wait(20)
            yield b"b"

        return Response(body())

    def torn() -> Response:
        return Response(_Torn())

    made.add_url_rule("/slow", "slow", slow)
    made.add_url_rule("/torn", "torn", torn)
    made.add_url_rule("/quick", "quick", lambda: "quick")
    made.add_url_rule("/livez", "livez", lambda: "alive")
    made.add_url_rule("/broken", "broken", lambda: 1 / 0)
    errors.register(made)
    made.before_request(admit)
    Gate(1, 0).register(made)
    return made, begun, release


def test_a_full_service_says_503_and_when_to_come_back_and_still_answers_probes(app: Any) -> None:
    made, begun, release = app
    with ThreadPoolExecutor(1) as threads:
        slow = threads.submit(lambda: made.test_client().get("/slow", buffered=True).data)
        assert begun.wait(20)  # its first byte was sent, and it still holds its place
        refused = made.test_client().get("/quick", buffered=True)
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "2")
        assert refused.json["status"] == "fail"
        assert refused.json["error"] == [
            "The service has more requests than it can answer; try again a little later."
        ]
        assert made.test_client().get("/livez", buffered=True).data == b"alive"
        release.set()
        assert slow.result(20) == b"ab"
    assert made.test_client().get("/quick", buffered=True).data == b"quick"


def test_a_request_that_fails_gives_its_place_back(app: Any) -> None:
    client = app[0].test_client()
    assert [client.get("/broken", buffered=True).status_code for _ in range(3)] == [500] * 3
    assert client.get("/quick", buffered=True).status_code == 200


def test_an_answer_that_cannot_be_closed_gives_its_place_back(app: Any) -> None:
    client = app[0].test_client()
    with pytest.raises(ConnectionError):
        client.get("/torn", buffered=True)
    assert client.get("/quick", buffered=True).status_code == 200


def test_whoever_is_turned_away_writes_no_line_of_their_own_into_the_log(
    app: Any, caplog: pytest.LogCaptureFixture
) -> None:
    made, begun, release = app
    with ThreadPoolExecutor(1) as threads:
        slow = threads.submit(lambda: made.test_client().get("/slow", buffered=True).data)
        assert begun.wait(20)
        assert made.test_client().get("/x%0AERROR%20forged", buffered=True).status_code == 503
        release.set()
        slow.result(20)
    [said] = [record.getMessage() for record in caplog.records if "forged" in record.getMessage()]
    assert len(said.splitlines()) == 1
