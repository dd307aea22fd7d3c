"""The API beyond the original's, on the wire, over both stores."""

import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageOps

import elastic
from labcluster.elasticsearch import shared_node
from pictures import encode, flat, jpeg, picture
from serving import Answer, Server, server
from website import website

NDJSON = "application/x-ndjson"
STORES = ["embedded", pytest.param("elasticsearch", marks=pytest.mark.elastic)]


@pytest.fixture(scope="module", params=STORES)
def service(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    settings = {
        "WORKER_COUNT": "2",
        "MATCH_FETCH_PRIVATE_HOSTS": "localhost",
        "MATCH_MAX_BODY_BYTES": "1048576",
    }
    if request.param == "elasticsearch":
        settings |= elastic.settings(shared_node(), shards=2)
    with server(tmp_path_factory.mktemp("service"), **settings) as running:
        yield running


@pytest.fixture(autouse=True)
def _empty(service: Server) -> None:
    """Each test begins with nothing stored."""
    for filepath in service.list(limit=10_000):
        service.delete(filepath)


def coarse(seed: int) -> bytes:
    """A copy of picture ``seed`` that is near it but not equal."""
    return encode(picture(seed).resize((120, 90)), quality=25)


def names(rows: list[Any]) -> list[str]:
    return [row["filepath"] for row in rows]


class TestSearch:
    def test_a_least_score_leaves_out_what_is_below_it(self, service: Server) -> None:
        service.add("same", jpeg(1))
        service.add("near", coarse(1))
        rows = service.search(jpeg(1))
        near = rows[1]["score"]
        assert names(service.search(jpeg(1), min_score=f"{near - 0.01:.2f}")) == ["same", "near"]
        assert names(service.search(jpeg(1), min_score=f"{near + 0.01:.2f}")) == ["same"]
        assert names(service.search(jpeg(1), min_score="100")) == ["same"]

    def test_a_lower_least_score_finds_more_than_the_default(self, service: Server) -> None:
        mixed = Image.blend(picture(1), picture(2), 0.5)
        service.add("mixed", encode(mixed, "PNG"))
        least = [
            rows for score in ("55", "50", "45", "40") if (rows := service.search(jpeg(1), min_score=score))
        ]
        assert all(row["score"] >= 40 for rows in least for row in rows)
        assert [names(rows) for rows in least[-1:]] in ([], [["mixed"]])
        assert len(service.search(jpeg(1), min_score="40")) >= len(service.search(jpeg(1)))

    def test_rows_come_in_pages(self, service: Server) -> None:
        for name in "abc":
            service.add(name, jpeg(1))
        assert names(service.search(jpeg(1), limit="2")) == ["a", "b"]
        assert names(service.search(jpeg(1), limit="2", offset="2")) == ["c"]
        assert names(service.search(jpeg(1), offset="1")) == ["b", "c"]
        assert service.search(jpeg(1), limit="0") == []

    def test_a_stored_image_can_be_searched_for_by_its_name(self, service: Server) -> None:
        service.add("a", jpeg(1), metadata='{"n": 1}')
        service.add("b", coarse(1))
        service.add("stranger", jpeg(2))
        rows = service.form("POST", "/search", {"filepath": "a"}).result
        assert names(rows) == ["b"]
        assert rows[0]["score"] == service.search(coarse(1), filepath="")[1]["score"]

    def test_what_a_search_by_name_cannot_do_is_told(self, service: Server) -> None:
        service.add("a", jpeg(1))
        answer = service.form("POST", "/search", {"filepath": "nothing"})
        assert (answer.status, answer.error) == (404, "No image is stored at that filepath.")
        both = service.form("POST", "/search", {"filepath": "a"}, {"image": jpeg(1)})
        assert (both.status, both.error) == (400, "Give either filepath or an image, not both.")
        assert service.form("POST", "/search", {"filepath": "a", "thorough": "yes"}).status == 400

    @pytest.mark.parametrize(
        ("wanted", "found"),
        [
            ('{"owner": "ann"}', ["a", "b"]),
            ('{"owner": "ann", "tags": ["x"]}', ["a"]),
            ('{"size": {"w": 1}}', ["b"]),
            ('{"size": {"w": 1.0}}', ["b"]),
            ('{"size": {"w": true}}', []),
            ('{"owner": null}', []),
            ("{}", ["a", "b", "c"]),
        ],
    )
    def test_rows_can_be_chosen_by_metadata(self, service: Server, wanted: str, found: list[str]) -> None:
        service.add("a", jpeg(1), metadata='{"owner": "ann", "tags": ["x", "y"]}')
        service.add("b", jpeg(1), metadata='{"owner": "ann", "size": {"w": 1, "h": 2}}')
        service.add("c", jpeg(1), metadata='{"owner": "bob"}')
        service.add("d", jpeg(1))
        service.add("e", jpeg(1), metadata='["owner", "ann"]')
        assert names(service.search(jpeg(1), filter=wanted)) == found
        assert names(service.search(jpeg(1), filter=wanted, limit="1")) == found[:1]

    def test_details_say_how_a_match_is_turned(self, service: Server) -> None:
        service.add("a", jpeg(1))
        turned = encode(picture(1).transpose(Image.Transpose.ROTATE_90), "PNG")
        (row,) = service.search(turned, details="true")
        assert list(row) == ["score", "filepath", "metadata", "orientation"]
        assert row["orientation"] == "rotated 270"
        assert service.search(jpeg(1), details="true")[0]["orientation"] == "identity"
        framed = encode(ImageOps.expand(picture(1), (300, 40, 10, 20), (240, 240, 241)))
        assert service.search(framed, details="true", thorough="true")[0]["orientation"] == "guessed"


class TestConditionalAdd:
    def test_a_new_image_only(self, service: Server) -> None:
        assert service.add("a", jpeg(1), if_new="true").status == 200
        answer = service.add("a", jpeg(2), if_new="true")
        assert (answer.status, answer.error) == (409, "An image is stored at that filepath already.")
        assert names(service.search(jpeg(1))) == ["a"]
        assert service.add("a", jpeg(2), if_new="false").status == 200

    def test_only_if_nothing_similar_is_stored(self, service: Server) -> None:
        service.add("a", jpeg(1))
        answer = service.add("b", coarse(1), unless_similar="60")
        assert answer.status == 409
        assert answer.error.startswith("The stored image a is similar: its score is 8")
        assert service.list() == ["a"]
        assert service.add("b", coarse(1), unless_similar="100").status == 200
        assert service.add("c", jpeg(2), unless_similar="60").status == 200

    def test_an_image_is_not_in_its_own_way(self, service: Server) -> None:
        service.add("a", jpeg(1))
        assert service.add("a", coarse(1), unless_similar="60").status == 200
        assert service.add("a", coarse(1), unless_similar="60", if_new="true").status == 409

    def test_of_similar_images_at_the_same_moment_at_most_one_stays(self, service: Server) -> None:
        def add(number: int) -> int:
            return service.add(str(number), jpeg(1), unless_similar="90").status

        with ThreadPoolExecutor(6) as threads:
            statuses = list(threads.map(add, range(6)))
        assert set(statuses) <= {200, 409}
        assert service.count() == statuses.count(200) <= 1


class TestBatch:
    def _add(self, service: Server, fields: dict[str, str], files: dict[str, bytes]) -> Answer:
        return service.form("POST", "/add", fields, files)

    def test_every_item_has_a_result_of_its_own(self, service: Server) -> None:
        with website(lambda name: jpeg(int(name))) as site:
            fields = {
                "filepaths[0]": "a", "filepaths[1]": "b", "filepaths[2]": "c", "filepaths[7]": "d",
                "urls[1]": f"{site}/2", "metadata[1]": '{"n": 1}', "urls[7]": f"{site}/nothing",
            }  # fmt: skip
            answer = self._add(
                service, fields, {"images[0]": jpeg(1), "images[2]": flat(), "images[9]": jpeg(3)}
            )
        envelope = answer.json
        assert (answer.status, envelope["status"], envelope["method"]) == (200, "warn", "add")
        rows = envelope["result"]
        assert [(row["filepath"], row["status"]) for row in rows] == [
            ("a", "ok"), ("b", "ok"), ("c", "fail"), ("d", "fail"), (None, "fail"),
        ]  # fmt: skip
        assert envelope["error"] == [error for row in rows for error in row["error"]]
        assert rows[4]["error"] == ["filepaths[9] is required."]
        assert service.list() == ["a", "b"]
        assert service.search(jpeg(2)) == [{"score": 100.0, "filepath": "b", "metadata": {"n": 1}}]

    def test_a_batch_without_a_fault_is_ok(self, service: Server) -> None:
        fields = {f"filepaths[{n}]": f"image {n}" for n in range(10)}
        answer = self._add(service, fields, {f"images[{n}]": jpeg(n) for n in range(10)})
        assert answer.result == [{"filepath": f"image {n}", "status": "ok", "error": []} for n in range(10)]
        assert service.count() == 10
        assert names(service.search(jpeg(4))) == ["image 4"]

    def test_conditions_hold_for_each_item(self, service: Server) -> None:
        service.add("a", jpeg(1))
        fields = {"filepaths[0]": "a", "filepaths[1]": "b", "filepaths[2]": "c", "if_new": "true"}
        files = {"images[0]": jpeg(5), "images[1]": jpeg(2), "images[2]": jpeg(2)}
        rows = self._add(service, {**fields, "unless_similar": "90"}, files).json["result"]
        assert [row["status"] for row in rows] == ["fail", "ok", "fail"]
        assert service.list() == ["a", "b"]

    @pytest.mark.parametrize(
        ("fields", "sentence"),
        [
            ({"filepaths[0]": "a", "filepath": "b"}, "Give either filepath or filepaths[0]"),
            ({f"filepaths[{n}]": "a" for n in range(101)}, "A batch has at most 100 images."),
            ({"filepaths[0]": "a", "if_new": "perhaps"}, "if_new must be true or false."),
        ],
    )
    def test_what_is_no_batch_is_refused_as_a_whole(
        self, service: Server, fields: dict[str, str], sentence: str
    ) -> None:
        answer = service.form("POST", "/add", fields)
        assert answer.status == 400
        assert answer.error.startswith(sentence)


class TestOneRecord:
    def test_what_is_kept_can_be_read(self, service: Server) -> None:
        service.add("a b/ü?.jpg", jpeg(1), metadata='{"n": 1}')
        (row,) = service.send("GET", "/image?filepath=a%20b/%C3%BC%3F.jpg").result
        added = datetime.fromisoformat(row.pop("added"))
        assert abs(datetime.now(UTC) - added) < timedelta(minutes=1)
        assert row == {"filepath": "a b/ü?.jpg", "metadata": {"n": 1}, "sha256": sha256(jpeg(1)).hexdigest()}

    def test_what_is_not_there_is_told(self, service: Server) -> None:
        answer = service.send("GET", "/image?filepath=a")
        assert (answer.status, answer.json["method"]) == (404, "image")
        assert service.send("GET", "/image").status == 400


class TestPurge:
    def _purge(self, service: Server, **fields: str) -> dict[str, Any]:
        return dict(service.form("POST", "/purge", fields).result[0])

    def test_only_what_the_filter_says_goes_and_only_when_it_is_meant(self, service: Server) -> None:
        for number in range(5):
            service.add(
                str(number), jpeg(number), metadata=json.dumps({"odd": bool(number % 2), "n": number})
            )
        service.add("none", jpeg(9))
        wanted = '{"odd": true}'
        expected = {"matched": 2, "deleted": 0, "filepaths": ["1", "3"]}
        assert self._purge(service, filter=wanted) == expected
        assert self._purge(service, filter=wanted, dry_run="true") == expected
        assert service.count() == 6
        assert self._purge(service, filter=wanted, dry_run="false") == {**expected, "deleted": 2}
        assert service.list() == ["0", "2", "4", "none"]
        assert service.search(jpeg(1)) == []

    @pytest.mark.parametrize("wanted", ["", "{}", "[]", "1", "{"])
    def test_without_a_filter_nothing_is_done(self, service: Server, wanted: str) -> None:
        service.add("a", jpeg(1), metadata="{}")
        assert service.form("POST", "/purge", {"filter": wanted, "dry_run": "false"}).status == 400
        assert service.count() == 1


class TestExportAndImport:
    def _export(self, service: Server, query: str = "") -> bytes:
        answer = service.send("GET", f"/export{query}")
        assert (answer.status, answer.headers["Content-Type"]) == (200, NDJSON)
        return answer.body

    def _import(self, service: Server, body: bytes) -> dict[str, Any]:
        return dict(service.send("POST", "/import", body, Content_Type=NDJSON).result[0])

    def test_what_one_service_gives_another_takes(self, service: Server, tmp_path: Path) -> None:
        for number in range(3):
            service.add(f"ü{number}", jpeg(number), metadata=json.dumps({"n": number}))
        given = self._export(service)
        assert [json.loads(line)["filepath"] for line in given.splitlines()] == ["ü0", "ü1", "ü2"]
        with server(tmp_path) as other:
            assert self._import(other, given) == {"imported": 3, "failed": 0, "errors": []}
            assert other.search(jpeg(1)) == service.search(jpeg(1))
            dated = [{**json.loads(line), "added": ""} for line in given.splitlines()]
            again = [{**json.loads(line), "added": ""} for line in self._export(other).splitlines()]
            assert again == dated
        service.delete("ü1")
        assert self._import(service, given)["imported"] == 3
        assert names(service.search(jpeg(1))) == ["ü1"]

    def test_a_part_can_be_given(self, service: Server) -> None:
        service.add("a", jpeg(1), metadata='{"n": 1}')
        service.add("b", jpeg(2), metadata='{"n": 2}')
        (line,) = self._export(service, "?filter=%7B%22n%22%3A2%7D").splitlines()
        assert json.loads(line)["filepath"] == "b"
        service.delete("a")
        service.delete("b")
        assert self._export(service) == b""

    def test_lines_that_are_wrong_are_told_and_passed_over(self, service: Server) -> None:
        service.add("a", jpeg(1))
        good = json.loads(self._export(service))
        bad = [
            {**good, "filepath": ""}, {**good, "filepath": "a\nb"}, {**good, "sha256": "x"},
            {**good, "signature": "AAAA"}, {**good, "signature": good["signature"][:-8] + "////////"},
            {**good, "signature": "A" * 136}, {**good, "metadata": "\ud800"}, [], 1,
        ]  # fmt: skip
        lines = [json.dumps(row).encode() for row in bad] + [b"{", b"\xff", b"", json.dumps(good).encode()]
        outcome = self._import(service, b"\n".join(lines))
        assert (outcome["imported"], outcome["failed"]) == (1, 11)
        assert [error["line"] for error in outcome["errors"]] == list(range(1, 12))
        assert all(error["error"].endswith(".") for error in outcome["errors"])

    def test_more_than_a_request_may_hold_can_be_imported(self, service: Server) -> None:
        service.add("a", jpeg(1))
        good = json.loads(self._export(service))
        bulky = {"bulk": True, "text": "x" * 400}
        rows = [{**good, "filepath": f"image {n:05}", "metadata": bulky} for n in range(2_500)]
        body = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
        assert len(body) > 1_048_576
        assert self._import(service, body)["imported"] == 2_500
        assert service.count() == 2_501
        assert len(self._export(service).splitlines()) == 2_501
        assert service.list(2_499, 5) == ["image 02498", "image 02499"]
        purged = service.form("POST", "/purge", {"filter": '{"bulk": true}', "dry_run": "false"}).result[0]
        assert (purged["deleted"], service.count()) == (2_500, 1)

    def test_what_is_no_list_of_lines_is_refused(self, service: Server) -> None:
        assert service.send("POST", "/import", b"{}", Content_Type="application/json").status == 415

    @pytest.mark.parametrize("size", [512 * 1024 + 1, 600_000, 2_000_000])
    def test_a_line_that_is_too_long_is_refused_by_its_number(self, service: Server, size: int) -> None:
        service.add("a", jpeg(1))
        good = self._export(service)
        outcome = self._import(service, good + b"x" * (size - 1) + b"\n" + good)
        sentence = "The line must be at most 524288 bytes long."
        assert outcome == {"imported": 2, "failed": 1, "errors": [{"line": 2, "error": sentence}]}

    @pytest.mark.parametrize(
        ("head", "begin", "end"),
        [
            (b"Content-Length: 100000", b"", b""),
            (b"Transfer-Encoding: chunked", b"%x\r\n", b"\r\nzz\r\n"),
            (b"Transfer-Encoding: chunked", b"%x\r\n", b"no end of a chunk"),
            (b"Transfer-Encoding: chunked", b"%x\r\n", b""),
        ],
    )
    def test_of_a_body_that_is_broken_is_told_what_was_imported(
        self, service: Server, head: bytes, begin: bytes, end: bytes
    ) -> None:
        service.add("a", jpeg(1))
        line = json.loads(self._export(service))
        service.delete("a")
        good = b"".join(json.dumps({**line, "filepath": str(n)}).encode() + b"\n" for n in range(20))
        host, port = service.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=60) as client:
            sent = begin % len(good) if begin else b""
            client.sendall(
                b"POST /import HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\n"
                + head + b"\r\n\r\n" + sent + good + end
            )  # fmt: skip
            client.shutdown(socket.SHUT_WR)
            answer = b"".join(iter(lambda: client.recv(65536), b""))
        assert answer.startswith(b"HTTP/1.1 400 ")
        count = service.count()  # gunicorn keeps the last kilobyte before what is malformed
        assert b"The body broke off or is malformed; imported before: %d." % count in answer
        assert count > 10


def test_metrics_add_up_over_all_workers(service: Server) -> None:
    def value(name: str) -> float:
        lines = service.send("GET", "/metrics").body.decode().splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))

    counted = 'match_request_seconds_count{endpoint="count",status="200"}'
    before, flats = value(counted), value('match_decode_failures_total{reason="flat"}')
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: Server.count(service), range(20)))
    service.add("a", flat())
    service.add("a", jpeg(1))
    service.form("POST", "/search", {"url": "http://localhost:1/"})
    assert value(counted) == before + 20
    assert value('match_decode_failures_total{reason="flat"}') == flats + 1
    for stage in ("decode", "store"):
        assert value(f'match_stage_seconds_count{{endpoint="add",stage="{stage}"}}') >= 1
    assert value("match_fetch_failures_total") >= 1
    assert value("match_requests_in_flight") == 1
