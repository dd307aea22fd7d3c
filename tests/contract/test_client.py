"""What both clients send, read, repeat and raise, against a server that says what a test tells it to.

The server is on loopback and part of the test; nothing else is asked.
"""

import gzip
import inspect
import io
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

import match_client
from match_client import AsyncClient, Client, Comparison, Match, Retry
from scripted import CLIENTS, Reply, Script, fail, ok, script

QUICK = Retry(attempts=3, wait_seconds=5, first_pause=0.001)
Make = Callable[..., Any]


@pytest.fixture
def server() -> Iterator[Script]:
    with script() as told:
        yield told


@pytest.fixture(params=CLIENTS)
def make(request: pytest.FixtureRequest, server: Script) -> Iterator[Make]:
    made: list[Any] = []

    def maker(url: str = "", *arguments: Any, **options: Any) -> Any:
        made.append(CLIENTS[request.param](url or server.url, *arguments, **{"retry": QUICK, **options}))
        return made[-1]

    yield maker
    for each in made:
        each.close()


def test_both_clients_have_the_same_methods_with_the_same_parameters() -> None:
    def methods(kind: type) -> dict[str, list[str]]:
        public = {name: value for name, value in vars(kind).items() if name[0] != "_" and callable(value)}
        return {
            name.replace("aclose", "close"): [str(p) for p in inspect.signature(value).parameters.values()]
            for name, value in public.items()
        }

    assert methods(Client) == methods(AsyncClient)
    assert inspect.signature(Client) == inspect.signature(AsyncClient)


def test_answers_become_values_and_unknown_fields_are_passed_over(make: Make, server: Script) -> None:
    row = {"filepath": "a", "score": 99, "metadata": {"x": 1}, "colour": "red"}
    server.then(ok(row, {"filepath": "b", "score": 60.5, "orientation": "turned"}, page=2))
    assert make().search(b"image") == [Match("a", 99.0, {"x": 1}), Match("b", 60.5, None, "turned")]
    server.then(ok({"score": 12.5, "overlap": "..."}))
    assert make().compare(b"1", b"2") == Comparison(12.5)
    server.then(ok(7))
    assert make().count() == 7


@pytest.mark.parametrize("kind", ["bytes", "path", "text path", "file", "packed file", "pipe"])
def test_an_image_is_uploaded_whatever_it_is_given_as(
    kind: str, make: Make, server: Script, tmp_path: Path
) -> None:
    data = bytes(range(256)) * 4096
    path = tmp_path / "secret-name.jpg"
    path.write_bytes(data)
    reading, writing = os.pipe()
    (tmp_path / "packed.gz").write_bytes(gzip.compress(data))
    with (
        open(reading, "rb") as pipe,  # noqa: PTH123 - a descriptor
        open(writing, "wb") as end,  # noqa: PTH123
        path.open("rb") as file,
        gzip.open(tmp_path / "packed.gz") as packed,
    ):
        feeder = threading.Thread(target=lambda: (end.write(data), end.close()), daemon=True)
        feeder.start()
        given = {
            "bytes": data,
            "path": path,
            "text path": str(path),
            "file": file,
            "packed file": packed,
            "pipe": pipe,
        }[kind]
        make().add("a/ä.jpg", given, {"owner": "Ann"})
        if kind != "pipe":
            pipe.read()
        feeder.join()
    (asked,) = server.asked
    assert (asked.method, asked.path) == ("POST", "/add")
    assert asked.headers["content-type"].startswith("multipart/form-data")
    assert asked.body.count(data) == 1
    assert "a/ä.jpg".encode() in asked.body
    assert b'{"owner": "Ann"}' in asked.body
    assert b"secret" not in asked.body


def test_a_url_is_left_to_the_service(make: Make, server: Script) -> None:
    server.then(ok())
    make().search("https://example.com/a.jpg?b=1&c", all_orientations=False)
    (asked,) = server.asked
    assert asked.headers["content-type"] == "application/x-www-form-urlencoded"
    assert asked.body == b"all_orientations=false&url=https%3A%2F%2Fexample.com%2Fa.jpg%3Fb%3D1%26c"


