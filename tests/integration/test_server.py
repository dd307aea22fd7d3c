"""The real process: how it starts, what it says when it cannot, and how it stops without losing a request."""

import contextlib
import json
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import urllib3

from pictures import jpeg
from serving import Client, Server, environment, server
from website import website

FORM = b"Content-Type: application/x-www-form-urlencoded\r\n"


def _run(folder: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "match_service", "serve"]
    environ = environment(folder, **settings)
    return subprocess.run(
        command, env=environ, cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )


def test_in_an_empty_folder_it_serves_with_nothing_configured(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    environ = environment(tmp_path, PORT=port)
    del environ["MATCH_DATA"]
    script = shutil.which("match-service", path=str(Path(sys.executable).parent))
    assert script
    with subprocess.Popen(
        [script, "serve"], env=environ, cwd=tmp_path, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr
        line = process.stderr.readline()
        assert f"http://127.0.0.1:{port}" in line
        assert str(tmp_path / "match.db") in line
        client = Client(f"http://127.0.0.1:{port}")
        retry = urllib3.Retry(connect=50, backoff_factor=0.05, backoff_max=0.2)
        urllib3.PoolManager(retries=retry).request("GET", client.url + "/readyz")
        assert client.add("a", jpeg(1)).status == 200
        process.terminate()
    assert (process.returncode, (tmp_path / "match.db").exists()) == (0, True)


def test_images_are_still_there_after_a_restart(tmp_path: Path) -> None:
    with server(tmp_path) as first:
        first.add("a", jpeg(1), metadata="[1]")
        assert first.terminate() == 0
    with server(tmp_path) as second:
        assert second.search(jpeg(1)) == [{"score": 100.0, "filepath": "a", "metadata": [1]}]


@pytest.mark.parametrize(
    ("settings", "code", "sentence"),
    [
        ({"PORT": "x"}, 2, "match-service: PORT must be a whole number from 0 to 65535, not 'x'.\n"),
        (
            {"MATCH_ENGINE": "x"},
            1,
            "match-service: MATCH_ENGINE is 'x'; it can be native, fast or reference.\n",
        ),
        ({"MATCH_HOST": "192.0.2.1", "MATCH_AUTH": "open"}, 1, "Cannot listen on 192.0.2.1 port 0"),
        ({"MATCH_HOST": "10.0.0.1"}, 1, "listens on loopback only, not on 10.0.0.1: set MATCH_API_KEYS_FILE"),
        ({"MATCH_HOST": "::"}, 1, "listens on loopback only, not on ::"),
        ({"MATCH_API_KEYS_FILE": "none"}, 1, "The file of API keys none cannot be read."),
        ({"MATCH_AUTH": "closed"}, 2, "MATCH_AUTH must be open, not 'closed'."),
        ({"MATCH_RATE_LIMIT": "many"}, 2, "MATCH_RATE_LIMIT must be like 100/minute or 5/second"),
        ({"MATCH_DATA": "no/such/folder/match.db"}, 1, "no/such/folder"),
    ],
)
def test_what_it_cannot_start_with_is_one_sentence(
    tmp_path: Path, settings: dict[str, str], code: int, sentence: str
) -> None:
    ended = _run(tmp_path, **settings)
    assert ended.returncode == code
    assert sentence in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_a_port_in_use_is_one_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        ended = _run(tmp_path, PORT=port)
    assert ended.returncode == 1
    assert ended.stderr == (
        f"match-service: Port {port} of 127.0.0.1 is in use by another program; set PORT to a free one.\n"
    )


def test_a_mapping_type_is_accepted_and_said_to_be_ignored(tmp_path: Path) -> None:
    with server(tmp_path, ELASTICSEARCH_DOC_TYPE="images") as running:
        assert "ELASTICSEARCH_DOC_TYPE is ignored" in "".join(running.log)


def test_on_sigterm_it_is_unready_first_finishes_what_it_has_and_exits_with_0(tmp_path: Path) -> None:
    asked, release = threading.Event(), threading.Event()

    def picture(_: str) -> bytes:
        asked.set()
        release.wait(20)
        return jpeg(1)

    settings = {"MATCH_FETCH_PRIVATE_HOSTS": "localhost", "MATCH_DRAIN_SECONDS": "2"}
    with website(picture) as site, server(tmp_path, **settings) as running, ThreadPoolExecutor(1) as threads:
        slow = threads.submit(running.form, "POST", "/add", {"filepath": "a", "url": f"{site}/1"})
        assert asked.wait(20)
        running.process.terminate()
        while (ready := running.send("GET", "/readyz")).status == 200:
            pass
        assert ready.error == "The service is shutting down."
        assert running.send("GET", "/livez").status == 200
        assert running.count() == 0
        release.set()
        assert slow.result().status == 200
        assert running.process.wait(40) == 0


def test_no_request_is_lost_while_it_stops(tmp_path: Path) -> None:
    """Clients with kept-alive and with fresh connections, until a probe sees that it is not ready."""
    with server(tmp_path, WORKER_COUNT="2", MATCH_DRAIN_SECONDS="2") as running:
        running.add("a", jpeg(1))
        served, unready = threading.Semaphore(0), threading.Event()
        with ThreadPoolExecutor(4) as threads:
            hammers = [
                threads.submit(_hammer, running, served, unready, fresh) for fresh in (True, False) * 2
            ]
            for _ in range(50):
                served.acquire()
            running.process.terminate()
            while running.send("GET", "/readyz").status == 200:
                served.acquire()
            unready.set()
            assert [failure for hammer in hammers for failure in hammer.result()] == []
        assert running.process.wait(40) == 0


def _hammer(running: Server, served: threading.Semaphore, unready: threading.Event, fresh: bool) -> list[str]:
    """Search as a load balancer's clients would; what went wrong."""
    client = Client(running.url)
    while not unready.is_set():
        try:
            answer = client.form("POST", "/search", files={"image": jpeg(1)})
        except urllib3.exceptions.HTTPError as error:
            return [repr(error)]
        finally:
            served.release()
        if answer.status != 200:
            return [str(answer.status)]
        if fresh:
            client = Client(running.url)
    return []


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"NONSENSE\r\n\r\n", 400),
        (b"GET /count HTTP/9.9\r\n\r\n", 400),
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n\r\n", 414),
        (b"GET /count HTTP/1.1\r\n" + b"X: y\r\n" * 200 + b"\r\n", 431),
        (b"POST /add HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST /add HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" + FORM + b"\r\nzz\r\nbad", 400),
    ],
)
def test_what_is_not_even_http_is_answered_in_the_envelope(shared: Server, sent: bytes, status: int) -> None:
    head, _, body = _raw(shared, sent).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert b"Content-Type: application/json" in head
    assert json.loads(body)["status"] == "fail"
    assert shared.count() == 0


