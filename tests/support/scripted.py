"""An HTTP server that answers what a test tells it to, and both clients behind one face."""

import asyncio
import contextlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from match_client import AsyncClient, Client


@dataclass(frozen=True)
class Reply:
    """One answer; ``cut`` closes the connection instead."""

    status: int = 200
    body: bytes = b'{"status": "ok", "error": [], "method": "", "result": []}'
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False


def ok(*result: Any, **more: Any) -> Reply:
    return Reply(
        body=json.dumps({"status": "ok", "error": [], "method": "", "result": result, **more}).encode()
    )


def fail(status: int, sentence: str, **headers: str) -> Reply:
    body = {"status": "fail", "error": [sentence], "method": "", "result": []}
    return Reply(status, json.dumps(body).encode(), {k.replace("_", "-"): v for k, v in headers.items()})


@dataclass(frozen=True)
class Asked:
    """One request that came in; ``port`` tells connections apart."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    port: int


class Script:
    """The answers still to be given, in order (the last is given again and again), and what was asked."""

    def __init__(self) -> None:
        self.url = ""
        self.replies: list[Reply] = [Reply()]
        self.asked: list[Asked] = []

    def then(self, *replies: Reply) -> None:
        self.replies = list(replies)


@contextlib.contextmanager
def script() -> Iterator[Script]:
    """A server on loopback for one test."""
    told = Script()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            if "chunked" in self.headers.get("Transfer-Encoding", ""):
                body = b"".join(self._chunks())
            else:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            told.asked.append(Asked(self.command, self.path, headers, body, self.client_address[1]))
            reply = told.replies.pop(0) if len(told.replies) > 1 else told.replies[0]
            if reply.cut:
                self.close_connection = True
                return
            self.send_response(reply.status)
            for name, value in {**reply.headers, "Content-Length": str(len(reply.body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(reply.body)

        def _chunks(self) -> Iterator[bytes]:
            while size := int(self.rfile.readline(), 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()

        do_GET = do_POST = do_DELETE = _answer  # noqa: N815 - the names the base class looks for

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=[0.01])
    thread.start()
    told.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield told
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Blocking:
    """The asynchronous client with the blocking one's face, so that one test body serves both."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._runner = asyncio.Runner()
        self._client = AsyncClient(*arguments, **options)

    def list(self, *arguments: Any) -> list[str]:
        async def collect() -> list[str]:
            return [filepath async for filepath in self._client.list(*arguments)]

        return self._runner.run(collect())

    def close(self) -> None:
        self._runner.run(self._client.aclose())
        self._runner.close()

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)
        return lambda *arguments, **options: self._runner.run(method(*arguments, **options))


CLIENTS: dict[str, Any] = {"Client": Client, "AsyncClient": Blocking}
