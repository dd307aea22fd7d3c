"""From a request's form or query to typed values; everything that cannot be meant is refused here."""

import io
import json
import math
import re
from collections.abc import Callable, Iterable, Sequence
from typing import IO, Any, Final, cast
from urllib.parse import parse_qsl

from flask import Request
from werkzeug.datastructures import FileStorage
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge, UnsupportedMediaType
from werkzeug.formparser import FormDataParser

from match_index import MAX_FILEPATH_BYTES
from match_service import budget
from match_service.errors import BadRequestError, MatchError
from match_service.model import Json
from match_service.settings import parse_flag

MAX_METADATA_BYTES: Final = 64 * 1024
MAX_METADATA_DEPTH: Final = 32
MAX_NUMBER_DIGITS: Final = 100
MAX_FIELDS: Final = 1000

URLENCODED: Final = "application/x-www-form-urlencoded"
MULTIPART: Final = "multipart/form-data"
FORM_NEEDED: Final = f"Parameters must be sent as {URLENCODED} or {MULTIPART}."

Fetch = Callable[[str], bytes]

# C0 and C1 controls and DEL cannot be shown or typed; U+FFFD stands where bytes were not UTF-8, so two
# different names could arrive as one.
_UNPRINTABLE: Final = re.compile("[\x00-\x1f\x7f-\x9f]")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,18}")
_DECIMAL: Final = re.compile(r"[0-9]{1,9}(\.[0-9]{0,30})?")
_INDEXED: Final = re.compile(r"([a-z]+)\[(0|[1-9][0-9]{0,3})\]")