def test_a_client_that_leaves_in_the_middle_harms_nobody(shared: Server) -> None:
    form = b"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 1000\r\n\r\n"
    _raw(shared, b"POST /add HTTP/1.1\r\n" + form + b"--b\r\nContent-Disp")
    assert shared.count() == 0
    assert "Traceback" not in "".join(shared.log)


def test_a_form_whose_end_has_not_come_is_not_acted_on(shared: Server) -> None:
    shared.add("a", jpeg(1))
    head = b"DELETE /delete HTTP/1.1\r\nContent-Length: 12\r\n" + FORM
    answer = _raw(shared, head + b"\r\nfilepath=a")
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"The body ended before its Content-Length." in answer
    assert shared.list() == ["a"]
    shared.delete("a")


def test_clients_that_do_not_close_when_they_are_told_to_keep_nobody_waiting(tmp_path: Path) -> None:
    """Each is waited for, for 2 seconds, but by nobody whom others need."""
    with server(tmp_path) as running, contextlib.ExitStack() as kept:
        host, port = running.url.removeprefix("http://").split(":")
        asked = f"GET /livez HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
        begun = time.monotonic()
        for _ in range(20):
            client = kept.enter_context(socket.create_connection((host, int(port)), timeout=20))
            client.sendall(asked)
            assert client.recv(1024).startswith(b"HTTP/1.1 200 OK")
        assert time.monotonic() - begun < 10


def test_a_chunked_body_without_a_length_is_read(shared: Server) -> None:
    body = b"filepath=never+added"
    answer = _raw(
        shared,
        b"DELETE /delete HTTP/1.1\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n"
        b"%s\r\n%x\r\n%s\r\n0\r\n\r\n" % (FORM, len(body), body),
    )
    assert answer.startswith(b"HTTP/1.1 200 ")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with server(tmp_path_factory.mktemp("service")) as running:
        yield running


def _raw(running: Server, sent: bytes) -> bytes:
    """All bytes that come back for ``sent`` until the server closes, with our side closed after sending."""
    host, port = running.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as sock:
        sock.sendall(sent)
        sock.shutdown(socket.SHUT_WR)
        received = b""
        while data := sock.recv(65536):
            received += data
        return received
