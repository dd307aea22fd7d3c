"""The application around a store that fails: what callers see and what they never see."""

import io
from pathlib import Path
from typing import Any

import pytest

from match_service.app import create_app
from match_service.errors import StoreUnavailableError
from match_service.settings import Settings
from match_service.store.embedded import EmbeddedStore
from pictures import encode, jpeg, picture


class Broken:
    """A store whose every call raises ``error``."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __getattr__(self, name: str) -> Any:
        def call(*_args: Any, **_named: Any) -> None:
            raise self._error

        return call


def test_a_store_that_is_away_is_a_503_that_says_when_to_come_back() -> None:
    client = create_app(Settings(), Broken(StoreUnavailableError("The store is away."))).test_client()
    answers = [
        client.post("/add", data={"filepath": "a", "image": (_file(), "a.jpg")}),
        client.delete("/delete", data={"filepath": "a"}),
        client.post("/search", data={"image": (_file(), "a.jpg")}),
        client.get("/count"),
        client.get("/list"),
        client.get("/readyz"),
    ]
    for answer, method in zip(answers, ("add", "delete", "search", "count", "list", "readyz"), strict=True):
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")
        expected = {"status": "fail", "error": ["The store is away."], "method": method, "result": []}
        assert answer.json == expected


@pytest.mark.parametrize("path", ["/add", "/rest/add/"])
def test_an_image_of_a_batch_that_the_store_refuses_is_not_acknowledged(
    tmp_path: Path, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = EmbeddedStore.open(tmp_path / "match.db")
    monkeypatch.setattr(store, "add_many", lambda *_, **__: {"b": "It is full."})
    client = create_app(Settings(tineye_rest=True), store).test_client()
    names = {"filepaths[0]": "a", "filepaths[1]": "b"}
    files = {"images[0]": (_file(), "1.jpg"), "images[1]": (_file(), "2.jpg")}
    answer = client.post(path, data=names | files).json
    assert (answer["status"], [error[-11:] for error in answer["error"]]) == ("warn", ["It is full."])
    store.close()


def test_an_unforeseen_failure_is_logged_but_not_told(caplog: pytest.LogCaptureFixture) -> None:
    client = create_app(Settings(), Broken(RuntimeError("secret"))).test_client()
    answer = client.get("/count")
    assert answer.status_code == 500
    assert answer.mimetype == "application/json"
    assert "secret" not in answer.text
    assert "RuntimeError: secret" in caplog.text


def test_the_process_is_alive_and_pings_while_the_store_is_away() -> None:
    client = create_app(Settings(), Broken(StoreUnavailableError("away"))).test_client()
    assert (client.get("/livez").status_code, client.get("/ping").status_code) == (200, 200)


def test_a_process_that_is_shutting_down_is_alive_but_not_ready(tmp_path: Path) -> None:
    store = EmbeddedStore.open(tmp_path / "match.db")
    client = create_app(Settings(), store, draining=lambda: True).test_client()
    assert client.get("/livez").status_code == 200
    ready = client.get("/readyz")
    assert ready.status_code == 503
    assert ready.json["error"] == ["The service is shutting down."]
    assert client.get("/count").status_code == 200
    store.close()


def test_head_and_options_say_what_get_and_allow_would(tmp_path: Path) -> None:
    store = EmbeddedStore.open(tmp_path / "match.db")
    client = create_app(Settings(), store).test_client()
    head = client.head("/count")
    assert (head.status_code, head.data, head.mimetype) == (200, b"", "application/json")
    options = client.options("/list")
    assert (options.status_code, options.data) == (204, b"")
    assert set(options.headers["Allow"].split(", ")) == {"GET", "HEAD", "POST", "OPTIONS"}
    store.close()


def test_the_default_of_all_orientations_is_a_setting(tmp_path: Path) -> None:
    store = EmbeddedStore.open(tmp_path / "match.db")
    client = create_app(Settings(all_orientations=False), store).test_client()
    client.post("/add", data={"filepath": "a", "image": (_file(), "a.jpg")})
    found = [
        client.post("/search", data={"image": (_file(turned=True), "a.jpg"), **extra}).json["result"]
        for extra in ({}, {"all_orientations": "true"})
    ]
    assert [len(rows) for rows in found] == [0, 1]
    store.close()


def _file(*, turned: bool = False) -> io.BytesIO:
    return io.BytesIO(encode(picture(1).rotate(90, expand=True), "PNG") if turned else jpeg(1))
