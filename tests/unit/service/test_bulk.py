"""Bulk writes against a server that is busy: what is refused for now is sent again, and only that."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from elasticsearch import Elasticsearch

from match_service.errors import StoreUnavailableError
from match_service.store import bulk


class Busy(ThreadingHTTPServer):
    """Speaks _bulk; refuses each id as often as ``refusals`` says, with a status."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.refusals: dict[str, list[int]] = {}
        self.whole: list[int] = []
        self.requests: list[list[str]] = []
        self.paths: list[str] = []


class Handler(BaseHTTPRequestHandler):
    server: Busy

    def do_PUT(self) -> None:
        lines = self.rfile.read(int(self.headers["Content-Length"])).splitlines()
        ids = [json.loads(line)["index"]["_id"] for line in lines[::2]]
        self.server.requests.append(ids)
        self.server.paths.append(self.path)
        if self.server.whole:
            self._answer(self.server.whole.pop(), {"error": {"type": "busy"}, "status": 429})
            return
        items = []
        for key in ids:
            queue = self.server.refusals.get(key, [])
            status = queue.pop(0) if queue else 201
            items.append(
                {"index": {"_id": key, "status": status, "error": {"type": "refused", "reason": "too deep"}}}
            )
        errors = any(item["index"]["status"] >= 300 for item in items)
        self._answer(200, {"errors": errors, "items": items})

    def _answer(self, status: int, body: dict[str, object]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        for name, value in (("Content-Type", "application/json"), ("X-Elastic-Product", "Elasticsearch")):
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def busy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Busy]:
    monkeypatch.setattr(bulk, "FIRST_PAUSE_SECONDS", 0.001)
    with Busy() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def client(busy: Busy) -> Iterator[Elasticsearch]:
    with Elasticsearch(f"http://127.0.0.1:{busy.server_port}", max_retries=0) as made:
        yield made


DOCUMENTS = {key: {"filepath": key} for key in "abc"}


def test_only_what_was_refused_for_now_is_sent_again(busy: Busy, client: Elasticsearch) -> None:
    busy.refusals = {"b": [429, 429], "c": [503]}
    assert bulk.index(client, "images", DOCUMENTS) == {}
    assert busy.requests == [["a", "b", "c"], ["b", "c"], ["b"]]
    assert all("require_alias=true" in path for path in busy.paths)


def test_a_request_refused_as_a_whole_is_sent_again(busy: Busy, client: Elasticsearch) -> None:
    busy.whole = [429, 503]
    bulk.index(client, "images", DOCUMENTS)
    assert busy.requests == [["a", "b", "c"]] * 3


def test_a_cluster_that_stays_busy_is_given_up_on(busy: Busy, client: Elasticsearch) -> None:
    busy.refusals = {"b": [429] * 100}
    with pytest.raises(StoreUnavailableError, match="too busy to take 1 documents"):
        bulk.index(client, "images", DOCUMENTS)
    assert len(busy.requests) == bulk.ATTEMPTS


def test_a_malformed_document_is_told_and_the_others_go_in(busy: Busy, client: Elasticsearch) -> None:
    busy.refusals = {"b": [400], "c": [429]}
    refused = bulk.index(client, "images", DOCUMENTS)
    assert refused == {"b": "Elasticsearch refused it (refused: too deep)."}
    assert busy.requests == [["a", "b", "c"], ["c"]]


@pytest.mark.parametrize("status", [403, 404, 500])
def test_a_refusal_that_would_meet_every_document_ends_it(
    busy: Busy, client: Elasticsearch, status: int
) -> None:
    busy.refusals = {"b": [status]}
    with pytest.raises(StoreUnavailableError, match=r"refused b \(refused\)"):
        bulk.index(client, "images", DOCUMENTS)


def test_large_batches_go_in_portions(
    busy: Busy, client: Elasticsearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "REQUEST_BYTES", 30)
    bulk.index(client, "images", DOCUMENTS)
    assert busy.requests == [["a"], ["b"], ["c"]]
