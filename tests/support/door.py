"""Elasticsearch of a MatchCluster, asked as a person would: with the Secrets that were made for people."""

import contextlib
import json
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import urllib3

from stories import Namespace

PEOPLE = "elastic"


@dataclass(frozen=True)
class Door:
    """HTTP to Elasticsearch."""

    url: str
    http: urllib3.PoolManager

    def ask(self, path: str, *, seconds: float = 10, **query: str) -> Any:
        """The answer to GET."""
        return json.loads(self.send("GET", path, seconds=seconds, **query).data)

    def send(
        self, method: str, path: str, *, user: str | None = None, seconds: float = 10, **query: str
    ) -> urllib3.BaseHTTPResponse:
        """The answer to any request; ``user`` is ``name:password`` of somebody else, empty for nobody."""
        headers = self.http.headers if user is None else urllib3.make_headers(basic_auth=user or None)
        url = f"{self.url}{path}" + (f"?{urlencode(query)}" if query else "")
        return self.http.request(method, url, headers=headers, timeout=seconds, retries=False)


@contextlib.contextmanager
def door(namespace: Namespace, name: str) -> Iterator[Door]:
    """The way in, by TLS and as the user for people where the MatchCluster has them.

    The certificate is for the Service's name, by which this machine does not know it.
    """
    service = f"{name}-es-http"
    secured = namespace.status(name)["elasticsearch"].get("secured")
    with namespace.lab.reach(namespace.name, service, 9200) as plain, contextlib.ExitStack() as stack:
        options: dict[str, Any] = {}
        if secured:
            known = namespace.secret(f"{name}-es-{PEOPLE}-user")
            trusted = namespace.secret(f"{name}-es-certificates")["ca.crt"]
            options = {
                "headers": urllib3.make_headers(basic_auth=f"{known['username']}:{known['password']}"),
                "ssl_context": ssl.create_default_context(cadata=trusted),
                "assert_hostname": service,
            }
        http = stack.enter_context(urllib3.PoolManager(**options))
        yield Door(plain.replace("http:", "https:") if secured else plain, http)
