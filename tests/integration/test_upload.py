"""``match-service import --url``: a folder through the API of a running service."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from commands import Ran, match_service
from pictures import flat, jpeg
from scripted import Reply, fail, ok, script
from serving import environment, server


def folder(tmp_path: Path, count: int) -> Path:
    made = tmp_path / "photos"
    made.mkdir()
    for number in range(count):
        (made / f"{number:03}.jpg").write_bytes(jpeg(number))
    return made


def upload(tmp_path: Path, url: str, *arguments: str, **settings: str) -> Ran:
    return match_service(tmp_path, "import", "photos", "--url", url, *arguments, **settings)


def test_a_folder_goes_through_the_api_once_and_what_fails_is_named(tmp_path: Path) -> None:
    source = folder(tmp_path, 20)
    (source / "flat.png").write_bytes(flat())
    (source / "bad.png").write_bytes(b"no image")
    served = tmp_path / "served"
    served.mkdir()
    with server(served) as running:
        ran = upload(tmp_path, running.url, "--prefix", "x/")
        assert ran.code == 1
        assert "x/flat.png: The image is flat" in ran.said
        assert "x/bad.png: The data is not an image" in ran.said
        assert "20 added in " in ran.said
        assert "2 failed" in ran.said
        assert running.list(0, 3) == ["x/000.jpg", "x/001.jpg", "x/002.jpg"]
        assert running.count() == 20
        (source / "flat.png").unlink()
        (source / "bad.png").unlink()
        (source / "005.jpg").write_bytes(jpeg(99))
        again = upload(tmp_path, running.url, "--prefix", "x/")
        assert (again.code, again.said.startswith("1 added"), "19 had been" in again.said) == (0, True, True)
        (match,) = running.search(jpeg(99))
        assert match["filepath"] == "x/005.jpg"


def test_a_list_brings_its_metadata(tmp_path: Path) -> None:
    folder(tmp_path, 1)
    row = {"filepath": "first", "file": "photos/000.jpg", "metadata": {"owner": "Ann"}}
    (tmp_path / "list.ndjson").write_text(json.dumps(row))
    served = tmp_path / "served"
    served.mkdir()
    with server(served) as running:
        ran = match_service(tmp_path, "import", "list.ndjson", "--url", running.url)
        assert ran.code == 0, ran
        (match,) = running.search(jpeg(0))
        assert match["metadata"] == {"owner": "Ann"}


@pytest.mark.parametrize(
    ("reply", "sentence"),
    [
        (fail(403, "This key may only read."), "Stopped: This key may only read. (403)"),
        (Reply(200, b"<html>"), "in no form of the Match API"),
    ],
)
def test_a_service_that_takes_nothing_ends_the_import(reply: Reply, sentence: str, tmp_path: Path) -> None:
    folder(tmp_path, 50)
    with script() as told:
        told.then(*[ok()] * 10, reply)
        ran = upload(tmp_path, told.url, "--workers", "1")
        assert ran.code == 1
        assert sentence in ran.said
        assert "Run the same command again to resume." in ran.said
        assert len(told.asked) < 20
        told.asked.clear()
        told.then(ok())
        assert "10 had been" in upload(tmp_path, told.url).said
        assert len(told.asked) == 40


def test_a_service_that_is_busy_is_waited_for(tmp_path: Path) -> None:
    folder(tmp_path, 5)
    with script() as told:
        told.then(ok(), fail(429, "Too many.", Retry_After="1"), fail(503, "Away.", Retry_After="0"), ok())
        ran = upload(tmp_path, told.url, "--workers", "1")
        assert (ran.code, ran.said.startswith("5 added")) == (0, True), ran
        assert len(told.asked) == 7


def test_an_interrupted_upload_is_resumed(tmp_path: Path) -> None:
    folder(tmp_path, 60)

    with script() as told:
        process = subprocess.Popen(
            [sys.executable, "-m", "match_service", "import", "photos", "--workers", "1", "--url", told.url],
            env={**environment(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)},
            cwd=tmp_path,
            stderr=subprocess.PIPE,
            text=True,
        )
        pause = threading.Event()
        while len(told.asked) < 20 and process.poll() is None:
            pause.wait(0.01)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
        assert (process.returncode, "to resume" in said) == (130, True), said
        assert upload(tmp_path, told.url).code == 0
        names = {asked.body.partition(b'name="filepath"')[2][4:11] for asked in told.asked}
        assert len(names) == 60
