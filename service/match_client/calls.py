"""Each call of the API once: what it sends and how its answer is read, for both clients alike."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Generic, Literal, TypedDict, TypeVar
from urllib.parse import quote

from match_client import images
from match_client.images import Image
from match_client.results import Comparison, Json, Match, Overlap

T = TypeVar("T")

Mode = Literal["blend", "difference"]
"""How one image is laid over another: half of each, or what differs."""

QUERY_BYTES: Final = 2000
"""Longest DELETE parameter in the query string, which servers and proxies bound; beyond it goes into the
body, which some proxies drop."""


class SearchOptions(TypedDict, total=False):
    """What a search may be told; what is left out is the service's own default."""

    all_orientations: bool
    """Also find the image turned, mirrored and inverted (default true)."""
    thorough: bool
    """Also find what it is a larger crop, a slightly turned or a framed copy of (default false)."""
    min_score: float
    """Least score, 40 to 100 (default 55)."""
    limit: int
    offset: int
    """Give at most so many, and pass over so many of the best."""
    filter: dict[str, Json]
    """Only images whose metadata contains this."""
    details: bool
    """Also say how each match is turned (default false)."""


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One request to be made, and how to read the ``result`` of its answer."""

    method: str
    path: str
    read: Callable[[list[Any]], T]
    fields: Mapping[str, str] = field(default_factory=dict)
    images: Mapping[str, Image] = field(default_factory=dict)
    in_query: bool = False
    repeatable: bool = True
    """Whether doing it twice is the same as doing it once, and whether what it sends can be sent again."""
    read_picture: Callable[[bytes, Mapping[str, str]], T] | None = None
    """For an answer that is a JPEG: how it is read with its headers, in place of ``read``."""


def add(filepath: str, image: Image, metadata: Json) -> Call[None]:
    """Keep ``image`` under ``filepath``; adding it again changes nothing, so it may be repeated."""
    fields = {"filepath": filepath}
    if metadata is not None:
        fields["metadata"] = json.dumps(metadata, allow_nan=False)
    return _sending("/add", _nothing, fields, {"": image})


def delete(filepath: str) -> Call[None]:
    """Forget ``filepath``."""
    short = len(quote(filepath)) <= QUERY_BYTES
    return Call("DELETE", "/delete", _nothing, {"filepath": filepath}, in_query=short)


def search(image: Image, options: SearchOptions) -> Call[list[Match]]:
    """Images like ``image``, best first."""
    return _sending("/search", lambda rows: [Match.of(row) for row in rows], _texts(options), {"": image})


def compare(first: Image, second: Image) -> Call[Comparison]:
    """The score of two images."""
    return _sending("/compare", lambda rows: Comparison.of(rows[0]), {}, {"1": first, "2": second})


def overlap(first: Image, second: Image, mode: Mode, *, all_orientations: bool) -> Call[Overlap]:
    """The second image laid over the first."""
    fields = _texts({"mode": mode, "all_orientations": all_orientations})
    call = _sending("/overlap", _no_rows, fields, {"1": first, "2": second})
    return replace(call, read_picture=Overlap.of)


def count() -> Call[int]:
    """The number of images."""
    return Call("GET", "/count", lambda rows: int(rows[0]))


def ping() -> Call[None]:
    """Whether the service answers."""
    return Call("GET", "/ping", _nothing)


class Pages:
    """Walks through /list: the call for the next page, until one comes back short."""

    def __init__(self, page_size: int) -> None:
        if not 1 <= page_size <= 10_000:
            raise ValueError("A page has 1 to 10,000 filepaths.")
        self._size = page_size
        self._offset = 0
        self.more = True

    def next(self) -> Call[list[str]]:
        """The call for the page that has not been taken yet."""
        fields = {"offset": str(self._offset), "limit": str(self._size)}
        return Call("GET", "/list", self._take, fields, in_query=True)

    def _take(self, rows: list[Any]) -> list[str]:
        self._offset += len(rows)
        self.more = len(rows) >= self._size
        return [str(row) for row in rows]


def _sending(
    path: str, read: Callable[[list[Any]], T], fields: Mapping[str, str], sent: Mapping[str, Image]
) -> Call[T]:
    """A POST of images, each as ``image`` or ``url`` with its key as suffix."""
    addresses = {f"url{suffix}": url for suffix, each in sent.items() if (url := images.url(each))}
    uploads = {f"image{suffix}": each for suffix, each in sent.items() if not images.url(each)}
    again = all(images.repeatable(each) for each in uploads.values())
    return Call("POST", path, read, {**fields, **addresses}, uploads, repeatable=again)


def _texts(options: Mapping[str, Any]) -> dict[str, str]:
    """Options as form fields; one that is None is left out."""
    return {
        name: str(value)
        if isinstance(value, (int, float, str)) and value is not True and value is not False
        else json.dumps(value, allow_nan=False)
        for name, value in options.items()
        if value is not None
    }


def _no_rows(_rows: list[Any]) -> Overlap:
    """For answers that should have been a picture."""
    raise ValueError


def _nothing(_rows: list[Any]) -> None:
    """For answers without a result."""
