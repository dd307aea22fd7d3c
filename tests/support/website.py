"""A web server on localhost that has pictures, and some of the ways web servers misbehave."""

import contextlib
import http.server
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, ClassVar


class _Handler(http.server.BaseHTTPRequestHandler):
    """/loop redirects to itself, /inward to 127.0.0.1, /nowhere to no URL; /drip drips bytes, /cut stops."""

    file: ClassVar[Callable[[str], bytes]]
    kind: ClassVar[str] = ""

    def do_GET(self) -> None:
        special = {
            "/loop": self._loop,
            "/inward": self._inward,
            "/nowhere": self._nowhere,
            "/drip": self._drip,
            "/cut": self._cut,
        }
        special.get(self.path, self._file)()

    def _file(self) -> None:
        try:
            data = type(self).file(self.path[1:])
        except KeyError:
            self.send_error(404)
            return
        self.send_response(200)
        if self.kind:
            self.send_header("Content-Type", self.kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _begin(self, status: int, name: str, value: str) -> None:
        self.send_response(status)
        self.send_header(name, value)
        self.end_headers()

    def _loop(self) -> None:
        self._begin(302, "Location", "/loop")

    def _inward(self) -> None:
        self._begin(302, "Location", "http://127.0.0.1:1/secret")

    def _nowhere(self) -> None:
        self._begin(302, "Location", "http://[")

    def _cut(self) -> None:
        self._begin(200, "Content-Length", "1000")
        self.wfile.write(b"\xff" * 10)

    def _drip(self) -> None:
        self._begin(200, "Content-Type", "image/jpeg")
        with contextlib.suppress(OSError):
            for _ in range(100):
                self.wfile.write(b"\xff")
                time.sleep(0.1)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextlib.contextmanager
def website(file: Callable[[str], bytes], kind: str = "") -> Iterator[str]:
    """Serve ``file(name)`` of content type ``kind`` at ``/name``; yields the site's URL.

    ``KeyError`` becomes 404.
    """
    handler = type("Handler", (_Handler,), {"file": staticmethod(file), "kind": kind})
    with http.server.ThreadingHTTPServer(("localhost", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://localhost:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
