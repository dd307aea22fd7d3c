"""The real server process and a plain client, for tests that see the service as a user does."""

import contextlib
import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import urllib3

from labcluster import processes

START_SECONDS = 60
MIDDLE = "Serving the Match API on "
PROBES = "Probes are answered on "
Files = Mapping[str, bytes]


@dataclass(frozen=True)
class Answer:
    """What came back for one request."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body, parse_constant=_refuse)

    @property
    def result(self) -> list[Any]:
        """The result of an answer that must be ok."""
        envelope = self.json
        assert (self.status, envelope["status"], envelope["error"]) == (200, "ok", []), envelope
        return list(envelope["result"])

    @property
    def error(self) -> str:
        """The sentence of an answer that must be a failure."""
        envelope = self.json
        assert (envelope["status"], envelope["result"], len(envelope["error"])) == ("fail", [], 1)
        return str(envelope["error"][0])


def _refuse(name: str) -> None:
    raise AssertionError(f"{name} is not JSON")


class Client:
    """Requests to one server, over kept-alive connections; usable from several threads."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._pool = urllib3.PoolManager(maxsize=16, retries=False, timeout=60)

    def close(self) -> None:
        """Give up the kept-alive connections, for which a server that stops waits 2 seconds."""
        self._pool.clear()

    def send(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        """A request as it is given; underscores in header names stand for hyphens."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        reply = self._pool.request(method, self.url + path, body=body, headers=named, redirect=False)
        return Answer(reply.status, reply.headers, reply.data)

    def form(
        self, method: str, path: str, fields: Mapping[str, str] | None = None, files: Files | None = None
    ) -> Answer:
        """Parameters as a browser sends them: urlencoded, or multipart where there are files."""
        if files is None:
            reply = self._pool.request_encode_body(
                method, self.url + path, fields=dict(fields or {}), encode_multipart=False, redirect=False
            )
        else:
            parts: dict[str, Any] = dict(fields or {})
            parts |= {name: (f"{name}.bin", data) for name, data in files.items()}
            reply = self._pool.request_encode_body(method, self.url + path, fields=parts, redirect=False)
        return Answer(reply.status, reply.headers, reply.data)

    def add(self, filepath: str, image: bytes, **fields: str) -> Answer:
        return self.form("POST", "/add", {"filepath": filepath, **fields}, {"image": image})

    def search(self, image: bytes, **fields: str) -> list[Any]:
        return self.form("POST", "/search", fields, {"image": image}).result

    def delete(self, filepath: str) -> Answer:
        return self.form("DELETE", "/delete", {"filepath": filepath})

    def count(self) -> int:
        return int(self.send("GET", "/count").result[0])

    def list(self, offset: int = 0, limit: int = 20) -> list[str]:
        return self.send("GET", f"/list?offset={offset}&limit={limit}").result


class Server(Client):
    """A running ``match-service serve`` process."""

    def __init__(self, url: str, process: subprocess.Popen[str], log: list[str], started: float) -> None:
        super().__init__(url)
        self.process = process
        self.log = log
        self.seconds_to_ready = started

    def terminate(self, seconds: float = 40) -> int:
        """Ask it to stop and wait; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def kill(self) -> None:
        """End all its processes at once, as they are; for a server that was started apart."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def environment(folder: Path, **settings: str) -> dict[str, str]:
    """An environment with nothing of ours set but ``settings``; a stop waits for no load balancer."""
    ours = re.compile("(?i)MATCH_|ELASTICSEARCH_|PORT$|WORKER_COUNT$|ALL_ORIENTATIONS$|[a-z]+_PROXY$")
    kept = {name: value for name, value in os.environ.items() if not ours.match(name)}
    plain = {"PORT": "0", "MATCH_DATA": str(folder / "match.db"), "MATCH_DRAIN_SECONDS": "0"}
    return {**kept, **plain, **settings}


@contextlib.contextmanager
def server(folder: Path, *, wait: bool = True, apart: bool = False, **settings: str) -> Iterator[Server]:
    """Start the service with ``settings`` as its environment; with ``wait`` until it is ready.

    ``apart``: in a process group of its own, so that ``kill`` reaches all of it.
    """
    begin = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "match_service", "serve"],
        env=environment(folder, **settings),
        cwd=folder,
        start_new_session=apart,
        stderr=subprocess.PIPE,
        text=True,
    )
    log: list[str] = []
    running: Server | None = None
    first: queue.Queue[str] = queue.Queue()
    reader = threading.Thread(target=_read, args=[process, log, first], daemon=True)
    reader.start()
    try:
        url = first.get(timeout=START_SECONDS)
        assert url, "".join(log)
        running = Server(url, process, log, 0.0)
        _until(running, "/readyz" if wait else "/livez")
        running.seconds_to_ready = time.monotonic() - begin
        yield running
    finally:
        if running is not None:
            running.close()
        processes.end(process, 40)
        reader.join(5)
        if process.stderr:
            process.stderr.close()


def _read(process: subprocess.Popen[str], log: list[str], first: "queue.Queue[str]") -> None:
    assert process.stderr is not None
    for line in process.stderr:
        log.append(line)
        if MIDDLE in line:
            first.put(line.split(MIDDLE)[1].split(", ")[0])
    first.put("")


def _until(running: Server, path: str) -> None:
    """Poll ``path`` until it answers 200."""
    deadline = time.monotonic() + START_SECONDS
    pause = threading.Event()
    said = ""
    while time.monotonic() < deadline and running.process.poll() is None:
        try:
            answer = running.send("GET", path)
        except urllib3.exceptions.HTTPError as error:
            said = type(error).__name__
        else:
            if answer.status == 200:
                return
            said = answer.body.decode()
        pause.wait(0.02)
    raise AssertionError(f"{path}: {said}\n{''.join(running.log)}")