def test_search_options_are_sent_as_the_api_has_them(make: Make, server: Script) -> None:
    make().search("http://a/b", min_score=60.5, limit=3, offset=0, filter={"a": [1]}, details=True)
    assert server.asked[0].body == (
        b"min_score=60.5&limit=3&offset=0&filter=%7B%22a%22%3A+%5B1%5D%7D&details=true&url=http%3A%2F%2Fa%2Fb"
    )


def test_a_compare_mixes_uploads_and_urls(make: Make, server: Script) -> None:
    server.then(ok({"score": 1}))
    make().compare(b"first image", "http://example.com/2.jpg")
    body = server.asked[0].body
    assert b'name="image1"' in body
    assert b'name="url2"\r\n\r\nhttp://example.com/2.jpg' in body


def test_a_file_that_is_not_there_is_a_sentence(make: Make, server: Script, tmp_path: Path) -> None:
    with pytest.raises(match_client.MatchClientError, match=r"none\.jpg cannot be read: No such file"):
        make().search(tmp_path / "none.jpg")
    assert server.asked == []


def test_a_delete_goes_in_the_query_unless_it_is_too_long_for_one(make: Make, server: Script) -> None:
    make().delete("a&b/ü.jpg")
    make().delete("x" * 8000)
    assert [(a.method, a.path, len(a.body)) for a in server.asked] == [
        ("DELETE", "/delete?filepath=a%26b%2F%C3%BC.jpg", 0),
        ("DELETE", "/delete", 8009),
    ]


def test_a_list_is_fetched_page_by_page(make: Make, server: Script) -> None:
    server.then(ok("a", "b"), ok("c", "d"), ok("e"))
    assert list(make().list(2)) == ["a", "b", "c", "d", "e"]
    assert [a.path for a in server.asked] == [f"/list?offset={n}&limit=2" for n in (0, 2, 4)]


def test_a_blocking_list_asks_for_a_page_only_when_it_is_needed(server: Script) -> None:
    server.then(ok("a", "b"), ok("c"))
    with Client(server.url) as client:
        assert next(client.list(2)) == "a"
    assert len(server.asked) == 1


def test_one_connection_serves_many_calls(make: Make, server: Script) -> None:
    client = make()
    for _ in range(5):
        client.ping()
    assert len({asked.port for asked in server.asked}) == 1


def test_the_key_goes_in_the_header_and_into_nothing_that_is_shown(make: Make, server: Script) -> None:
    client = make("", "s3cret")
    client.ping()
    assert server.asked[0].headers["authorization"] == "Bearer s3cret"
    server.then(fail(403, "No."))
    with pytest.raises(match_client.ForbiddenError) as caught:
        client.ping()
    assert "s3cret" not in repr(caught.value) + repr(client)


def test_a_base_url_may_have_a_path(make: Make, server: Script) -> None:
    make(server.url + "/match/").ping()
    assert server.asked[0].path == "/match/ping"


@pytest.mark.parametrize("url", ["localhost:8888", "ftp://host", "http://", "http://[::", ""])
def test_what_is_no_address_is_refused_at_once(url: str) -> None:
    with pytest.raises(ValueError, match="is no URL"):
        Client(url)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, match_client.BadRequestError),
        (401, match_client.ForbiddenError),
        (403, match_client.ForbiddenError),
        (404, match_client.NotThereError),
        (409, match_client.ConflictError),
        (413, match_client.TooLargeError),
        (415, match_client.BadRequestError),
        (500, match_client.ServerFailedError),
    ],
)
def test_a_refusal_carries_status_sentence_and_request_id_and_is_not_repeated(
    status: int, kind: type[match_client.ApiError], make: Make, server: Script
) -> None:
    server.then(fail(status, "Not like that.", X_Request_Id="r-1"))
    with pytest.raises(kind) as caught:
        make().search(b"image")
    error = caught.value
    assert (error.status, error.sentence, error.request_id) == (status, "Not like that.", "r-1")
    assert str(error) == f"Not like that. ({status}, request r-1)"
    assert len(server.asked) == 1


