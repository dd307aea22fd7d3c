"""URLs that try to reach what only the service can reach, and a small internet to try them in.

``python tests/support/ssrf.py`` must run in network and mount namespaces of its own (``unshare -n -m``):
it gives the loopback device public and private addresses, all answered by one web server that notes at which
it was reached, and runs the real service and a name server beside it. It prints what the service answered
and at which addresses the web server was reached, as JSON.
"""

import contextlib
import http.server
import json
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import unquote

from names import Zone, name_server
from pictures import jpeg
from serving import server

PUBLIC = "93.184.216.34"
PUBLIC6 = "2606:2800:220:1:248:1893:25c8:1946"
INSIDE = (
    "10.0.0.5", "100.64.0.1", "169.254.169.254", "172.16.0.1", "192.168.1.1", "168.63.129.16", "198.18.0.1",
    "fd00::5", "fd00:ec2::254",
)  # fmt: skip
RESOLVER = ("127.0.0.53", 53)


def _turning(first: list[str], then: list[str]) -> Any:
    return lambda turn: then if turn % 2 else first


ZONE: Zone = {
    "public.example": lambda _: [PUBLIC],
    "six.example": lambda _: [PUBLIC6],
    "xn--bcher-kva.example": lambda _: [PUBLIC],
    "alias.example": lambda _: ["public.example"],
    "loop.example": lambda _: ["127.0.0.1"],
    "loop6.example": lambda _: ["::1"],
    "metadata.example": lambda _: ["169.254.169.254"],
    "mapped.example": lambda _: ["::ffff:10.0.0.5"],
    "nat64.example": lambda _: ["64:ff9b::a00:5"],
    "both.example": lambda _: [PUBLIC, "10.0.0.5"],
    "both6.example": lambda _: [PUBLIC, "::1"],
    "inward.example": lambda _: ["loop.example"],
    "denied.example": lambda _: [PUBLIC],
    "zero.example": lambda _: ["0.0.0.0"],  # noqa: S104
    "rebind.example": _turning([PUBLIC], ["127.0.0.1"]),
    "rebind6.example": _turning([PUBLIC6], ["::1"]),
}

LITERALS = (
    "127.0.0.1", "127.1", "127.0.1", "127.0.0.1.", "127.255.255.254", "0177.0.0.1", "0x7f.0.0.1", "0x7f.1",
    "0x7f000001", "0X7F000001", "2130706433", "017700000001", "0", "0.0.0.0", "00000127.0.0.1",  # noqa: S104
    "127.0.0.1:80", "127.0.0.1:080", "①②⑦.⓪.⓪.①", "127。0。0。1", "\uff11\uff12\uff17.\uff10.\uff10.\uff11",
    "%31%32%37.0.0.1",
    "10.0.0.5", "0xa000005", "167772165", "100.64.0.1", "169.254.169.254", "2852039166", "0xa9fea9fe",
    "0251.0376.0251.0376", "172.16.0.1", "192.168.1.1", "3232235777", "168.63.129.16", "198.18.0.1",
    "192.0.2.1", "224.0.0.1", "240.0.0.1", "255.255.255.255",
    "[::1]", "[::]", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]",
    "[::ffff:169.254.169.254]", "[::ffff:0:127.0.0.1]", "[64:ff9b::7f00:1]", "[64:ff9b:1::7f00:1]",
    "[2002:7f00:1::]", "[2001:0:4136:e378:8000:63bf:3fff:fdd2]", "[fd00::5]", "[fd00:ec2::254]", "[fe80::1]",
    "[fe80::1%25lo]", "[fec0::1]", "[ff02::1]", "[::1%25lo]",
)  # fmt: skip
NAMES = (
    "localhost", "LOCALHOST", "localhost.", "ip6-localhost", "loop.example", "LOOP.example.", "loop6.example",
    "metadata.example", "mapped.example", "nat64.example", "both.example", "both6.example", "inward.example",
    "zero.example", "nowhere.example", "denied.example", "DENIED.example.", "sub.denied.example",
)  # fmt: skip
SPELLINGS = (
    f"http://{PUBLIC}@127.0.0.1/photo.jpg",
    f"http://{PUBLIC}:80@127.0.0.1:80/photo.jpg",
    f"http://127.0.0.1\\@{PUBLIC}/photo.jpg",
    f"http://{PUBLIC}\\@127.0.0.1/photo.jpg",
    f"http://127.0.0.1\t.{PUBLIC}/photo.jpg",
    f"http://{PUBLIC}/photo.jpg\r\nHost: 127.0.0.1",
    "http:/127.0.0.1/photo.jpg",
    "http:127.0.0.1/photo.jpg",
    "//127.0.0.1/photo.jpg",
    "HTTP://127.0.0.1/photo.jpg",
    "http://127.0.0.1#@public.example/photo.jpg",
    "http://127.0.0.1?@public.example/photo.jpg",
    "http://[::1]:80/photo.jpg",
    "http://public.example:0/photo.jpg",
    "file:///etc/passwd",
    "file://127.0.0.1/etc/passwd",
    "/etc/passwd",
    "ftp://public.example/photo.jpg",
    "gopher://127.0.0.1:80/_GET",
    "dict://127.0.0.1:80/",
    "ldap://127.0.0.1/",
    "jar:http://127.0.0.1!/",
    "data:image/gif;base64,R0lGODlhAQABAAAAACw=",
    "url:http://127.0.0.1/photo.jpg",
)
TARGETS = (
    "http://127.0.0.1/photo.jpg",
    "//127.0.0.1/photo.jpg",
    "http://[::1]/photo.jpg",
    "http://169.254.169.254/latest/meta-data/",
    "http://2130706433/photo.jpg",
    "http://loop.example/photo.jpg",
    "http://both.example/photo.jpg",
    "http://denied.example/photo.jpg",
    "file:///etc/passwd",
    "gopher://127.0.0.1:80/_GET",
    "http://public.example@127.0.0.1/photo.jpg",
    "http://public.example/to/302/http://10.0.0.5/photo.jpg",
    "/to/302/http://127.0.0.1/photo.jpg",
)
REFUSED = (
    *(f"http://{host}/photo.jpg" for host in (*LITERALS, *NAMES)),
    *SPELLINGS,
    *(f"http://public.example/to/{307 if n % 2 else 302}/{target}" for n, target in enumerate(TARGETS)),
    *(f"http://public.example/to/{status}/http://127.0.0.1/photo.jpg" for status in (301, 303, 308)),
    "http://public.example/times/6",
    "http://public.example/page",
    "http://public.example/refresh",
)
"""None may be answered with 200, and none may reach an address that is not public."""

