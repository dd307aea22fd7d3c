"""Which URLs are opened at all, and which addresses."""

import ipaddress

import pytest

from match_service.errors import FetchError
from match_service.fetch import Fetcher, is_public, parse
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
        ("drip", "took longer than 1 seconds"),
        ("cut", "broke off its answer"),
        ("missing", "answered with status 404"),
    ],
)
def test_a_server_that_misbehaves_is_told_in_a_sentence(path: str, sentence: str) -> None:
    with website(dict[str, bytes]().__getitem__) as site, pytest.raises(FetchError, match=sentence):
        Fetcher(LOCAL).fetch(f"{site}/{path}")


def test_the_sentence_of_a_failure_holds_nothing_of_the_url() -> None:
    with pytest.raises(FetchError) as failure:
        Fetcher(LOCAL).fetch("http://localhost:1/path?token=secret")
    assert "secret" not in str(failure.value)
