"""The files of the page as they are sent: headers, and nothing that needs another site or an exception."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from match_service.app import create_app
from match_service.settings import Settings
from match_service.store.embedded import EmbeddedStore

PAGE = Path(__file__).resolve().parents[3] / "service/match_service/web/page"
FILES = sorted(path.name for path in PAGE.iterdir())


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EmbeddedStore]:
    opened = EmbeddedStore.open(tmp_path / "match.db")
    yield opened
    opened.close()


@pytest.fixture
def client(store: EmbeddedStore) -> FlaskClient:
    return create_app(Settings(), store).test_client()


@pytest.mark.parametrize("path", ["/", "/web/settings.json", *(f"/web/{name}" for name in FILES)])
def test_every_file_comes_with_the_headers_that_protect_it(client: FlaskClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 200
    policy = dict(part.split(" ", 1) for part in answer.headers["Content-Security-Policy"].split("; "))
    assert policy == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self' blob: data:",
        "connect-src": "'self'",
        "form-action": "'none'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    again = client.get(path, headers={"If-None-Match": answer.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")


def test_a_file_that_is_not_there_is_the_envelopes_404(client: FlaskClient) -> None:
    for path in ("/web/nothing.js", "/web/../__init__.py", "/web/%2e%2e/__init__.py", "/web/"):
        answer = client.get(path)
        assert (answer.status_code, answer.json["error"]) == (404, ["There is no such path."])


def test_the_page_can_be_turned_off(store: EmbeddedStore) -> None:
    client = create_app(Settings(page=False), store).test_client()
    assert [client.get(path).status_code for path in ("/", "/web/main.js", "/count")] == [404, 404, 200]


def test_the_page_never_parses_a_text_as_html_and_names_no_other_site() -> None:
    for path in PAGE.iterdir():
        text = path.read_text("utf-8")
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function", text
        ), path
        links = re.findall(r"""(?:src|href|url\(|import|from)\s*=?\s*["'(]*(https?:)?//""", text)
        assert links == [], path
        if path.suffix == ".html":
            assert not re.search(r"<script(?![^>]* src=)|<style|\son\w+=|\sstyle=", text)


def test_every_module_of_the_page_says_what_it_is_and_is_small() -> None:
    for path in PAGE.glob("*.js"):
        lines = path.read_text("utf-8").splitlines()
        assert lines[0].startswith("// "), path
        assert len(lines) <= 260, path