class _StrictFormDataParser(FormDataParser):
    """Werkzeug's parser, but a malformed body is an error instead of an empty form."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["silent"] = False
        super().__init__(*args, **kwargs)


class FormRequest(Request):
    """A request whose uploads stay in memory (they are bounded), so no disk is needed or touched."""

    form_data_parser_class = _StrictFormDataParser

    def _get_file_stream(self, *_args: Any, **_kwargs: Any) -> IO[bytes]:
        return _Upload()


class _Upload(io.BytesIO):
    """An upload whose bytes are counted before they are kept."""

    def write(self, data: Any) -> int:
        budget.take(len(data))
        return super().write(data)


class Params:
    """The parameters of one request, by name.

    Repeating a parameter with different values is refused: which one is meant cannot be known.
    """

    def __init__(self, request: Request, *, query: bool = False) -> None:
        """Read the body's form and, with ``query``, the query string as well."""
        self._texts: dict[str, set[str]] = {}
        self._files: dict[str, list[FileStorage]] = {}
        if query:
            self._add(_pairs(request.query_string, "query string"))
        self._read_body(request)

    def text(self, name: str) -> str | None:
        """The value, or None where it is absent or empty (as HTML forms send a field not filled in)."""
        values = self._texts.get(name, set()) - {""}
        if len(values) > 1:
            raise BadRequestError(f"{name} was given more than once, with different values.")
        return next(iter(values), None)

    def filepath(self, name: str = "filepath", *, required: bool = True) -> str | None:
        """The name of an image: any text of at most ``MAX_FILEPATH_BYTES`` without controls.

        It is only a name: never opened, resolved, trimmed or normalised.
        """
        value = self.text(name)
        if value is None:
            if required:
                raise BadRequestError(f"{name} is required.")
            return None
        return parse_filepath(value, name)

    def image(
        self, fetch: Fetch, url_name: str = "url", file_name: str = "image", *, required: bool = True
    ) -> bytes | None:
        """The bytes of the image given as an upload or as a URL, exactly one of which is ``required``."""
        url, upload = self.text(url_name), self._upload(file_name)
        if url is not None and upload is not None:
            raise BadRequestError(f"Give either {url_name} or {file_name}, not both.")
        if url is not None:
            return fetch(url)
        if upload is not None:
            return upload
        if required:
            raise BadRequestError(f"{url_name} or {file_name} is required.")
        return None

    def filename(self, name: str) -> str | None:
        """The name that the uploaded file ``name`` came with, None where there is none."""
        return next((file.filename for file in self._files.get(name, []) if file.filename), None)

    def given(self, names: Iterable[str]) -> bool:
        """Whether any of the parameters ``names`` is there and not empty."""
        return any(self.text(name) is not None or name in self._files for name in names)

    def indices(self, names: Iterable[str]) -> list[int]:
        """The numbers i for which there is a parameter ``name[i]`` of one of ``names``, ascending."""
        wanted = set(names)
        found: set[int] = set()
        for field in (*self._texts, *self._files):
            match = _INDEXED.fullmatch(field)
            if match and match[1] in wanted:
                found.add(int(match[2]))
        return sorted(found)

    def flag(self, name: str, *, default: bool | None) -> bool | None:
        """A yes or no: true, 1, yes, on, false, 0, no, off, in any case."""
        text = self.text(name)
        if text is None:
            return default
        value = parse_flag(text)
        if value is None:
            raise BadRequestError(f"{name} must be true or false.")
        return value

    def choice(self, name: str, choices: Sequence[str], *, default: str) -> str:
        """One of ``choices``, as it is written there."""
        text = self.text(name)
        if text is not None and text not in choices:
            raise BadRequestError(f"{name} must be {' or '.join(choices)}.")
        return default if text is None else text

    def number(self, name: str, least: float, most: float) -> float | None:
        """A number in decimal notation, None where there is none."""
        text = self.text(name)
        if text is None:
            return None
        if not _DECIMAL.fullmatch(text) or not least <= float(text) <= most:
            raise BadRequestError(f"{name} must be a number from {least:g} to {most:g}.")
        return float(text)

    def count(self, name: str, *, default: int | None, most: int) -> int | None:
        """A whole number; a negative one counts as 0, as it always did."""
        text = self.text(name)
        if text is None:
            return default
        if not _INTEGER.fullmatch(text):
            raise BadRequestError(f"{name} must be a whole number.")
        if int(text) > most:
            raise BadRequestError(f"{name} must be at most {most}.")
        return max(0, int(text))

    def metadata(self, name: str = "metadata") -> Json:
        """The JSON value of ``name``, None where there is none."""
        text = self.text(name)
        if text is None:
            return None
        try:
            return parse_metadata(text)
        except BadRequestError as error:
            raise BadRequestError(str(error).replace("metadata", name, 1)) from error

    def filter(self, name: str, *, required: bool) -> dict[str, Json] | None:
        """What metadata must contain: a JSON object, with at least one key where it is required."""
        value = self.metadata(name)
        if value is None and required:
            raise BadRequestError(f"{name} is required.")
        if value is not None and not isinstance(value, dict):
            raise BadRequestError(f"{name} must be a JSON object.")
        if value == {} and required:
            raise BadRequestError(f"{name} must have at least one key.")
        return value

    def _upload(self, name: str) -> bytes | None:
        files = [f for f in self._files.get(name, []) if f.filename or f.stream.seek(0, io.SEEK_END)]
        if len(files) > 1:
            raise BadRequestError(f"{name} was given more than once.")
        if files:
            data = cast("_Upload", files[0].stream).getvalue()  # unlike read it makes no copy
            if not data:
                raise BadRequestError(f"{name} is an empty file.")
            return data
        if self.text(name) is not None:
            raise BadRequestError(f"{name} must be a file uploaded as {MULTIPART}.")
        return None

    def _add(self, pairs: list[tuple[str, str]]) -> None:
        for name, value in pairs:
            self._texts.setdefault(name, set()).add(value)

    def _read_body(self, request: Request) -> None:
        if not request.content_length and "chunked" not in request.headers.get("Transfer-Encoding", ""):
            return
        if request.mimetype not in (URLENCODED, MULTIPART):
            raise UnsupportedMediaType(FORM_NEEDED)
        try:
            if request.mimetype == URLENCODED:
                self._add(_pairs(_body(request), "body"))
            else:
                self._add(list(request.form.items(multi=True)))
                self._files = dict(request.files.lists())
        except (HTTPException, MatchError):
            raise
        except Exception as error:  # the WSGI server has kinds of its own for a broken stream
            raise BadRequestError(f"The body is not well-formed {request.mimetype}.") from error


