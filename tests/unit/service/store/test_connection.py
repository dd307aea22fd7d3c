"""Credentials of Elasticsearch from files, as Kubernetes mounts and changes them."""

import base64
import threading
from pathlib import Path

import pytest

from match_service.store.connection import Credentials, client_of


def basic(pair: str) -> str:
    return f"Basic {base64.b64encode(pair.encode()).decode()}"


def secret(folder: Path, **files: str) -> Path:
    """A version of a mounted Secret, put in place in one step as the kubelet does."""
    version = folder / f"version-{len(list(folder.iterdir()))}"
    version.mkdir()
    for name, text in files.items():
        (version / name).write_text(text)
    link = folder / "new"
    link.symlink_to(version)
    link.replace(folder / "data")
    return folder / "data"


def test_user_and_password_become_a_header_and_an_api_key_goes_before_them(tmp_path: Path) -> None:
    assert Credentials(secret(tmp_path, username="ann", password="p:w\n"))() == basic("ann:p:w")
    assert Credentials(secret(tmp_path, username="ann", password="x", apiKey="a2V5\n"))() == "ApiKey a2V5"


def test_a_new_version_of_the_secret_is_taken_at_once(tmp_path: Path) -> None:
    credentials = Credentials(secret(tmp_path, username="ann", password="old"))
    assert credentials() == basic("ann:old")
    secret(tmp_path, username="ann", password="new")
    assert credentials() == basic("ann:new")


def test_user_and_password_are_never_of_two_versions(tmp_path: Path) -> None:
    """Other requests go on while the kubelet replaces what is mounted."""
    folder = secret(tmp_path, username="0", password="0")
    credentials, stop, seen = Credentials(folder), threading.Event(), set()

    def ask() -> None:
        while not stop.is_set():
            seen.add(credentials())

    thread = threading.Thread(target=ask)
    thread.start()
    for number in range(1, 400):
        secret(tmp_path, username=str(number), password=str(number))
    stop.set()
    thread.join()
    assert seen <= {basic(f"{number}:{number}") for number in range(400)}
    assert len(seen) > 20


def test_nothing_is_signed_while_there_are_no_credentials(tmp_path: Path) -> None:
    credentials = Credentials(tmp_path / "data")
    assert credentials() == ""
    secret(tmp_path, apiKey="k")
    assert credentials() == "ApiKey k"


def test_an_authority_that_cannot_be_read_is_told_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        client_of("https://es.example:9200", str(tmp_path / "ca.crt"))