@pytest.mark.parametrize("status", [429, 503])
def test_a_call_is_repeated_when_the_service_asks_for_it(status: int, make: Make, server: Script) -> None:
    server.then(fail(status, "Later.", Retry_After="1"), ok(3))
    begin = time.monotonic()
    assert make().count() == 3
    assert 1 <= time.monotonic() - begin < 4
    assert len(server.asked) == 2


def test_a_date_says_how_long_to_wait_as_well(make: Make, server: Script) -> None:
    server.then(fail(503, "Later.", Retry_After=formatdate(time.time() + 2, usegmt=True)), ok(3))
    begin = time.monotonic()
    assert make().count() == 3
    assert 0.5 < time.monotonic() - begin < 5


def test_an_upload_is_sent_whole_again(make: Make, server: Script, tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"the image" * 1000)
    server.then(fail(503, "Later."), ok())
    with path.open("rb") as file:
        make().add("a", file)
    first, second = server.asked
    assert len(first.body) == len(second.body)
    assert b"the image" * 1000 in second.body


def test_repeating_ends(make: Make, server: Script) -> None:
    server.then(fail(503, "Away.", Retry_After="0"))
    with pytest.raises(match_client.UnavailableError) as caught:
        make().count()
    assert (len(server.asked), caught.value.retry_after) == (3, 0.0)


def test_a_service_that_asks_for_too_much_patience_is_not_waited_for(make: Make, server: Script) -> None:
    server.then(fail(503, "Away.", Retry_After="3600"))
    begin = time.monotonic()
    with pytest.raises(match_client.UnavailableError):
        make().count()
    assert (len(server.asked), time.monotonic() - begin < 2) == (1, True)


def test_what_can_be_read_only_once_is_sent_only_once(make: Make, server: Script) -> None:
    class Stream(io.RawIOBase):
        def __init__(self) -> None:
            self._data = io.BytesIO(b"image")

        def readable(self) -> bool:
            return True

        def read(self, size: int = -1) -> bytes:
            return self._data.read(size)

    server.then(fail(503, "Later.", Retry_After="0"), ok())
    with pytest.raises(match_client.UnavailableError):
        make().add("a", Stream())
    assert len(server.asked) == 1


def test_a_cut_connection_is_tried_again(make: Make, server: Script) -> None:
    server.then(Reply(cut=True), ok(1))
    assert make().count() == 1


def test_a_service_that_is_still_starting_is_waited_for(make: Make, server: Script) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    client = make(f"http://127.0.0.1:{port}", retry=Retry(attempts=50, wait_seconds=20, first_pause=0.01))
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n" + ok(5).body.ljust(99)

    def late() -> None:
        with socket.create_server(("127.0.0.1", port)) as listener:
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(answer)

    starting = threading.Timer(0.3, late)
    starting.start()
    assert client.count() == 5
    starting.join()


def test_nobody_there_is_a_sentence(make: Make) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with pytest.raises(match_client.NotReachedError, match=rf"^http://127\.0\.0\.1:{port} cannot be reached"):
        make(f"http://127.0.0.1:{port}").ping()


def test_silence_is_a_sentence_and_not_repeated(make: Make) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        begin = time.monotonic()
        with pytest.raises(match_client.NotReachedError, match="did not answer in time"):
            make(url, timeout=0.2).ping()
        assert time.monotonic() - begin < 2


@pytest.mark.parametrize(
    ("reply", "sentence"),
    [
        (Reply(502, b"<html>Bad gateway"), "answered 502 in no form of the Match API"),
        (Reply(200, b"[]"), "answered 200 in no form of the Match API"),
        (Reply(302, b"", {"Location": "https://login.example"}), "redirects to https://login.example"),
        (ok({"filepath": "a"}), "not one this client understands"),
    ],
)
def test_an_answer_that_is_not_the_api_s_is_a_sentence(
    reply: Reply, sentence: str, make: Make, server: Script
) -> None:
    server.then(reply)
    with pytest.raises(match_client.StrangeAnswerError, match=sentence) as caught:
        make().search(b"image")
    assert caught.value.status == reply.status


def test_metadata_that_is_not_json_is_refused_before_it_is_sent(make: Make, server: Script) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        make().add("a", b"image", float("nan"))
    assert server.asked == []
