"""Which URLs are opened at all, and which addresses."""

import ipaddress
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from match_service.addresses import HostList, is_public
from match_service.errors import FetchError
from match_service.fetch import Fetcher, parse
from match_service.settings import FetchLimits
from website import website

INNER = [
    *("0.0.0.0", "10.0.0.1", "100.64.0.1", "127.0.0.1", "127.1.2.3", "169.254.169.254"),  # noqa: S104
    *("172.16.0.1", "192.168.1.1", "192.0.2.1", "198.18.0.1", "203.0.113.9"),
    *("224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255"),
    *(
        "::",
        "::1",
        "fe80::1",
        "fe80::1%eth0",
        "fc00::1",
        "fd00:ec2::254",
        "fec0::1",
        "ff02::1",
        "2001:db8::1",
    ),
    *("::127.0.0.1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:0:127.0.0.1"),
    *("64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::808:808", "2002:7f00:1::", "2002:a00:1::"),
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
]
INNER += ["168.63.129.16", "::ffff:168.63.129.16", "192.88.99.1"]
OUTER = ["8.8.8.8", "93.184.216.34", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]


@pytest.mark.parametrize("address", INNER)
def test_an_address_that_is_not_on_the_internet_is_refused_in_every_form(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", OUTER)
def test_an_ordinary_address_is_allowed(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "http://127.1/",
        "http://0x7f000001/",
        "http://017700000001/",
        "http://2130706433/",
        "http://[::1]/",
        "http://[::ffff:7f00:1]/",
        "http://localhost/",
        "http://LOCALHOST./",
        "http://①②⑦.0.0.1/",
        "https://0/",
    ],
)
def test_no_spelling_of_an_inner_host_gets_through(url: str) -> None:
    with pytest.raises(FetchError, match=r"^The URL's host (is not on the public internet|could not be res)"):
        Fetcher(FetchLimits()).fetch(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "a.jpg",
        "//example.com/a",
        "file:///etc/passwd",
        "gopher://example.com/",
        "http:///a",
        "http://:80/",
        "http://[::1",
        "http://a:b@example.com/",
        "http://example.com:0/",
        "http://example.com:65536/",
        "http://example.com\\@127.0.0.1/",
        "http://example.com/\r\nHost: x",
        "http://" + "a" * 70 + ".example/",
    ],
)
def test_what_is_no_plain_web_address_is_refused(url: str) -> None:
    with pytest.raises(FetchError, match=r"^The URL .*\.$"):
        parse(url)


def test_characters_outside_ascii_are_sent_encoded() -> None:
    target = parse("http://bücher.example/ä b?q=ü".replace(" ", "%20"))
    assert (target.host, target.path) == ("xn--bcher-kva.example", "/%C3%A4%20b?q=%C3%BC")


LOCAL = FetchLimits(timeout=1.0, max_bytes=1000, max_redirects=2, private_hosts=frozenset({"localhost"}))


def test_a_body_of_exactly_the_limit_is_fetched_and_one_byte_more_is_not() -> None:
    with website(lambda name: b"x" * int(name)) as site:
        fetcher = Fetcher(LOCAL)
        assert len(fetcher.fetch(f"{site}/1000")) == 1000
        with pytest.raises(FetchError, match="larger than 1000 bytes"):
            fetcher.fetch(f"{site}/1001")


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("loop", "redirects more than 2 times"),
        ("inward", "not on the public internet"),
        ("nowhere", "redirects to what is no URL"),
        ("drip", "took longer than 1 seconds"),
        ("cut", "broke off its answer"),
        ("missing", "answered with status 404"),
    ],
)
def test_a_server_that_misbehaves_is_told_in_a_sentence(path: str, sentence: str) -> None:
    with website(dict[str, bytes]().__getitem__) as site, pytest.raises(FetchError, match=sentence):
        Fetcher(LOCAL).fetch(f"{site}/{path}")


