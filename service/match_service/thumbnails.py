"""Keeping small pictures of what was added, where one asks for it: the service stores no images otherwise.

One file for each filepath, named by the hash that also names its record, in a folder or in an object store. A
thumbnail's comment is the SHA-256 of the image it was made of, so that one left by a lost race is noticed.
"""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Protocol

from match_index import document_id
from match_service.errors import StoreUnavailableError

MISSING_LIBRARY: Final = "pip install 'match-operator[thumbnails]'"


class ThumbnailsError(ValueError):
    """Thumbnails cannot be kept where the settings say; its text is one sentence."""


class Thumbnails(Protocol):
    """JPEGs by filepath; methods raise ``StoreUnavailableError`` where the place cannot be reached."""

    def put(self, filepath: str, jpeg: bytes) -> None:
        """Keep ``jpeg`` in place of what was kept, in one atomic step."""

    def get(self, filepath: str) -> bytes | None:
        """What was kept last, None where nothing was."""

    def delete(self, filepath: str) -> None:
        """Forget what was kept, if anything was."""


def keep_in(place: str) -> Thumbnails:
    """Thumbnails in a folder, which is made, or at an address that fsspec knows, such as ``s3://bucket/prefix``.

    Raises ``ThumbnailsError``. To be called in the process that uses them, not before a fork.
    """
    return Objects.at(place) if "://" in place else Folder(Path(place))


def check(place: str) -> None:
    """Raise ``ThumbnailsError`` where ``keep_in`` would; nothing stays open that a fork would carry on."""
    if "://" in place:
        _file_system(place.partition("://")[0])
    else:
        Folder(Path(place))


def _file_system(scheme: str) -> Any:
    try:
        import fsspec  # noqa: PLC0415 - only who keeps thumbnails in an object store needs it

        return fsspec.get_filesystem_class(scheme)
    except (ImportError, ValueError) as error:
        raise ThumbnailsError(
            f"MATCH_THUMBNAILS cannot be a {scheme}:// address here: {error}; {MISSING_LIBRARY} brings S3."
        ) from error


def _key(filepath: str) -> str:
    name = document_id(filepath)
    return f"{name[:2]}/{name[2:]}.jpg"


class Folder:
    """Thumbnails as files."""

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self._root):
                pass
        except OSError as error:
            raise ThumbnailsError(
                f"MATCH_THUMBNAILS: no file can be made in {self._root}: {error.strerror}."
            ) from error

    def put(self, filepath: str, jpeg: bytes) -> None:
        path = self._root / _key(filepath)
        with self._faults():
            path.parent.mkdir(exist_ok=True)
            handle, name = tempfile.mkstemp(dir=path.parent, suffix=".part")
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(jpeg)
                Path(name).replace(path)
            except BaseException:
                Path(name).unlink(missing_ok=True)
                raise

    def get(self, filepath: str) -> bytes | None:
        with self._faults(), contextlib.suppress(FileNotFoundError):
            return (self._root / _key(filepath)).read_bytes()
        return None

    def delete(self, filepath: str) -> None:
        with self._faults():
            (self._root / _key(filepath)).unlink(missing_ok=True)

    @contextlib.contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StoreUnavailableError(
                f"The folder of thumbnails cannot be used: {error.strerror}."
            ) from error


class Objects:
    """Thumbnails in an object store, through whichever fsspec file system its address names."""

    def __init__(self, files: Any, root: str) -> None:
        self._files = files
        self._root = root.rstrip("/")

    @classmethod
    def at(cls, address: str) -> "Objects":
        """The store at ``address``; credentials come from where its library looks for them."""
        _file_system(address.partition("://")[0])
        from fsspec.core import url_to_fs  # noqa: PLC0415

        files, root = url_to_fs(address)
        return cls(files, str(root))

    def put(self, filepath: str, jpeg: bytes) -> None:
        with self._faults():
            self._files.pipe_file(self._path(filepath), jpeg)

    def get(self, filepath: str) -> bytes | None:
        with self._faults(), contextlib.suppress(FileNotFoundError):
            return bytes(self._files.cat_file(self._path(filepath)))
        return None

    def delete(self, filepath: str) -> None:
        with self._faults(), contextlib.suppress(FileNotFoundError):
            self._files.rm_file(self._path(filepath))

    def _path(self, filepath: str) -> str:
        return f"{self._root}/{_key(filepath)}"

    @contextlib.contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # each file system has kinds of its own
            raise StoreUnavailableError(
                f"The store of thumbnails does not answer ({type(error).__name__})."
            ) from error
