"""Proxies, as ``HTTP_PROXY``, ``HTTPS_PROXY`` and ``NO_PROXY`` name them for every program.

A proxy resolves names itself, so what was checked here need not be what it connects to. Either it is told
the checked address, or the operator of the service says that the proxy is the guard (``MATCH_FETCH_PROXY``).
"""

import base64
import http.client
import socket
import urllib.request
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from match_service.errors import FetchError

HEAD_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy that is spoken to in the clear, as proxies are."""

    host: str
    port: int
    authorization: str = field(default="", repr=False)

    def tunnel(self, connection: socket.socket, host: str, port: int) -> None:
        """Have an open connection to the proxy lead on to ``host``; ``FetchError`` where it will not."""
        target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}", *self.lines(), "", ""]
        connection.sendall("\r\n".join(lines).encode("ascii"))
        head = b""
        while b"\r\n\r\n" not in head:
            # Byte by byte: what follows the head belongs to the tunnel.
            part = connection.recv(1)
            if not part or len(head) > HEAD_BYTES:
                raise http.client.BadStatusLine("")
            head += part
        words = head.split(b" ", 2)
        if len(words) < 2 or words[1] != b"200":
            raise FetchError("The proxy does not lead to the URL's host.")

    def lines(self) -> list[str]:
        """Header lines that the proxy asks for."""
        return [f"Proxy-Authorization: {self.authorization}"] if self.authorization else []


def proxy_for(scheme: str, host: str) -> Proxy | None:
    """The environment's proxy for ``host``, None where there is none or ``NO_PROXY`` has the host.

    ``FetchError`` for a proxy that cannot be used, since going around it would be worse.
    """
    proxies = urllib.request.getproxies()
    found = proxies.get(scheme) or proxies.get("all")
    if not found or urllib.request.proxy_bypass(host):
        return None
    try:
        parts = urlsplit(found if "://" in found else f"http://{found}")
        port = parts.port or 80
    except ValueError as error:
        raise FetchError("The service's proxy is not a URL.") from error
    if parts.scheme != "http" or not parts.hostname:
        raise FetchError("The service's proxy must be an http:// address.")
    authorization = ""
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = "Basic " + base64.b64encode(pair.encode()).decode("ascii")
    return Proxy(parts.hostname, port, authorization)
