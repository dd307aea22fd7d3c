"""The commands beside serve and import: on a running service and on the file of a store."""

import functools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from commands import Ran, match_service
from pictures import flat, jpeg
from scripted import fail, ok, script
from serving import environment, server

Run = Callable[..., Ran]


@pytest.fixture(params=["the file", "a service"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Run]:
    """The command on an empty collection; the same answers are expected either way."""
    (tmp_path / "one.jpg").write_bytes(jpeg(1))
    (tmp_path / "small.jpg").write_bytes(jpeg(1, 160, 120))
    (tmp_path / "two.jpg").write_bytes(jpeg(2))
    if request.param == "the file":
        yield functools.partial(match_service, tmp_path)
        return
    served = tmp_path / "served"
    served.mkdir()
    with server(served) as running:
        yield functools.partial(match_service, tmp_path, MATCH_URL=running.url)


def lines(ran: Ran) -> list[object]:
    """The values of --json."""
    assert ran.code == 0, ran
    return [json.loads(line) for line in ran.out.splitlines()]


def test_a_collection_lives_by_commands_alone(run: Run) -> None:
    assert run("add", "one.jpg", "--metadata", '{"owner": "Ann"}') == Ran(0, "", "")
    assert run("add", "-", "--filepath", "b/two", data=jpeg(2)).code == 0
    assert run("count").out == "2\n"
    assert run("list").out == "b/two\none.jpg\n"
    assert lines(run("list", "--json", "--limit", "1")) == ["b/two"]
    (found,) = lines(run("search", "small.jpg", "--json"))
    assert isinstance(found, dict)
    assert (found["filepath"], found["metadata"]) == ("one.jpg", {"owner": "Ann"})
    assert 90 < found["score"] <= 100
    assert run("delete", "one.jpg", "b/two", "never-there") == Ran(0, "", "")
    assert run("count", "--json").out == "0\n"


def test_a_search_prints_a_table_for_people(run: Run) -> None:
    run("add", "one.jpg", "--filepath", "a long name.jpg", "--metadata", '{"n": 1}')
    table = run("search", "one.jpg").out.splitlines()
    assert [line.split() for line in table] == [
        ["score", "filepath", "metadata"],
        ["100.0", "a", "long", "name.jpg", '{"n":', "1}"],
    ]
    nothing = run("search", "two.jpg")
    assert (nothing.code, nothing.out, nothing.said) == (0, "", "No image is like it.\n")


def test_orientations_are_searched_or_not(run: Run, tmp_path: Path) -> None:
    from PIL import Image, ImageOps  # noqa: PLC0415

    run("add", "one.jpg")
    ImageOps.mirror(Image.open(tmp_path / "one.jpg")).save(tmp_path / "mirrored.png")
    assert len(lines(run("search", "mirrored.png", "--json", "--thorough"))) == 1
    assert len(lines(run("search", "mirrored.png", "--json"))) == 1
    assert lines(run("search", "mirrored.png", "--json", "--no-all-orientations")) == []


def test_a_search_is_bounded_by_score_and_number(run: Run) -> None:
    for name in ("a", "b", "c"):
        run("add", "one.jpg", "--filepath", name)
    assert len(lines(run("search", "one.jpg", "--json", "--limit", "2"))) == 2
    assert len(lines(run("search", "small.jpg", "--json", "--min-score", "60"))) == 3
    assert run("search", "one.jpg", "--min-score", "101").code == 2


def test_a_compare_prints_the_score(run: Run) -> None:
    assert run("compare", "one.jpg", "one.jpg").out == "100.0\n"
    (answer,) = lines(run("compare", "one.jpg", "-", "--json", data=jpeg(1, 160, 120)))
    assert isinstance(answer, dict)
    assert 90 < answer["score"] < 100


def test_what_cannot_be_done_is_one_sentence(run: Run, tmp_path: Path) -> None:
    run("add", "one.jpg")
    (tmp_path / "flat.png").write_bytes(flat())
    for arguments, sentence in (
        (("search", "none.jpg"), "none.jpg cannot be read: No such file or directory."),
        (("search", "flat.png"), "The image is flat"),
        (("add", "one.jpg", "--metadata", "{"), "metadata must be JSON"),
        (("add", "one.jpg", "--filepath", "a\nb"), "control characters"),
        (("search", "http://127.0.0.1/a.jpg"), "public internet"),
    ):
        ran = run(*arguments)
        assert (ran.code, ran.out) == (1, ""), ran
        assert sentence in ran.said
        assert ran.said.startswith("match-service: ")
        assert ran.said.count("\n") == 1
    assert run("add", "-").code == 2


def test_a_reader_that_stops_reading_ends_a_list_quietly(run: Run, tmp_path: Path) -> None:
    for number in range(3):
        run("add", "one.jpg", "--filepath", f"{number}" * 3000)
    settings = run.keywords if isinstance(run, functools.partial) else {}
    process = subprocess.Popen(
        [sys.executable, "-m", "match_service", "list"],
        env={**environment(tmp_path, **settings), "PYTHONPATH": os.pathsep.join(sys.path)},
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait(30) == 141
    process.stderr.close()


def test_without_a_store_a_command_says_how_to_get_one_and_makes_none(tmp_path: Path) -> None:
    ran = match_service(tmp_path, "count")
    assert ran.code == 1
    assert "`match-service serve` makes one" in ran.said
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_environment_address_or_key_file_is_wrong_use(tmp_path: Path) -> None:
    assert match_service(tmp_path, "count", PORT="x").code == 2
    assert match_service(tmp_path, "count", "--url", "nowhere:1").code == 2
    assert match_service(tmp_path, "count", "--url", "http://x", "--key-file", "none").code == 2


def test_the_key_comes_from_a_file_or_the_environment(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("from-file\n")
    with script() as told:
        told.then(ok(1))
        assert match_service(tmp_path, "count", "--url", told.url, "--key-file", "key").out == "1\n"
        assert match_service(tmp_path, "count", MATCH_URL=told.url, MATCH_KEY="from-env").out == "1\n"
        assert [asked.headers["authorization"] for asked in told.asked] == [
            "Bearer from-file",
            "Bearer from-env",
        ]


def test_commands_on_the_store_itself_keep_thumbnails_and_delete_them(tmp_path: Path) -> None:
    (tmp_path / "one.jpg").write_bytes(jpeg(1))
    place = tmp_path / "thumbnails"
    kept = functools.partial(match_service, tmp_path, MATCH_THUMBNAILS=str(place))
    assert kept("add", "one.jpg").code == 0
    assert len(list(place.glob("*/*.jpg"))) == 1
    assert kept("delete", "one.jpg").code == 0
    assert list(place.glob("*/*.jpg")) == []
    refused = match_service(tmp_path, "count", MATCH_THUMBNAILS=str(tmp_path / "one.jpg" / "x"))
    assert (refused.code, "MATCH_THUMBNAILS: no file can be made" in refused.said) == (1, True)


def test_a_key_is_made(tmp_path: Path) -> None:
    ran = match_service(tmp_path, "keys", "new", "ann", "--file", "keys")
    assert (ran.code, ran.out.startswith("key:  match_")) == (0, True), ran
    assert (tmp_path / "keys").read_text().startswith("ann:read:")
    assert match_service(tmp_path, "keys", "new", "a b").code == 1


def test_a_refusal_shows_the_request_id(tmp_path: Path) -> None:
    with script() as told:
        told.then(fail(403, "This key may only read.", X_Request_Id="abc"))
        ran = match_service(tmp_path, "delete", "a", "--url", told.url)
    assert ran == Ran(1, "", "match-service: This key may only read. (403, request abc)\n")