ALLOWED = (
    f"http://{PUBLIC}/photo.jpg",
    f"http://[{PUBLIC6}]/photo.jpg",
    f"http://[::ffff:{PUBLIC}]/photo.jpg",
    "http://0x5db8d822/photo.jpg",
    "http://public.example/photo.jpg",
    "http://PUBLIC.example./photo.jpg",
    "http://public.example:80/photo.jpg?size=large#top",
    "http://six.example/photo.jpg",
    "http://bücher.example/photo.jpg",
    "http://alias.example/photo.jpg",
    "http://public.example/to/302/http://six.example/photo.jpg",
    "http://public.example/to/308//photo.jpg",
    "http://public.example/times/5",
)
REBINDING = ("http://rebind.example/photo.jpg", "http://rebind6.example/photo.jpg")
"""Public when first asked for, loopback the second time, and so on."""


class _Handler(http.server.BaseHTTPRequestHandler):
    """/photo.jpg; /to/STATUS/URL redirects there; /times/N redirects N times; the rest is a page."""

    reached: ClassVar[set[str]] = set()
    photo: ClassVar[bytes] = b""

    def do_GET(self) -> None:
        self.reached.add(self.connection.getsockname()[0].removeprefix("::ffff:"))
        first, _, rest = self.path[1:].partition("/")
        status, _, target = rest.partition("/")
        if first == "to":
            self._reply(int(status), "text/html", b"", Location=unquote(target))
        elif first == "times":
            left = int(status)
            self._reply(302, "text/html", b"", Location=f"/times/{left - 1}" if left > 1 else "/photo.jpg")
        elif first == "refresh":
            self._reply(200, "image/jpeg", b"", Refresh="0; url=http://127.0.0.1/photo.jpg")
        elif first.startswith("photo.jpg"):
            self._reply(200, "image/jpeg", self.photo)
        else:
            self._reply(200, "text/html", self.photo)

    def _reply(self, status: int, kind: str, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


class _Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6

    def server_bind(self) -> None:
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()


@contextlib.contextmanager
def internet() -> Iterator[type[_Handler]]:
    """Addresses, names and the web server, in the namespaces this process is alone in."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for address in (PUBLIC, PUBLIC6, *INSIDE):
        length = "128" if ":" in address else "32"
        subprocess.run(["ip", "address", "add", f"{address}/{length}", "dev", "lo"], check=True)
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as file:
        file.write(f"nameserver {RESOLVER[0]}\noptions timeout:2 attempts:2\n")
        file.flush()
        subprocess.run(["mount", "--make-rprivate", "/"], check=True)
        subprocess.run(["mount", "--bind", file.name, "/etc/resolv.conf"], check=True)
        _Handler.photo = jpeg(1)
        with name_server(RESOLVER, ZONE), _Server(("::", 80), _Handler) as web:
            thread = threading.Thread(target=web.serve_forever)
            thread.start()
            yield _Handler
            web.shutdown()
            thread.join()


def main() -> None:
    """Try everything and print the answers."""
    answers: dict[str, list[Any]] = {}
    deny = "denied.example,*.denied.example"
    with (
        internet() as web,
        tempfile.TemporaryDirectory() as folder,
        server(Path(folder), MATCH_FETCH_DENY_HOSTS=deny) as service,
    ):
        for url in (*REFUSED, *ALLOWED, *REBINDING * 4):
            answer = service.form("POST", "/search", {"url": url})
            answers.setdefault(url, []).append([answer.status, *answer.json["error"]])
        batch: dict[str, str] = {}
        for start in range(0, len(REFUSED), 100):
            part = dict(enumerate(REFUSED[start : start + 100]))
            fields = {f"filepaths[{n}]": url for n, url in part.items()} | {
                f"urls[{n}]": url for n, url in part.items()
            }
            rows = service.form("POST", "/add", fields).json["result"]
            batch |= {part[n]: row["status"] for n, row in enumerate(rows)}
    json.dump({"answers": answers, "batch": batch, "reached": sorted(web.reached)}, sys.stdout)


if __name__ == "__main__":
    main()
