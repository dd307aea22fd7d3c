"""The client of Elasticsearch: where it is, who asks, and whom it may be signed by.

Credentials and authorities lie in files, which Kubernetes changes when a Secret does. They are looked at
before each request, so that neither a new password nor a new authority takes a restart. What passes by itself
(``passing.py``) is waited for, save by a call that says itself how often it is to be tried (``IMPATIENT``).
"""

import base64
import contextlib
import errno
import socket
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import elastic_transport
from elastic_transport import HttpHeaders, Transport, TransportApiResponse, Urllib3HttpNode
from elasticsearch import Elasticsearch
from urllib3.connection import HTTPConnection

from match_service.store import passing

READ_SECONDS: Final = 10
SILENCE_SECONDS: Final = 2
"""After which a host that acknowledges nothing is given up; the kernel of one that is only busy does."""
CONNECTIONS: Final = 32
RETRIES: Final = 2
"""At once, where several addresses are given at another of them."""
IMPATIENT: Final[Mapping[str, Any]] = {"max_retries": RETRIES}
"""Options of a client whose calls are not to wait for what passes."""

_NAMES: Final = ("apiKey", "username", "password")


def client_of(url: str, ca_certs: str | None = None, credentials: str | None = None) -> Elasticsearch:
    """A client of the nodes in ``url``, comma separated; a missing scheme means http, as in the original.

    ``ca_certs`` is a file of the only authorities to trust. ``credentials`` is a folder with the files
    ``username`` and ``password``, or ``apiKey``; they go before what the URL holds.
    """
    hosts = [_with_scheme(part.strip()) for part in url.split(",") if part.strip()]
    options: dict[str, Any] = {}
    watched: list[Callable[[], object]] = []
    if ca_certs and any(host.startswith("https:") for host in hosts):
        trust = ssl.create_default_context(cafile=ca_certs)
        options["ssl_context"] = trust
        # Connections that are made from now on trust the new ones too.
        watched.append(_Watched([Path(ca_certs)], lambda: trust.load_verify_locations(cafile=ca_certs)))
    client = Elasticsearch(
        hosts,
        request_timeout=READ_SECONDS,
        # Of what may be repeated, and why not what timed out, ``passing.py`` speaks.
        retry_on_timeout=False,
        connections_per_node=CONNECTIONS,
        transport_class=_Transport,
        node_class=_Node,
        **options,
    )
    transport = client.transport
    assert isinstance(transport, _Transport)  # noqa: S101 - narrows the type
    transport.before = watched
    # Given to the client, it would be an option of every call.
    transport.max_retries = RETRIES
    if credentials:
        transport.sign = Credentials(Path(credentials))
    return client


class Credentials:
    """The value of the header Authorization; empty while the folder holds nothing to make it of."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._value = ""
        self._read = _Watched([folder / name for name in _NAMES], self._make)
        with contextlib.suppress(FileNotFoundError):
            self._make()

    def __call__(self) -> str:
        """What it is now."""
        self._read()
        return self._value

    def _make(self) -> None:
        version = self._version()
        texts = {name: _text(version / name) for name in _NAMES}
        if not version.exists() and version != self._folder:
            raise FileNotFoundError(version)  # replaced while it was read
        if texts["apiKey"]:
            self._value = f"ApiKey {texts['apiKey']}"
        elif texts["username"]:
            pair = f"{texts['username']}:{texts['password']}".encode()
            self._value = f"Basic {base64.b64encode(pair).decode('ascii')}"
        else:
            self._value = ""

    def _version(self) -> Path:
        """The folder to which the files' links lead now: kubelet changes all of them by one link, and what
        is read of two versions would be nobody's credentials."""
        for name in _NAMES:
            file = (self._folder / name).resolve()
            if file.is_file():
                return file.parent
        return self._folder


class _Watched:
    """Does something when files are no longer what they were, unless that fails."""

    def __init__(self, files: list[Path], act: Callable[[], object]) -> None:
        self._files = files
        self._act = act
        self._seen = self._state()

    def __call__(self) -> None:
        state = self._state()
        if state == self._seen:
            return
        try:
            self._act()
        except (OSError, ssl.SSLError):
            return  # in the middle of being written: looked at again before the next request
        self._seen = state

    def _state(self) -> list[tuple[int, int, int] | None]:
        return [_state(file) for file in self._files]


class _Node(Urllib3HttpNode):
    """Notices a host that is gone with its network, on open connections as on new ones."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        options = list(HTTPConnection.default_socket_options)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
            options.append((socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SILENCE_SECONDS * 1000))
        self.pool.conn_kw["socket_options"] = options


def _is_silence(error: BaseException | None) -> bool:
    """Whether it was the kernel that gave up; where it was our own patience there is no number."""
    while error is not None:
        if isinstance(error, OSError) and error.errno == errno.ETIMEDOUT:
            return True
        error = error.__cause__ or error.__context__
    return False


class _Transport(Transport):
    """Signs each request with the credentials of that moment, and is patient."""

    sign: Callable[[], str] | None = None
    before: list[Callable[[], object]]

    def __init__(self, *nodes: Any, **options: Any) -> None:
        super().__init__(*nodes, **options)
        self._outages = passing.Outages()

    def perform_request(self, method: str, target: str, **options: Any) -> TransportApiResponse:
        pauses, kind = passing.Pauses(), passing.kind(target)
        patient = not isinstance(options.get("max_retries"), int)
        while True:
            try:
                answer = self._once(method, target, options)
            except elastic_transport.TlsError:
                raise
            except (elastic_transport.ConnectionError, elastic_transport.ConnectionTimeout) as error:
                if isinstance(error, elastic_transport.ConnectionTimeout) and not _is_silence(error):
                    raise
                since = self._outages.noticed(kind)
                if not patient or not pauses.another(since):
                    raise
                continue
            if not passing.passes(kind, answer.meta.status, answer.body):
                self._outages.over(kind)
                return answer
            since = self._outages.noticed(kind)
            if not patient or not pauses.another(since):
                return answer

    def _once(self, method: str, target: str, given_options: Mapping[str, Any]) -> TransportApiResponse:
        options = dict(given_options)
        for look in self.before:
            look()
        if self.sign and (value := self.sign()):
            given = options.get("headers")
            headers = HttpHeaders(given if isinstance(given, Mapping) else {})
            headers["authorization"] = value
            options["headers"] = headers
        return super().perform_request(method, target, **options)


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _state(file: Path) -> tuple[int, int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return (found.st_ino, found.st_mtime_ns, found.st_size)


def _with_scheme(url: str) -> str:
    return url if "://" in url else f"http://{url}"