def test_a_lookup_that_nobody_waits_for_any_more_is_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name server that does not answer keeps the threads; what queued behind them is not asked later."""
    asked: list[str] = []
    release = threading.Event()

    def lookup(host: str, *_: object, **__: object) -> list[object]:
        asked.append(host)
        release.wait(60)
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    fetcher = Fetcher(replace(LOCAL, timeout=0.2))
    with ThreadPoolExecutor(20) as threads:
        failures = list(threads.map(lambda n: _failure(fetcher, f"http://{n}.example/"), range(20)))
    release.set()
    fetcher._resolver.shutdown()
    assert failures == ["The URL took longer than 0.2 seconds to fetch."] * 20
    assert len(asked) == 16


def _failure(fetcher: Fetcher, url: str) -> str:
    with pytest.raises(FetchError) as failure:
        fetcher.fetch(url)
    return str(failure.value)


def test_the_sentence_of_a_failure_holds_nothing_of_the_url() -> None:
    with pytest.raises(FetchError) as failure:
        Fetcher(LOCAL).fetch("http://localhost:1/path?token=secret")
    assert "secret" not in str(failure.value)


@pytest.mark.parametrize(
    ("limits", "reached"),
    [
        (FetchLimits(private_hosts=frozenset({"localhost"}), deny=HostList.parse(["localhost"])), False),
        (FetchLimits(allow_private=True, deny=HostList.parse(["127.0.0.0/8", "::1"])), False),
        (FetchLimits(allow_private=True, deny=HostList.parse(["*.example.com"])), True),
        (FetchLimits(allow_private=True, allow=HostList.parse(["images.example.com"])), False),
        (FetchLimits(allow_private=True, allow=HostList.parse(["LocalHost."])), True),
        (FetchLimits(allow_private=True, allow=HostList.parse(["127.0.0.0/8", "::1/128"])), True),
        (FetchLimits(allow=HostList.parse(["localhost"])), False),
    ],
)
def test_lists_of_hosts_say_where_a_url_may_lead(limits: FetchLimits, reached: bool) -> None:
    with website({"a": b"x"}.__getitem__) as site:
        if reached:
            assert Fetcher(limits).fetch(f"{site}/a") == b"x"
        else:
            with pytest.raises(FetchError, match=r"not (one that this service fetches|on the public)"):
                Fetcher(limits).fetch(f"{site}/a")


@pytest.mark.parametrize("item", ["*", "a.*", "10.0.0.0/33", "http://example.com", "example.com:80", "."])
def test_what_is_no_host_is_no_item_of_a_list(item: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        HostList.parse([item])


def test_a_domain_is_all_below_it_and_nothing_beside_it() -> None:
    listed = HostList.parse(["*.example.com", "only.example.org"])
    assert listed.has_host("a.b.example.com")
    assert listed.has_host("only.example.org")
    assert not any(map(listed.has_host, ("example.com", "badexample.com", "sub.only.example.org")))


@pytest.mark.parametrize(
    ("kind", "fetched"),
    [("image/jpeg", True), ("text/html; charset=utf-8", False), ("application/json", False)],
)
def test_what_says_that_it_is_no_image_is_not_read(kind: str, fetched: bool) -> None:
    with website({"a": b"x"}.__getitem__, kind) as site:
        if fetched:
            assert Fetcher(LOCAL).fetch(f"{site}/a") == b"x"
        else:
            with pytest.raises(FetchError, match="says that its content is no image"):
                Fetcher(LOCAL).fetch(f"{site}/a")


class TestProxy:
    """A proxy is only ever told what was checked, unless it is the guard itself."""

    @pytest.fixture
    def asked(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
        heads: list[str] = []
        with socket.create_server(("127.0.0.1", 0)) as listener:

            def work() -> None:
                while True:
                    connection, _ = listener.accept()
                    with connection:
                        head = connection.recv(65536)
                        if not head:
                            return
                        heads.append(head.decode("ascii"))
                        if head.startswith(b"CONNECT"):
                            connection.sendall(b"HTTP/1.1 200 OK\r\nVia: x\r\n\r\n")
                            heads.append(connection.recv(65536).decode("ascii"))
                        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx")

            thread = threading.Thread(target=work)
            thread.start()
            port = listener.getsockname()[1]
            monkeypatch.setenv("http_proxy", f"http://ann:secret@127.0.0.1:{port}")
            monkeypatch.setenv("no_proxy", "direct.example")
            yield heads
            socket.create_connection(("127.0.0.1", port)).close()
            thread.join()

    def test_it_is_told_the_address_that_was_checked(self, asked: list[str]) -> None:
        assert Fetcher(FetchLimits()).fetch("http://8.8.8.8:81/a?b") == b"x"
        connect, request = asked
        assert connect.startswith("CONNECT 8.8.8.8:81 HTTP/1.1\r\n")
        assert "Proxy-Authorization: Basic YW5uOnNlY3JldA==\r\n" in connect
        assert request.startswith("GET /a?b HTTP/1.1\r\nHost: 8.8.8.8:81\r\n")
        assert "secret" not in request
        assert "Proxy-Authorization" not in request

    @pytest.mark.parametrize("mode", ["address", "name"])
    def test_it_is_not_even_asked_for_an_inner_address(self, asked: list[str], mode: str) -> None:
        for url in ("http://127.0.0.1/", "http://0x7f.1/", "http://localhost/", "http://[::ffff:10.0.0.1]/"):
            with pytest.raises(FetchError, match="not on the public internet"):
                Fetcher(FetchLimits(proxy=mode)).fetch(url)
        assert asked == []

    def test_as_the_guard_it_is_told_the_name(self, asked: list[str]) -> None:
        limits = FetchLimits(proxy="name", deny=HostList.parse(["denied.example"]))
        assert Fetcher(limits).fetch("http://images.example:81/a") == b"x"
        (request,) = asked
        assert request.startswith("GET http://images.example:81/a HTTP/1.1\r\nHost: images.example:81\r\n")
        with pytest.raises(FetchError, match="not one that this service fetches from"):
            Fetcher(limits).fetch("http://denied.example/a")

    def test_it_is_not_used_where_it_shall_not_be(self, asked: list[str]) -> None:
        with website({"a": b"y"}.__getitem__) as site:
            assert Fetcher(LOCAL).fetch(f"{site}/a") == b"y"
            limits = FetchLimits(allow_private=True, proxy="off")
            assert Fetcher(limits).fetch(f"{site}/a") == b"y"
        with pytest.raises(FetchError, match="could not be resolved"):
            Fetcher(FetchLimits()).fetch("http://direct.example/")
        assert asked == []
