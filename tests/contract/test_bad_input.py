"""The table of bad input, row by row against the real server over both stores."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import bad_input
import elastic
from bad_input import CASES, LIMITS, PICTURES
from labcluster.elasticsearch import shared_node
from odd_request import Case, Request
from serving import Answer, Server, server
from website import website

PAGE = Path(__file__).resolve().parents[2] / "docs/bad-input.md"


@pytest.fixture(scope="module")
def pictures() -> Iterator[str]:
    with website(bad_input.file) as url:
        yield url


@pytest.fixture(scope="module", params=["embedded", pytest.param("elasticsearch", marks=pytest.mark.elastic)])
def service(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    settings = dict(LIMITS)
    if request.param == "elasticsearch":
        settings |= elastic.settings(shared_node())
    with server(tmp_path_factory.mktemp("service"), **settings) as running:
        yield running


def _send(service: Server, request: Request, pictures: str) -> Answer:
    if request.body is not None:
        headers = {"Content_Type": request.content_type} if request.content_type else {}
        return service.send(request.method, request.path, request.body, **headers)
    fields = {name: value.replace(PICTURES, pictures) for name, value in request.fields.items()}
    files = {name: bad_input.file(value) for name, value in request.files.items()}
    return service.form(request.method, request.path, fields, files or None)


def _name(case: Case) -> str:
    return str(case.request).replace("`", "")[:60]


@pytest.mark.parametrize("case", CASES, ids=_name)
def test_a_request_gets_the_answer_of_the_table(service: Server, pictures: str, case: Case) -> None:
    answer = _send(service, case.request, pictures)
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.status == case.status, answer.body
    if case.status == 200:
        assert answer.json["status"] == "ok"
    else:
        assert answer.error.startswith(case.sentence.removesuffix("…"))
        assert case.sentence.endswith("…") or answer.error == case.sentence
    if case.status == 405:
        assert answer.headers["Allow"]


@pytest.mark.parametrize("twin", sorted({case.twin for case in CASES if case.twin}, key=str), ids=str)
def test_the_well_formed_twin_of_a_refusal_succeeds(service: Server, pictures: str, twin: Request) -> None:
    answer = _send(service, twin, pictures)
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "image/jpeg" or answer.json["status"] == "ok"


def test_every_refusal_has_a_twin_and_the_table_is_long_enough() -> None:
    assert [case for case in CASES if case.status != 200 and case.twin is None] == []
    assert len(CASES) >= 40


def test_a_path_like_filepath_is_only_a_name(service: Server) -> None:
    names = [case.request.fields["filepath"] for case in bad_input.ODD[:11]]
    photo = bad_input.file("photo.jpg")
    for name in names:
        service.add(name, photo)
    assert set(names) <= set(service.list(limit=10_000))
    assert set(names) <= {match["filepath"] for match in service.search(photo)}
    for number, name in enumerate(names):
        service.delete(name)
        assert set(names[number + 1 :]) == set(names) & set(service.list(limit=10_000))


def test_the_page_of_bad_input_is_the_table() -> None:
    assert PAGE.read_text("utf-8") == bad_input.markdown(), (
        "run: python tests/support/bad_input.py > docs/bad-input.md"
    )
