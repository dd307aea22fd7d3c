"""The only place that opens a URL, since a URL is chosen by a stranger and opened from inside.

A name is resolved once, every address it has is judged, and the connection is made to a judged
address: asking again at connect time would let a second DNS answer lead elsewhere (rebinding).
Redirects go through the same door.
"""

import concurrent.futures
import http.client
import ipaddress
import logging
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, urljoin, urlsplit

from match_service.errors import FetchError
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

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# Addresses that hold an IPv4 address inside: what they lead to is judged as well.
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
_NAT64_LOCAL: Final = ipaddress.ip_network("64:ff9b:1::/48")
_COMPATIBLE: Final = ipaddress.ip_network("::/96")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Target:
    """A URL taken apart, ready to be requested."""

    url: str
    tls: bool
    host: str
    port: int
    path: str


class Fetcher:
    """Gets the bytes behind a URL within ``limits``."""

    def __init__(self, limits: FetchLimits) -> None:
        self._limits = limits
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
            url = urljoin(target.url, answer)
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
        with _connected(self._resolve(target, deadline), target.port, deadline) as raw:
            connection = http.client.HTTPConnection(target.host, target.port)
            connection.default_port = 443 if target.tls else 80
            connection.sock = self._tls.wrap_socket(raw, server_hostname=target.host) if target.tls else raw
            try:
                connection.request("GET", target.path, headers=HEADERS)
                with connection.getresponse() as response:
                    if response.status in REDIRECTS and (location := response.getheader("Location")):
                        return location
                    if not 200 <= response.status < 300:
                        raise FetchError(f"The URL's server answered with status {response.status}.")
                    return self._read(response, deadline)
            finally:
                connection.close()

    def _read(self, response: http.client.HTTPResponse, deadline: float) -> bytes:
        limit = self._limits.max_bytes
        too_large = FetchError(f"The URL's content is larger than {limit} bytes.")
        if response.length is not None and response.length > limit:
            raise too_large
        body = bytearray()
        while chunk := response.read(CHUNK):
            body += chunk
            if len(body) > limit:
                raise too_large
        if time.monotonic() >= deadline:  # a connection cut by the guard ends like a complete body
            raise TimeoutError
        if response.length:
            raise http.client.IncompleteRead(bytes(body), response.length)
        return bytes(body)

    def _resolve(self, target: _Target, deadline: float) -> list[str]:
        """The addresses of the host after all of them were judged."""
        lookup = self._resolver.submit(socket.getaddrinfo, target.host, target.port, type=socket.SOCK_STREAM)
        try:
            found = lookup.result(timeout=_left(deadline))
        except (socket.gaierror, UnicodeError) as error:
            raise FetchError("The URL's host could not be resolved.") from error
        addresses = [str(info[4][0]) for info in found]
        trusted = self._limits.allow_private or target.host in self._limits.private_hosts
        if not trusted and not all(is_public(ipaddress.ip_address(a)) for a in addresses):
            raise FetchError("The URL's host is not on the public internet.")
        return addresses


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


def is_public(address: Address) -> bool:
    """Whether ``address`` is an ordinary host of the internet, whatever form it is written in."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None or address in _NAT64_LOCAL or address.is_site_local:
            return False
        inner = _embedded(address)
        if inner is not None and not is_public(inner):
            return False
        if address.ipv4_mapped is not None or address in _NAT64:
            return True
    return address.is_global and not (address.is_multicast or address.is_reserved)


def _embedded(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    if address in _NAT64 or address in _COMPATIBLE:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)


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
