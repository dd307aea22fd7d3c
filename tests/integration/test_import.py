"""The command ``match-service import`` as a user runs it, into real stores."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

import elastic
from labcluster.elasticsearch import shared_node
from match_service import engine, thumbnails
from match_service.engine.thumbnail import thumbnail
from match_service.store.elastic import ElasticStore
from match_service.store.embedded import EmbeddedStore
from pictures import flat, jpeg
from serving import environment, server

COMMAND = [sys.executable, "-m", "match_service", "import"]


def start(folder: Path, *arguments: str, **settings: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, *arguments],
        env={"PYTHONPATH": os.pathsep.join(sys.path), **environment(folder, **settings)},
        stderr=subprocess.PIPE,
        text=True,
    )


def run(folder: Path, *arguments: str, **settings: str) -> tuple[int, str]:
    process = start(folder, *arguments, **settings)
    _, text = process.communicate(timeout=120)
    return process.returncode, text


def photos(folder: Path, count: int) -> Path:
    made = folder / "photos"
    (made / "sub").mkdir(parents=True)
    for number in range(count):
        (made / "sub" / f"{number:03}.jpg").write_bytes(jpeg(number))
    return made


def kept(folder: Path) -> list[str]:
    store = EmbeddedStore.open(folder / "match.db")
    names = store.filepaths(0, 10_000)
    store.close()
    return names


def test_a_folder_goes_in_by_relative_path_and_once(tmp_path: Path) -> None:
    source = photos(tmp_path, 20)
    assert run(tmp_path, str(source), "--prefix", "x/")[0] == 0
    assert kept(tmp_path) == [f"x/sub/{number:03}.jpg" for number in range(20)]
    (source / "sub" / "005.jpg").write_bytes(jpeg(99))
    code, text = run(tmp_path, str(source), "--prefix", "x/")
    assert (code, text.startswith("1 added")) == (0, True), text
    assert "19 had been" in text


def test_what_fails_is_named_with_the_reason_and_the_rest_goes_in(tmp_path: Path) -> None:
    source = photos(tmp_path, 3)
    (source / "bad.png").write_bytes(b"no image")
    (source / "flat.png").write_bytes(flat())
    code, text = run(tmp_path, str(source))
    assert code == 1
    assert "bad.png: The data is not an image" in text
    assert "flat.png: The image is flat" in text
    assert "3 added" in text
    assert len(kept(tmp_path)) == 3


def test_thumbnails_are_kept_where_a_place_for_them_is_named(tmp_path: Path) -> None:
    source = photos(tmp_path, 40)
    (source / "bad.png").write_bytes(b"no image")
    place = tmp_path / "thumbnails"
    code, text = run(tmp_path, str(source), MATCH_THUMBNAILS=str(place))
    assert (code, "40 added" in text) == (1, True), text
    small = thumbnails.keep_in(str(place)).get("sub/007.jpg")
    assert small == thumbnail(jpeg(7), sha256(jpeg(7)).hexdigest())
    assert len([path for path in place.rglob("*") if path.is_file()]) == 40
    with server(tmp_path, MATCH_THUMBNAILS=str(place)) as running:
        assert running.send("GET", "/thumbnail?filepath=sub/007.jpg").body == small


def test_without_a_place_for_thumbnails_none_are_kept(tmp_path: Path) -> None:
    assert run(tmp_path, str(photos(tmp_path, 2)))[0] == 0
    made = {path.name for path in tmp_path.iterdir()}
    assert made == {"photos", "photos.imported", "match.db"} | {
        name for name in made if name.startswith("match.db")
    }


def test_a_place_for_thumbnails_that_cannot_be_used_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, text = run(tmp_path, str(photos(tmp_path, 2)), MATCH_THUMBNAILS=str(tmp_path / "file" / "x"))
    assert (code, text.count("\n")) == (1, 1), text
    assert "MATCH_THUMBNAILS: no file can be made in" in text


def test_every_image_keeps_its_own_signature_whatever_fails_beside_it(tmp_path: Path) -> None:
    source = photos(tmp_path, 150)
    for number in range(0, 150, 7):
        (source / "sub" / f"{number:03}.jpg").write_bytes(b"no image")
    (source / "sub" / "gone.jpg").symlink_to("nowhere")
    os.mkfifo(source / "sub" / "pipe.jpg")
    code, text = run(tmp_path, str(source))
    assert (code, "128 added" in text, "22 failed" in text) == (1, True, True), text
    store = EmbeddedStore.open(tmp_path / "match.db")
    stored = store.page(None, 1000)
    store.close()
    for one in stored:
        data = (source / one.record.filepath).read_bytes()
        assert one.record.sha256 == hashlib.sha256(data).hexdigest()
        assert np.array_equal(one.record.signature, engine.signature(data))


BREAKING = """
import os, signal
from match_service import engine

