"""A client that is too slow loses its connection; one that is held up by the service does not."""

import contextlib
import socket
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, request
from gunicorn.config import Config
from gunicorn.glogging import Logger
from gunicorn.workers.gthread import TConn

from match_service import app, server
from match_service.keys import new
from match_service.receiving import GRACE_SECONDS, SILENCE_SECONDS, Receiver
from match_service.settings import Settings
from match_service.store.embedded import EmbeddedStore


class Line:
    """A socket over which ``sent`` comes every ``pause`` seconds, of a clock that only it moves."""

    def __init__(self, pause: float, sent: bytes = b"x") -> None:
        self.pause = pause
        self.sent = sent
        self.now = 1000.0
        self.timeout = 0.0

    def settimeout(self, seconds: float) -> None:
        self.timeout = seconds

    def recv(self, size: int) -> bytes:
        self.now += min(self.pause, self.timeout)
        if self.pause > self.timeout:
            raise TimeoutError
        return self.sent[:size]

    def receiver(self) -> Receiver:
        return Receiver(self, clock=lambda: self.now)  # type: ignore[arg-type]


def taken(receiver: Receiver, line: Line, times: int = 1000) -> float:
    """Seconds until nothing more was received, which must be before so many times."""
    began = line.now
    for _ in range(times):
        if not receiver.recv(8192):
            return line.now - began
    raise AssertionError("the client was not given up")


@pytest.mark.parametrize("pause", [0.1, 1.0, 29.0, 31.0])
def test_a_client_that_sends_a_byte_now_and_then_is_given_up(pause: float) -> None:
    line = Line(pause)
    receiver = line.receiver()
    assert taken(receiver, line) <= GRACE_SECONDS
    line = Line(pause)
    receiver = line.receiver()
    receiver.begin_body()
    assert taken(receiver, line) <= GRACE_SECONDS + 1


def test_a_body_may_take_the_longer_the_more_has_come_and_a_head_may_not() -> None:
    line = Line(1.0, bytes(8192))
    receiver = line.receiver()
    receiver.begin_body()
    assert [len(receiver.recv(8192)) for _ in range(1000)] == [8192] * 1000
    receiver.begin()
    assert taken(receiver, line) <= GRACE_SECONDS


def test_the_time_that_the_service_takes_between_is_not_held_against_the_client() -> None:
    line = Line(0.01)
    receiver = line.receiver()
    receiver.begin_body()
    for _ in range(100):
        assert receiver.recv(1) == b"x"
        line.now += 1000


def test_each_request_of_a_connection_has_its_own_time() -> None:
    line = Line(20.0)
    receiver = line.receiver()
    for _ in range(5):
        receiver.begin()
        assert receiver.recv(1) == b"x"
        receiver.begin_body()
        assert receiver.recv(1) == b"x"


def test_the_rest_of_a_request_may_be_given_a_bound_of_its_own() -> None:
    line = Line(0.5)
    receiver = line.receiver()
    receiver.begin_body()
    receiver.end_within(2)
    assert taken(receiver, line) == 2
    line = Line(0.5)
    receiver = line.receiver()
    receiver.end_within(2)
    receiver.begin()
    assert taken(receiver, line) == GRACE_SECONDS


def test_a_timeout_bounds_all_that_is_received_and_gives_nobody_up() -> None:
    line = Line(0.5)
    receiver = line.receiver()
    receiver.begin_body()
    receiver.settimeout(2)
    assert receiver.gettimeout() == 2
    assert [receiver.recv(1) for _ in range(4)] == [b"x"] * 4
    with pytest.raises(TimeoutError):
        receiver.recv(1)
    receiver.settimeout(None)
    assert receiver.recv(1) == b"x"
    receiver.settimeout(0.1)
    with pytest.raises(TimeoutError):
        receiver.recv(1)
    assert not receiver.given_up


def test_sending_waits_as_long_as_for_a_silent_client() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        receiver = Receiver(ours, grace=0.01)
        assert receiver.recv(1) == b""
        assert ours.gettimeout() == SILENCE_SECONDS
        theirs.sendall(b"late")
        assert receiver.recv(1) == b""


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """What a worker makes of a connection: its future and the client's socket; who is slow has 0.2 s."""
    monkeypatch.setattr(server, "Receiver", partial(Receiver, grace=0.2))
    cfg = Config()
    cfg.set("keepalive", 60)
    with contextlib.ExitStack() as end:
        listener = end.enter_context(socket.create_server(("127.0.0.1", 0)))
        threads = end.enter_context(ThreadPoolExecutor(1))

        def serve(wsgi: Any) -> tuple["Future[Any]", socket.socket]:
            client = end.enter_context(socket.create_connection(listener.getsockname(), timeout=20))
            worker = server.Worker(0, 0, [], None, 60, cfg, Logger(cfg))
            end.callback(worker.tmp.close)
            worker.wsgi = wsgi
            ours, address = listener.accept()
            end.enter_context(ours)
            conn = TConn(cfg, ours, address, listener.getsockname())
            client.sendall(b"P")
            return threads.submit(worker.handle, conn), client

        yield serve


def _answer(client: socket.socket) -> bytes:
    """All that comes until the server closes the connection; then we do."""
    received = b""
    with client:
        while data := client.recv(65536):
            received += data
    return received


def _body() -> bytes:
    return request.stream.read()


def test_a_client_that_falls_silent_in_the_head_of_a_request_loses_the_connection(served: Any) -> None:
    handled, client = served(Flask("never asked"))
    assert _answer(client) == b""
    assert handled.result(20) is False


def test_a_client_that_falls_silent_in_a_body_is_served_nothing_more(served: Any) -> None:
    echo = Flask("echo")
    echo.add_url_rule("/", "echo", _body, methods=["POST"])
    handled, client = served(echo)
    client.sendall(b"OST / HTTP/1.1\r\nContent-Length: 100\r\n\r\nbegun")
    assert _answer(client).endswith(b"\r\n\r\nbegun")
    assert handled.result(20) is False


def test_a_client_that_is_refused_keeps_nobody_waiting_for_the_body_it_announced(
    served: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "Receiver", Receiver)
    monkeypatch.setattr(app, "DISCARD_SECONDS", 0.2)
    (tmp_path / "keys").write_text(new("reader", "read")[1])
    settings = Settings(keys_file=tmp_path / "keys")
    store = EmbeddedStore.open(tmp_path / "match.db")
    handled, client = served(app.create_app(settings, store))
    client.sendall(b"OST /search HTTP/1.1\r\nContent-Length: 1000000\r\n\r\nbegun")
    assert _answer(client).startswith(b"HTTP/1.1 401 ")
    assert handled.result(20) is False
    store.close()
