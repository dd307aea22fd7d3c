"""More requests than can be answered: a bounded number waits, the rest is told so, probes are answered."""

import contextlib
import resource
import select
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from match_service.keys import new
from pictures import jpeg
from serving import PROBES, Answer, Client, Server, server
from website import website

FULL = {
    "MATCH_THREADS": "2",
    "MATCH_QUEUE": "2",
    "MATCH_HEALTH_PORT": "0",
    "MATCH_FETCH_PRIVATE_HOSTS": "localhost",
    "MATCH_FETCH_TIMEOUT_SECONDS": "30",
}


def probes(running: Server) -> Client:
    """The port beside, which the log names."""
    (line,) = [line for line in running.log if PROBES in line]
    return Client(line.split(PROBES)[1].split(" as well")[0])


def test_beyond_the_queue_requests_get_503_at_once_while_probes_are_answered_and_all_recovers(
    tmp_path: Path,
) -> None:
    asked, release = threading.Semaphore(0), threading.Event()

    def picture(_: str) -> bytes:
        asked.release()
        release.wait(60)
        return jpeg(1)

    with (
        website(picture) as site,
        server(tmp_path, **FULL) as running,
        ThreadPoolExecutor(4) as threads,
    ):
        fields = [{"filepath": str(number), "url": f"{site}/1"} for number in range(4)]
        working = [threads.submit(running.form, "POST", "/add", field) for field in fields[:2]]
        for _ in working:
            assert asked.acquire(timeout=60)
        waiting = [threads.submit(running.form, "POST", "/add", field) for field in fields[2:]]
        _until_waiting(running, 2)
        refused = running.form("POST", "/search", files={"image": jpeg(2)})
        assert refused.status == 503
        assert refused.headers["Retry-After"] == "2"
        assert refused.error == "The service has more requests than it can answer; try again a little later."
        beside = probes(running)
        for client in (running, beside):
            assert [client.send("GET", path).status for path in ("/livez", "/readyz")] == [200, 200]
        assert b"match_overloads_total" in running.send("GET", "/metrics").body
        release.set()
        assert [each.result().status for each in (*working, *waiting)] == [200] * 4
        assert running.count() == 4


def _until_waiting(running: Server, count: int) -> None:
    deadline = time.monotonic() + 30
    while b"match_requests_waiting %d.0" % count not in running.send("GET", "/metrics").body:
        assert time.monotonic() < deadline


@contextlib.contextmanager
def _full(running: Server, head: str) -> Iterator[Answer]:
    """While a request that never ends has the one place: how another is turned away.

    It may come a moment before the last one has left, and is then turned away itself; another follows it.
    """
    host, port = running.url.removeprefix("http://").split(":")
    deadline = time.monotonic() + 30
    with contextlib.ExitStack() as stack:
        endless: socket.socket | None = None
        while time.monotonic() < deadline:
            if endless is None or select.select([endless], [], [], 0)[0]:
                endless = stack.enter_context(socket.create_connection((host, int(port))))
                endless.sendall(
                    f"POST /add HTTP/1.1\r\nHost: {host}\r\nContent-Length: 100\r\n{head}\r\n".encode()
                )
            answer = running.form("POST", "/search", files={"image": jpeg(2)})
            if answer.status == 503:
                yield answer
                return
    raise AssertionError("nobody was turned away")


def test_a_large_upload_that_is_turned_away_still_hears_why(tmp_path: Path) -> None:
    with server(tmp_path, MATCH_THREADS="1", MATCH_QUEUE="0", WORKER_COUNT="1") as running:
        with _full(running, "Content-Type: multipart/form-data; boundary=b\r\n"):
            answer = running.form("POST", "/search", files={"image": bytes(20_000_000)})
            assert (answer.status, answer.json["status"]) == (503, "fail")
        assert _served(running)


def test_who_is_turned_away_is_not_asked_for_a_key(tmp_path: Path) -> None:
    """To find out who asks may itself take time: that of an issuer which does not answer."""
    keys = tmp_path / "keys"
    keys.write_text(new("writer", "write")[1])
    settings = {
        "MATCH_THREADS": "1",
        "MATCH_QUEUE": "0",
        "WORKER_COUNT": "1",
        "MATCH_API_KEYS_FILE": str(keys),
    }
    with server(tmp_path, **settings) as running:
        assert running.send("GET", "/count").status == 401
        with _full(running, "") as refused:
            assert refused.headers["Retry-After"] == "2"


def _served(running: Server) -> bool:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if running.send("GET", "/count").status == 200:
            return True
    return False


@pytest.mark.parametrize("workers", ["1", "3"])
def test_the_port_for_probes_answers_nothing_else_and_goes_with_the_server(
    tmp_path: Path, workers: str
) -> None:
    settings = {"MATCH_HEALTH_PORT": "0", "WORKER_COUNT": workers, "MATCH_DRAIN_SECONDS": "2"}
    with server(tmp_path, **settings) as running:
        beside = probes(running)
        assert [beside.send("GET", "/livez").status for _ in range(20)] == [200] * 20
        assert beside.send("GET", "/readyz").result == [{"search": "memory", "documents": 0}]
        for path in ("/count", "/", "/metrics", "/add"):
            assert beside.send("GET", path).error == "There is no such path."
        running.process.terminate()
        while (ready := beside.send("GET", "/readyz")).status == 200:
            pass
        assert ready.error == "The service is shutting down."
        assert running.process.wait(40) == 0


def test_clients_that_say_nothing_do_not_keep_probes_from_being_answered(tmp_path: Path) -> None:
    with server(tmp_path, MATCH_HEALTH_PORT="0", MATCH_THREADS="1", MATCH_QUEUE="0") as running:
        host, port = running.url.removeprefix("http://").split(":")
        idle = [socket.create_connection((host, int(port))) for _ in range(200)]
        for each in idle:
            each.sendall(b"POST /add HTTP/1.1\r\n")
        assert probes(running).send("GET", "/readyz").status == 200
        for each in idle:
            each.close()


def test_more_connections_than_the_usual_limit_of_files_are_answered(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (128, hard))
    try:
        with server(tmp_path, MATCH_DECODE_PROCESSES="0") as running, contextlib.ExitStack() as kept:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            host, port = running.url.removeprefix("http://").split(":")
            for _ in range(300):
                client = kept.enter_context(socket.create_connection((host, int(port)), timeout=20))
                client.sendall(f"GET /livez HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
                assert client.recv(1024).startswith(b"HTTP/1.1 200 OK")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
