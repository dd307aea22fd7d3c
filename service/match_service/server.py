"""A production WSGI server around the application: gunicorn's threaded workers, used as a library.

The socket is bound here, so that a port in use is one sentence and PORT=0 picks a free one. Each
worker opens its own store after the fork. On SIGTERM readiness says 503 at once while connections
are still accepted for ``drain_seconds`` (load balancers need that long to look away), then the
workers stop accepting, finish what they have, and the process exits with 0.
"""

import contextlib
import errno
import json
import logging
import mmap
import os
import signal
import socket
import ssl
import threading
from pathlib import Path
from typing import Any, Final

from gunicorn import util
from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.http import errors as http_errors
from gunicorn.http import get_parser
from gunicorn.workers.gthread import ThreadWorker

from match_service import allocator, descriptors, engine, thumbnails
from match_service.addresses import is_local
from match_service.api import probes
from match_service.app import create_app
from match_service.errors import MatchError
from match_service.keys import KeyFile, KeysError
from match_service.metrics import forget
from match_service.receiving import CURRENT, SILENCE_SECONDS, Receiver
from match_service.settings import Settings
from match_service.store.bound import mirror_bytes
from match_service.store.database import Database
from match_service.store.mirror import MirrorMemory
from match_service.store.opening import open_store
from match_service.workshop import Workshop

KEEPALIVE_SECONDS: Final = 75
"""Longer than common load balancers keep idle connections (60), so that they close first."""
GRACE_SECONDS: Final = 25
REQUEST_LINE_BYTES: Final = 8190
IDLE_CONNECTIONS: Final = 1000
"""Of each worker, beyond those that have a thread; further ones wait to be accepted."""
SPARE_THREADS: Final = 8
"""Of each worker, for what does not wait: probes, and refusals while all others work or wait."""

log = logging.getLogger("match_service")


class CannotServeError(Exception):
    """The service cannot start; its text is one sentence that says why."""


class _Flag:
    """A boolean that processes forked after its making share."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, 1)

    def set(self) -> None:
        self._memory[0] = 1

    def is_set(self) -> bool:
        return self._memory[0] == 1


class Worker(ThreadWorker):  # type: ignore[misc]
    """A threaded worker that no slow client keeps, and that answers what is not even HTTP as well."""

    def handle(self, conn: Any) -> Any:
        """Serve the next request of a connection; false where the connection is to be closed."""
        if conn.parser is None:
            conn.parser = get_parser(self.cfg, Receiver(conn.sock), conn.client)
        receiver = conn.parser.unreader.sock
        receiver.begin()
        kept = super().handle(conn)
        if kept and not receiver.given_up:
            return kept
        _take_leave(conn.sock)
        return False

    def handle_request(self, req: Any, conn: Any) -> Any:
        """Serve one request whose head was read."""
        conn.sock.settimeout(SILENCE_SECONDS)
        receiver = conn.parser.unreader.sock
        receiver.begin_body()
        current = CURRENT.set(receiver)
        try:
            return super().handle_request(req, conn)
        finally:
            CURRENT.reset(current)

    def handle_error(self, _req: Any, client: Any, _addr: Any, exc: Exception) -> None:
        """Reply to a request that could not be read, or log a failure below the application."""
        if isinstance(exc, http_errors.LimitRequestLine):
            status, sentence = "414 URI Too Long", f"The request line exceeds {REQUEST_LINE_BYTES} bytes."
        elif isinstance(exc, http_errors.LimitRequestHeaders):
            status, sentence = "431 Request Header Fields Too Large", "The request has too many headers."
        elif isinstance(exc, http_errors.ParseException):
            status, sentence = "400 Bad Request", "The request is not well-formed HTTP."
        else:
            log.error("a request failed below the application", exc_info=exc)
            status, sentence = "500 Internal Server Error", "The service failed; its log says why."
        body = json.dumps({"status": "fail", "error": [sentence], "method": "", "result": []})
        head = (
            f"HTTP/1.1 {status}\r\nConnection: close\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        try:
            util.write_nonblock(client, (head + body).encode("ascii"))
        except OSError:
            log.debug("the client left before it was told")


def _take_leave(sock: socket.socket) -> None:
    """Wait here for the client to close: gunicorn would do so in the one thread that all others wait for."""
    with contextlib.suppress(OSError):
        util.close_graceful(sock.dup())
        sock.shutdown(socket.SHUT_RDWR)


class _Arbiter(Arbiter):  # type: ignore[misc]
    """Gunicorn's parent process, with a pause between SIGTERM and the end of accepting."""

    draining: _Flag
    drain_seconds: float
    workshop: Workshop | None

    def manage_workers(self) -> None:
        """Called about once a second."""
        if self.workshop is not None:
            self.workshop.tend()
        super().manage_workers()

    def handle_term(self) -> None:
        """Begin to drain at the first SIGTERM, stop at the second (which a timer sends)."""
        if self.draining.is_set() or not self.drain_seconds:
            self.draining.set()
            super().handle_term()
        self.draining.set()
        timer = threading.Timer(self.drain_seconds, os.kill, [os.getpid(), signal.SIGTERM])
        timer.daemon = True
        timer.start()