def _body(request: Request) -> bytes:
    limit = request.max_form_memory_size or 0
    body = request.stream.read(limit + 1)
    if len(body) > limit:
        raise RequestEntityTooLarge(f"Form fields must be at most {limit} bytes in all.")
    if len(body) < (request.content_length or 0):  # half a filepath may be another one
        raise BadRequestError("The body ended before its Content-Length.")
    return body


def _pairs(raw: bytes, where: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(
            raw.decode("utf-8"), keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS
        )
    except ValueError as error:
        raise BadRequestError(
            f"The {where} must be urlencoded UTF-8 of at most {MAX_FIELDS} fields."
        ) from error


def parse_filepath(value: str, name: str = "filepath") -> str:
    """``value`` if it can be a filepath; otherwise ``BadRequestError`` that calls it ``name``."""
    if _UNPRINTABLE.search(value):
        raise BadRequestError(f"{name} must not hold control characters.")
    if "\ufffd" in value or _SURROGATE.search(value):
        raise BadRequestError(f"{name} must be valid UTF-8 and must not hold U+FFFD.")
    if len(value.encode()) > MAX_FILEPATH_BYTES:
        raise BadRequestError(f"{name} must be at most {MAX_FILEPATH_BYTES} bytes long in UTF-8.")
    return value


def parse_metadata(text: str) -> Json:
    """One JSON value that every JSON reader understands alike.

    Refused with ``BadRequestError``: NaN and Infinity, numbers no double can hold, repeated keys, lone
    surrogates, and more bytes or levels than the limits above.
    """
    if len(text.encode("utf-8", "surrogatepass")) > MAX_METADATA_BYTES:
        raise BadRequestError(f"metadata must be at most {MAX_METADATA_BYTES} bytes long.")
    if _depth(text) > MAX_METADATA_DEPTH:
        raise BadRequestError(f"metadata must be nested at most {MAX_METADATA_DEPTH} levels deep.")
    try:
        value: Json = json.loads(
            text, parse_constant=_no_constant, parse_float=_finite, parse_int=_int, object_pairs_hook=_object
        )
    except json.JSONDecodeError as error:
        raise BadRequestError(f"metadata must be JSON: {error.msg} at character {error.pos + 1}.") from error
    if _SURROGATE.search(json.dumps(value, ensure_ascii=False)):
        raise BadRequestError("metadata must not hold half of a surrogate pair.")
    return value


def _depth(text: str) -> int:
    """Nesting of brackets outside strings, before any parser recurses into them."""
    deepest = level = 0
    for token in re.finditer(r'"(?:[^"\\]|\\.)*"?|[\[{]|[\]}]', text, re.DOTALL):
        first = token.group()[0]
        level += (first in "[{") - (first in "]}")
        deepest = max(deepest, level)
    return deepest


def _no_constant(name: str) -> Json:
    raise BadRequestError(f"metadata must not hold {name}: it is not JSON.")


def _finite(digits: str) -> float:
    value = float(digits)
    if len(digits) > MAX_NUMBER_DIGITS or not math.isfinite(value):
        raise BadRequestError("metadata holds a number that is too large or has too many digits.")
    return value


def _int(digits: str) -> int:
    if len(digits.removeprefix("-")) > MAX_NUMBER_DIGITS:
        raise BadRequestError(f"metadata holds a number of more than {MAX_NUMBER_DIGITS} digits.")
    return int(digits)


def _object(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise BadRequestError("metadata must not repeat a key within an object.")
    return value
