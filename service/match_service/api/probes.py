"""A port of its own on which nothing but ``/livez`` and ``/readyz`` is answered.

Whoever decides by them about the life of the process, such as a kubelet, must not stand in the queue of its
clients, nor fail where those take every connection. Each worker answers from a thread of its own, so what is
told is still whether that worker lives.
"""

import contextlib
import socket
import threading
from collections.abc import Callable
from socketserver import ThreadingMixIn
from typing import Any, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from flask import Flask

from match_service.api import errors, health
from match_service.store.base import Store

SILENCE_SECONDS: Final = 5.0
AT_ONCE: Final = 16
"""Probes that are answered at a time; others are hung up on."""


def create_app(store: Store, draining: Callable[[], bool]) -> Flask:
    """The application behind the port; it asks for no key, as the same paths of the API do not."""
    app = Flask(__name__, static_folder=None)
    app.register_blueprint(health.blueprint(store, draining))
    errors.register(app)
    return app


def start(listener: socket.socket, app: Flask) -> None:
    """Answer on ``listener``, which other processes may share, for as long as this process lives."""
    server = _Server(listener.getsockname()[:2], _Handler, bind_and_activate=False)
    server.socket.close()
    server.socket = listener
    server.server_name, server.server_port = listener.getsockname()[:2]
    server.setup_environ()
    server.set_app(app)
    threading.Thread(target=server.serve_forever, name="probes", daemon=True).start()


class _Handler(WSGIRequestHandler):
    timeout = SILENCE_SECONDS

    def log_message(self, *_: Any) -> None:
        """Say nothing: probes come every few seconds."""


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._places = threading.BoundedSemaphore(AT_ONCE)

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._places.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        """A client that hung up is no news."""
        with contextlib.suppress(OSError):
            self.shutdown_request(request)