class _Application(BaseApplication):  # type: ignore[misc]
    """What gunicorn asks for: its configuration, and the WSGI application once per worker."""

    def __init__(
        self,
        settings: Settings,
        listener: socket.socket,
        probed: socket.socket | None,
        workshop: Workshop | None,
    ) -> None:
        self._settings = settings
        self._probed = probed
        self._workshop = workshop
        self._listener = listener
        self.draining = _Flag()
        bound = mirror_bytes(settings.mirror_max_bytes)
        self._memory = MirrorMemory(bound) if settings.elasticsearch_url else None
        super().__init__()

    def load_config(self) -> None:
        threads = self._settings.threads + self._settings.queue + SPARE_THREADS
        options = {
            "bind": f"fd://{self._listener.detach()}",
            "worker_class": Worker,
            "workers": self._settings.workers,
            "threads": threads,
            "worker_connections": descriptors.connections(threads + IDLE_CONNECTIONS, threads),
            "keepalive": KEEPALIVE_SECONDS,
            "timeout": 60,
            "graceful_timeout": GRACE_SECONDS,
            "limit_request_line": REQUEST_LINE_BYTES,
            "worker_tmp_dir": "/dev/shm" if os.access("/dev/shm", os.W_OK) else None,  # noqa: S108
            "control_socket_disable": True,
            "loglevel": "warning",
            "proc_name": "match-service",
            "child_exit": lambda _, worker: forget(worker.pid),
        }
        for name, value in options.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        """Open the store and build the application; runs in each worker after the fork."""
        store = open_store(self._settings, self._memory)
        if self._probed is not None:
            probes.start(self._probed, probes.create_app(store, self.draining.is_set))
        return create_app(self._settings, store, self.draining.is_set, self._workshop)


def serve(settings: Settings) -> None:
    """Answer requests until SIGTERM or SIGINT; raises ``CannotServeError`` where that cannot begin."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("elastic_transport").setLevel(logging.ERROR)
    if settings.elasticsearch_doc_type:
        log.info("ELASTICSEARCH_DOC_TYPE is ignored: Elasticsearch has no mapping types any more.")
    _select_engine(settings)
    _check_reach(settings)
    _try_store(settings)
    _try_thumbnails(settings)
    listener = _listen(settings.host, settings.port)
    log.info("Serving the Match API on %s, images in %s.", _url(listener), _store_name(settings))
    probed = None
    if settings.health_port is not None:
        probed = _listen(settings.host, settings.health_port, "MATCH_HEALTH_PORT")
        probed.setblocking(False)  # all workers wake for one probe
        log.info("Probes are answered on %s as well.", _url(probed))
    processes = settings.decode_processes
    workshop = Workshop(processes, settings.decode_seconds) if processes else None
    application = _Application(settings, listener, probed, workshop)
    allocator.share_heaps()
    arbiter = _Arbiter(application)
    arbiter.draining, arbiter.drain_seconds = application.draining, settings.drain_seconds
    arbiter.workshop = workshop
    parent = os.getpid()
    try:
        arbiter.run()
    except SystemExit as end:
        if end.code not in (0, None):
            raise CannotServeError("The server stopped; the log above says why.") from end
    finally:
        if workshop is not None and os.getpid() == parent:  # workers leave by here as well
            workshop.close()


def _select_engine(settings: Settings) -> None:
    try:
        engine.select(settings.engine)
    except (ValueError, MatchError) as error:
        raise CannotServeError(str(error)) from error


def _check_reach(settings: Settings) -> None:
    """Nobody's service is open to a network by accident."""
    if settings.keys_file is not None:
        try:
            KeyFile(settings.keys_file)
        except KeysError as error:
            raise CannotServeError(str(error)) from error
    if settings.oidc is not None and settings.oidc.authorities is not None:
        try:
            ssl.create_default_context(cafile=settings.oidc.authorities)
        except OSError as error:  # ssl.SSLError is one
            raise CannotServeError(
                f"MATCH_OIDC_CA: {settings.oidc.authorities} cannot be read as certificates."
            ) from error
    if settings.keys_file is not None or settings.oidc is not None:
        if settings.auth == "open":
            log.info("MATCH_AUTH=open is ignored: keys or tokens are asked for.")
    elif settings.auth != "open" and not is_local(f"//[{settings.host}]" if ":" in settings.host else
                                                   f"//{settings.host}"):  # fmt: skip
        raise CannotServeError(
            f"Without API keys the service listens on loopback only, not on {settings.host}: set"
            " MATCH_API_KEYS_FILE or MATCH_OIDC_ISSUER, or MATCH_AUTH=open to let whoever reaches it add and"
            " delete."
        )


def _try_store(settings: Settings) -> None:
    """Open and close an embedded store's file, so that one that cannot be used is told before serving."""
    if settings.elasticsearch_url:
        return
    try:
        Database(settings.data).close()
    except MatchError as error:
        raise CannotServeError(str(error)) from error


def _try_thumbnails(settings: Settings) -> None:
    if not settings.thumbnails:
        return
    try:
        thumbnails.check(settings.thumbnails)
    except thumbnails.ThumbnailsError as error:
        raise CannotServeError(str(error)) from error


def _listen(host: str, port: int, variable: str = "PORT") -> socket.socket:
    try:
        family, kind, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(2048)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            reason = f"port {port} of {host} is in use by another program; set {variable} to a free one"
        elif error.errno == errno.EACCES:
            reason = f"port {port} may not be opened by this user; set {variable} to one above 1023"
        else:
            reason = f"cannot listen on {host} port {port}: {error.strerror or error}"
        raise CannotServeError(f"{reason[0].upper()}{reason[1:]}.") from error
    return listener


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _store_name(settings: Settings) -> str:
    if settings.elasticsearch_url:
        return f"Elasticsearch, index {settings.elasticsearch_index}"
    return str(Path(settings.data).resolve())
