"""The only place that opens a URL, since a URL is chosen by a stranger and opened from inside.

A name is resolved once, every address it has is judged, and the connection is made to a judged
address: asking again at connect time would let a second DNS answer lead elsewhere (rebinding). What
the connection has come to is judged once more. Redirects go through the same door.
"""

import concurrent.futures
import fnmatch
import http.client
import io
import ipaddress
import logging
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote, urljoin, urlsplit

from match_service import budget
from match_service.addresses import is_public, normal_host
from match_service.errors import FetchError
from match_service.proxies import Proxy, proxy_for
from match_service.settings import FetchLimits

MAX_URL_LENGTH: Final = 8192
REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
CHUNK: Final = 64 * 1024
# identity: a packed body could unpack to any size.
HEADERS: Final = {
    "User-Agent": "match-service",
    "Accept": "image/*,*/*;q=0.5",
    "Accept-Encoding": "identity",
}

NOT_ALLOWED: Final = "The URL's host is not one that this service fetches from."

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Target:
    """A URL taken apart, ready to be requested."""

    url: str
    tls: bool
    host: str
    port: int
    path: str

    @property
    def scheme(self) -> str:
        return "https" if self.tls else "http"


class Fetcher:
    """Gets the bytes behind a URL within ``limits``."""

    def __init__(self, limits: FetchLimits, authorities: Path | None = None) -> None:
        """``authorities`` is a file, which may change, of those that may sign; None for the usual ones."""
        self._limits = limits
        self._authorities = authorities
        self._tls = ssl.create_default_context()
        # getaddrinfo has no timeout of its own; a stuck one keeps its thread, not the request.
        self._resolver = concurrent.futures.ThreadPoolExecutor(16, thread_name_prefix="resolve")

    def fetch(self, url: str) -> bytes:
        """The body of a 2xx answer. Raises ``FetchError`` with a sentence that holds no address."""
        deadline = time.monotonic() + self._limits.timeout
        for _ in range(self._limits.max_redirects + 1):
            target = parse(url)
            try:
                answer = self._get(target, deadline)
            except (FetchError, OSError, http.client.HTTPException, ValueError) as error:
                raise self._refusal(error, target, deadline) from error
            if isinstance(answer, bytes):
                return answer
            url = _redirected(target, answer)
        raise FetchError(f"The URL redirects more than {self._limits.max_redirects} times.")

    def _refusal(self, error: Exception, target: _Target, deadline: float) -> FetchError:
        # Only the host is logged: paths and queries carry signatures and tokens.
        log.info("fetch from %s failed: %s", target.host, type(error).__name__)
        if isinstance(error, FetchError):
            return error
        if isinstance(error, TimeoutError) or time.monotonic() >= deadline:
            return FetchError(f"The URL took longer than {self._limits.timeout:g} seconds to fetch.")
        if isinstance(error, ssl.SSLError):
            return FetchError("The URL's server offers no TLS that can be trusted.")
        return FetchError("The URL's server could not be reached or broke off its answer.")

    def _get(self, target: _Target, deadline: float) -> bytes | str:
        """The body, or the location a redirect names."""
        inside = target.host in self._limits.private_hosts
        mode = self._limits.proxy
        proxy = None if inside or mode == "off" else proxy_for(target.scheme, target.host)
        if proxy is None:
            ends, port = self._resolve(target, deadline), target.port
        else:
            ends, port = self._proxy_addresses(proxy, deadline), proxy.port
        far = self._far_end(target, deadline) if proxy else ""
        with _connected(ends, port, deadline) as raw:
            if proxy is None:
                self._judge(target.host, [raw.getpeername()[0]])
            elif target.tls or mode == "address":
                proxy.tunnel(raw, far, target.port)
                proxy = None
            return self._request(raw, target, proxy, deadline)

    def _request(
        self, raw: socket.socket, target: _Target, proxy: Proxy | None, deadline: float
    ) -> bytes | str:
        """Ask on an open connection; ``proxy`` where it is one to a proxy that shall ask in our place."""
        connection = http.client.HTTPConnection(target.host, target.port)
        connection.default_port = 443 if target.tls else 80
        connection.sock = self._trust().wrap_socket(raw, server_hostname=target.host) if target.tls else raw
        headers, path = dict(HEADERS), target.path
        if proxy is not None:
            headers |= {line.partition(": ")[0]: line.partition(": ")[2] for line in proxy.lines()}
            path = f"http://{_authority(target)}{target.path}"
        try:
            connection.request("GET", path, headers=headers)
            with connection.getresponse() as response:
                if response.status in REDIRECTS and (location := response.getheader("Location")):
                    return location
                if not 200 <= response.status < 300:
                    raise FetchError(f"The URL's server answered with status {response.status}.")
                self._check_type(response)
                return self._read(response, deadline)
        finally:
            connection.close()

    def _trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self._authorities) if self._authorities else self._tls

    def _check_type(self, response: http.client.HTTPResponse) -> None:
        kind = (response.getheader("Content-Type") or "").partition(";")[0].strip().lower()
        if kind and not any(fnmatch.fnmatchcase(kind, allowed) for allowed in self._limits.types):
            raise FetchError("The URL's server says that its content is no image.")

    def _read(self, response: http.client.HTTPResponse, deadline: float) -> bytes:
        limit = self._limits.max_bytes
        too_large = FetchError(f"The URL's content is larger than {limit} bytes.")
        if response.length is not None and response.length > limit:
            raise too_large
        body = io.BytesIO()  # unlike a bytearray it becomes bytes without a copy
        while chunk := response.read(CHUNK):
            budget.take(len(chunk), deadline)
            body.write(chunk)
            if body.tell() > limit:
                raise too_large
        if time.monotonic() >= deadline:  # a connection cut by the guard ends like a complete body
            raise TimeoutError
        if response.length:
            raise http.client.IncompleteRead(body.getvalue(), response.length)
        return body.getvalue()

    def _resolve(self, target: _Target, deadline: float) -> list[str]:
        """The addresses of the host after all of them were judged."""
        addresses = self._addresses(target.host, target.port, deadline)
        self._judge(target.host, addresses)
        return addresses

    def _addresses(self, host: str, port: int, deadline: float) -> list[str]:
        lookup = self._resolver.submit(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
        try:
            found = lookup.result(timeout=_left(deadline))
        except (socket.gaierror, UnicodeError) as error:
            raise FetchError("The URL's host could not be resolved.") from error
        finally:
            lookup.cancel()  # one that still waits for a thread is of no use to anybody any more
        return [str(info[4][0]) for info in found]

    def _judge(self, host: str, texts: list[str]) -> None:
        """``FetchError`` unless the host may be fetched from at all of the addresses it has."""
        limits, name = self._limits, normal_host(host)
        addresses = [ipaddress.ip_address(text) for text in texts]
        trusted = limits.allow_private or host in limits.private_hosts
        if not trusted and not all(is_public(address) for address in addresses):
            raise FetchError("The URL's host is not on the public internet.")
        if limits.deny.has_host(name) or any(limits.deny.has_address(address) for address in addresses):
            raise FetchError(NOT_ALLOWED)
        listed = limits.allow.has_host(name) or (
            bool(addresses) and all(limits.allow.has_address(address) for address in addresses)
        )
        if limits.allow and not listed and host not in limits.private_hosts:
            raise FetchError(NOT_ALLOWED)

    def _proxy_addresses(self, proxy: Proxy, deadline: float) -> list[str]:
        """Where the proxy is; it is named by whoever runs the service, so its address is not judged."""
        try:
            return self._addresses(proxy.host, proxy.port, deadline)
        except FetchError as error:
            raise FetchError("The service's proxy could not be resolved.") from error

    def _far_end(self, target: _Target, deadline: float) -> str:
        """What the proxy is told to connect to: a checked address, or the name where it is the guard."""
        if self._limits.proxy == "address":
            return self._resolve(target, deadline)[0]
        try:
            addresses = self._addresses(target.host, target.port, deadline)
        except FetchError:
            addresses = []  # the proxy may know more names than this machine
            if "." not in target.host.rstrip("."):
                raise
        self._judge(target.host, addresses)
        return target.host


def _redirected(target: _Target, location: str) -> str:
    """The URL that a redirect names, which is as much a stranger's as the first one."""
    try:
        return urljoin(target.url, location)
    except ValueError as error:
        raise FetchError("The URL redirects to what is no URL.") from error


def _authority(target: _Target) -> str:
    host = f"[{target.host}]" if ":" in target.host else target.host
    return host if target.port == 80 else f"{host}:{target.port}"


def parse(url: str) -> _Target:
    """Take ``url`` apart; raises ``FetchError`` unless it is a plain http or https URL."""
    if len(url) > MAX_URL_LENGTH:
        raise FetchError(f"The URL must be at most {MAX_URL_LENGTH} characters long.")
    if any(c <= " " or c in "\x7f\\" for c in url):
        raise FetchError("The URL must not hold spaces, control characters or backslashes.")
    try:
        parts = urlsplit(url)
        port = parts.port
        host = (parts.hostname or "").encode("idna").decode("ascii")
    except ValueError as error:
        raise FetchError("The URL is malformed.") from error
    if parts.scheme not in ("http", "https"):
        raise FetchError("The URL must begin with http:// or https://.")
    if parts.username is not None or parts.password is not None:
        raise FetchError("The URL must not hold a user name or a password.")
    if not host or port == 0:
        raise FetchError("The URL must name a host.")
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~")
    if parts.query:
        path += "?" + quote(parts.query, safe="/%:@!$&'()*+,;=~?[]")
    tls = parts.scheme == "https"
    return _Target(url, tls, host, port or (443 if tls else 80), path)


@contextmanager
def _connected(addresses: list[str], port: int, deadline: float) -> Iterator[socket.socket]:
    """A connection that is cut at ``deadline``, however slowly the other side drips its bytes."""
    with _connect(addresses, port, deadline) as raw:
        raw.settimeout(_left(deadline))
        handle = raw.dup()
        guard = threading.Timer(_left(deadline), _cut, [handle])
        guard.daemon = True
        guard.start()
        try:
            yield raw
        finally:
            guard.cancel()
            handle.close()


def _connect(addresses: list[str], port: int, deadline: float) -> socket.socket:
    """The first of ``addresses`` that answers; the last one's error where none does."""
    for address in addresses[:-1]:
        try:
            return socket.create_connection((address, port), timeout=_left(deadline))
        except OSError:
            log.debug("an address did not answer, the next is tried")
    return socket.create_connection((addresses[-1], port), timeout=_left(deadline))


def _left(deadline: float) -> float:
    """Seconds until ``deadline``, never 0: that would mean a socket that does not wait at all."""
    return max(0.001, deadline - time.monotonic())


def _cut(sock: socket.socket) -> None:
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        log.debug("the connection was closed already")
