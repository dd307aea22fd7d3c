"""All images out and in again, a line of JSON each, so that a second service can be given what the first has.

A line has filepath, metadata, sha256, added and signature, so no image is needed; the signature is base64 of
the 102 bytes that docs/engine.md describes. Both ways a few lines are in memory at a time.
"""

import base64
import binascii
import json
import re
import sys
from collections.abc import Iterable, Iterator
from typing import IO, Any, Final

import numpy as np
from flask import Blueprint, Response, request
from werkzeug.exceptions import UnsupportedMediaType

from match_service.api import endpoints
from match_service.api.describe import NDJSON
from match_service.api.params import Params, parse_filepath, parse_metadata
from match_service.api.replies import ok
from match_service.api.routes import described
from match_service.engine import scan
from match_service.errors import BadRequestError
from match_service.matcher import Matcher
from match_service.model import Record, Stored

BATCH: Final = 1000
MAX_LINE: Final = 512 * 1024
TOLD: Final = 100
"""Lines that are refused by name; the rest is only counted."""

_SHA256: Final = re.compile(r"[0-9a-f]{64}")


def blueprint(matcher: Matcher) -> Blueprint:
    """Routes of ``/export`` and ``/import`` over ``matcher``."""
    transfer = Blueprint("transfer", __name__)

    def export() -> Response:
        values = endpoints.EXPORT.read(Params(request, query=True), _no_fetch)
        pages = matcher.everything(values["filter"])
        first = next(pages, [])  # a store that is away is told before the answer has begun
        return Response(_lines(first, pages), mimetype=NDJSON)

    def import_() -> Response:
        if request.mimetype != NDJSON:
            raise UnsupportedMediaType(f"The body must be sent as {NDJSON}.")
        request.max_content_length = sys.maxsize  # it is read line by line
        outcome = _Outcome()
        try:
            _import(matcher, _read(request.stream, request.content_length or 0), outcome)
        except _BrokenBodyError as error:
            raise BadRequestError(
                f"The body broke off or is malformed; imported before: {outcome.imported}."
            ) from error
        return ok("import", [outcome.told()])

    transfer.add_url_rule("/export", "export", export)
    transfer.add_url_rule("/import", "import", import_, methods=["POST"])
    return transfer


class _BrokenBodyError(Exception):
    """The body ended before its end, or is none as HTTP has it."""


class _Outcome:
    def __init__(self) -> None:
        self.imported = 0
        self.failed = 0
        self.errors: list[dict[str, Any]] = []

    def refuse(self, number: int, sentence: str) -> None:
        self.failed += 1
        if len(self.errors) < TOLD:
            self.errors.append({"line": number, "error": sentence})

    def told(self) -> dict[str, Any]:
        return {"imported": self.imported, "failed": self.failed, "errors": self.errors}


def _no_fetch(_: str) -> bytes:
    raise AssertionError("no parameter is an image")


def _import(matcher: Matcher, lines: Iterable[bytes], outcome: _Outcome) -> None:
    """Import ``lines``; those before a ``_BrokenBodyError`` as well."""
    batch: list[tuple[int, Record]] = []
    try:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                batch.append((number, parse(line)))
            except BadRequestError as error:
                outcome.refuse(number, str(error))
            if len(batch) == BATCH:
                _keep(matcher, batch, outcome, visible=False)
    except _BrokenBodyError:
        _keep(matcher, batch, outcome, visible=True)
        raise
    _keep(matcher, batch, outcome, visible=True)


def _keep(matcher: Matcher, batch: list[tuple[int, Record]], outcome: _Outcome, *, visible: bool) -> None:
    """Import the records of ``batch``, each with the number of its line."""
    refused = matcher.store.add_many([record for _, record in batch], visible=visible)
    for number, record in batch:
        if record.filepath in refused:
            outcome.refuse(number, refused[record.filepath])
        else:
            outcome.imported += 1
    batch.clear()


def _lines(first: list[Stored], pages: Iterable[list[Stored]]) -> Iterator[bytes]:
    yield from map(line_of, first)
    for page in pages:
        yield from map(line_of, page)


def line_of(stored: Stored) -> bytes:
    """An image as /export gives it."""
    return (
        json.dumps({**described(stored), "signature": scan.encoded(stored.record.signature)}).encode() + b"\n"
    )


def _read(stream: IO[bytes], announced: int) -> Iterator[bytes]:
    """The lines of a body of at least ``announced`` bytes; of one that is too long as much as tells so."""
    received = 0
    begins = True
    while piece := _piece(stream):
        received += len(piece)
        if begins:
            yield piece
        begins = piece.endswith(b"\n")
    if received < announced:
        raise _BrokenBodyError


def _piece(stream: IO[bytes]) -> bytes:
    try:
        return stream.readline(MAX_LINE + 1)
    except Exception as error:  # the WSGI server has kinds of its own for a broken stream
        raise _BrokenBodyError from error


def parse(line: bytes) -> Record:
    """The image of a line; ``BadRequestError`` says what is wrong with it."""
    if len(line) > MAX_LINE:
        raise BadRequestError(f"The line must be at most {MAX_LINE} bytes long.")
    try:
        text = line.decode("utf-8")
        row = json.loads(text)
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise BadRequestError("The line is not JSON in UTF-8.") from error
    if not isinstance(row, dict) or not isinstance(row.get("filepath"), str) or not row["filepath"]:
        raise BadRequestError("The line must be an object with a filepath.")
    filepath = parse_filepath(row["filepath"])
    digest = row.get("sha256")
    if digest not in ("", None) and not (isinstance(digest, str) and _SHA256.fullmatch(digest)):
        raise BadRequestError("sha256 must be 64 hexadecimal digits.")
    # As /add reads it: what is no JSON everywhere is refused here too.
    metadata = parse_metadata(json.dumps(row.get("metadata")))
    return Record(filepath, _signature(row.get("signature")), digest or "", metadata)


def _signature(text: object) -> Any:
    try:
        packed = base64.b64decode(text, validate=True) if isinstance(text, str) else b""
    except (binascii.Error, ValueError):
        packed = b""
    halves = np.frombuffer(packed, dtype=np.uint8)
    if len(halves) != scan.HALF_BYTES:
        raise BadRequestError(f"signature must be base64 of {scan.HALF_BYTES} bytes, as /export gives it.")
    signature = scan.unpack_halves(halves.reshape(1, -1))[0]
    if not signature.any() or scan.pack_halves(signature[None, :]).tobytes() != packed:
        raise BadRequestError("signature is not that of any image.")
    return signature