whole = engine.signature

def signature(data):
    if data.startswith(b"crash"):
        os.kill(os.getpid(), signal.SIGSEGV)
    if data.startswith(b"hang"):
        from match_service import importer
        signal.setitimer(signal.ITIMER_REAL, signal.getitimer(signal.ITIMER_REAL)[0] / 100)
        while True:
            pass
    return whole(data)

engine.signature = signature
"""
"""For Python's start: decoders that die of some files, as a codec in C may; the time limit is shorter."""


def test_files_that_break_or_stop_a_decoder_are_named_and_all_others_go_in(tmp_path: Path) -> None:
    source = photos(tmp_path, 100)
    (source / "sub" / "050.crash").write_bytes(b"crash")
    (source / "sub" / "051.crash").write_bytes(b"crash")
    (source / "sub" / "090.hang").write_bytes(b"hang")
    (tmp_path / "sitecustomize.py").write_text(BREAKING)
    listed = tmp_path / "list.csv"
    files = sorted(file.relative_to(tmp_path) for file in source.rglob("*.*"))
    listed.write_text("filepath,file\n" + "".join(f"{file.name},{file}\n" for file in files))
    sys_path = os.pathsep.join([str(tmp_path), *sys.path])
    code, text = run(tmp_path, str(listed), "--workers", "2", PYTHONPATH=sys_path)
    assert code == 1, text
    assert "100 added" in text
    assert "3 failed" in text
    for name in ("050.crash", "051.crash", "090.hang"):
        assert f"{name}: The image cannot be decoded: it broke the decoder or took too long." in text
    assert len(kept(tmp_path)) == 100


def test_a_file_too_large_is_named_without_being_read_whole(tmp_path: Path) -> None:
    source = photos(tmp_path, 1)
    with (source / "vast.tif").open("wb") as vast:
        vast.truncate(2**40)
    code, text = run(tmp_path, str(source))
    assert (code, kept(tmp_path)) == (1, ["sub/000.jpg"])
    assert "vast.tif: The image has 1,099,511,627,776 bytes; at most 67,108,864 are allowed." in text


@pytest.mark.parametrize("kind", ["csv", "ndjson"])
def test_a_list_brings_names_and_metadata(kind: str, tmp_path: Path) -> None:
    photos(tmp_path, 2)
    metadata = {"owner": "Ada, Ltd."}
    rows = [
        {"filepath": "first", "file": "photos/sub/000.jpg", "metadata": metadata},
        {"filepath": "photos/sub/001.jpg"},
        {"filepath": "gone", "file": "nowhere.jpg"},
    ]
    source = tmp_path / f"list.{kind}"
    if kind == "ndjson":
        source.write_text("\n".join(json.dumps(row) for row in rows))
    else:
        quoted = json.dumps(metadata).replace('"', '""')
        source.write_text(
            f'filepath,file,metadata\nfirst,photos/sub/000.jpg,"{quoted}"\nphotos/sub/001.jpg,,\ngone,nowhere.jpg,\n'
        )
    code, text = run(tmp_path, str(source))
    assert (code, "gone: The file cannot be read: No such file" in text) == (1, True), text
    assert kept(tmp_path) == ["first", "photos/sub/001.jpg"]


def test_a_wrong_list_or_source_is_a_sentence(tmp_path: Path) -> None:
    wrong = tmp_path / "list.csv"
    wrong.write_text("name\na\n")
    assert "must name its columns" in run(tmp_path, str(wrong))[1]
    code, text = run(tmp_path, str(tmp_path / "none"))
    assert (code, "No such file or directory" in text) == (1, True), text


def test_an_interrupted_import_is_resumed(tmp_path: Path) -> None:
    source = photos(tmp_path, 400)
    process = start(tmp_path, str(source), "--workers", "1")
    state = tmp_path / "photos.imported"
    deadline = time.monotonic() + 60
    while not state.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, text = process.communicate(timeout=60)
    assert (process.returncode, "to resume" in text) == (130, True), text
    code, text = run(tmp_path, str(source))
    assert code == 0, text
    assert len(kept(tmp_path)) == 400


@pytest.mark.elastic
def test_elasticsearch_gets_the_same_images(tmp_path: Path) -> None:
    url = shared_node()
    settings = elastic.settings(url)
    code, text = run(tmp_path, str(photos(tmp_path, 30)), **settings)
    assert code == 0, text
    store = ElasticStore.connect(url, settings["ELASTICSEARCH_INDEX"], manage_index=False)
    deadline = time.monotonic() + 30
    while store.count() < 30 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert store.count() == 30
    store.close()
