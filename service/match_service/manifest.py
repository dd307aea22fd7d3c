"""What to import: the image files of a folder, or those a CSV or NDJSON file names."""

import csv
import json
import os
import stat
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, Final

from match_index import MAX_FILEPATH_BYTES
from match_service.model import Json

_ENDINGS: Final = (
    "avif", "bmp", "dds", "dib", "gif", "ico", "jfif", "jpe", "jpeg", "jpg", "jp2", "j2k", "mpo", "pcx",
    "png", "apng", "pbm", "pgm", "ppm", "pnm", "psd", "qoi", "tga", "tif", "tiff", "webp",
)  # fmt: skip
SUFFIXES: Final = frozenset(f".{ending}" for ending in _ENDINGS)
"""Endings by which a file in a folder counts as an image."""


_sorted = json.JSONEncoder(sort_keys=True).encode


class ManifestError(Exception):
    """The list itself cannot be used; its text is one sentence."""


@dataclass(frozen=True, slots=True)
class Item:
    """One image to import."""

    filepath: str
    """Its name in the store."""
    file: Path
    metadata: Json = None
    stamp: tuple[int, int] | None = None
    """Size in bytes and time of change in ns, None for a file that is not there."""
    problem: str = ""
    """Why it cannot be imported, known without looking at the image."""

    @property
    def key(self) -> str:
        """Name and metadata: importing the same file with other metadata is another import."""
        return _sorted([self.filepath, self.metadata])


def items(source: Path, prefix: str = "") -> list[Item]:
    """Images in the folder ``source`` by their path within it, or those of a .csv, .ndjson or .jsonl list.

    A list names for each image its ``filepath``, and if it likes the ``file`` (default: the filepath; seen
    from the list's folder) and ``metadata`` (JSON). ``prefix`` is put before every filepath.
    """
    if source.is_dir():
        return [_made(prefix + name, source / name, None, found) for name, found in _images(source)]
    try:
        with source.open(encoding="utf-8-sig", newline="") as lines:
            if source.suffix.lower() == ".csv":
                return [_listed(source, prefix, number, row) for number, row in _csv_rows(lines)]
            if source.suffix.lower() in (".ndjson", ".jsonl"):
                return [_listed(source, prefix, number, row) for number, row in _json_rows(lines)]
    except OSError as error:
        raise ManifestError(f"{source} cannot be read: {error.strerror}.") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise ManifestError(f"{source} is not UTF-8 text of that kind: {error}.") from error
    raise ManifestError(f"{source} is neither a folder nor a .csv, .ndjson or .jsonl file.")


def _images(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Files by their paths within ``folder``; without ``rglob``, since decoding waits for it."""
    for path, folders, files in os.walk(folder):
        folders.sort()
        inner = Path(path).relative_to(folder)
        within = "" if inner == Path() else f"{inner.as_posix()}/"
        for name in sorted(files):
            if PurePath(name).suffix.lower() not in SUFFIXES:
                continue
            try:
                found = os.stat(f"{path}/{name}")  # noqa: PTH116 - a Path for each takes as long again
            except OSError:  # a link to nowhere
                continue
            if stat.S_ISREG(found.st_mode):
                yield within + name, found


def _csv_rows(lines: Iterable[str]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    reader = csv.DictReader(lines, strict=True)
    if "filepath" not in (reader.fieldnames or ()):
        raise ManifestError("The first line of a CSV list must name its columns, one of them filepath.")
    for row in reader:
        text = row.get("metadata") or "null"
        try:
            metadata = json.loads(text)
        except ValueError as error:
            raise ManifestError(f"Line {reader.line_num}: metadata is not JSON.") from error
        yield reader.line_num, {**row, "metadata": metadata}


def _json_rows(lines: Iterable[str]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise ManifestError(f"Line {number} is not JSON.") from error
        if not isinstance(row, dict):
            raise ManifestError(f"Line {number} is not a JSON object.")
        yield number, row


def _listed(source: Path, prefix: str, number: int, row: Mapping[str, Any]) -> Item:
    filepath, file = row.get("filepath"), row.get("file") or row.get("filepath")
    if not filepath or not isinstance(filepath, str) or not isinstance(file, str):
        raise ManifestError(f"Line {number}: filepath is missing, or is no text.")
    return _item(prefix + filepath, source.parent / file, row.get("metadata"))


def _item(filepath: str, file: Path, metadata: Json = None) -> Item:
    try:
        found = file.stat()
    except (OSError, ValueError):
        found = None
    return _made(filepath, file, metadata, found)


def _made(filepath: str, file: Path, metadata: Json, found: os.stat_result | None) -> Item:
    stamp = (found.st_size, found.st_mtime_ns) if found else None
    return Item(filepath, file, metadata, stamp, problem(filepath))


def problem(filepath: str) -> str:
    """What /add would say of such a name."""
    if filepath.isascii() and filepath.isprintable() and len(filepath) <= MAX_FILEPATH_BYTES:
        return ""
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in filepath):
        return "The filepath holds control characters or is not UTF-8."
    if "\ufffd" in filepath:
        return "The filepath must not hold U+FFFD."
    if len(filepath.encode()) > MAX_FILEPATH_BYTES:
        return f"The filepath is longer than {MAX_FILEPATH_BYTES} bytes."
    return ""
