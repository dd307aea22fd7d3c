"""Several images in one request, in TinEye MatchEngine's array form: ``images[0]``, ``filepaths[0]``, ...

Each item has a result of its own, and one that is refused keeps none of the others back.
"""

import contextvars
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from flask import Response

from match_service.api.endpoints import ADD
from match_service.api.params import Fetch, Params, parse_filepath
from match_service.api.replies import batch
from match_service.budget import sharing
from match_service.errors import BadRequestError, ConflictError
from match_service.matcher import Matcher
from match_service.model import Record

MOST: Final = 100
THREADS: Final = 8
"""Images fetched at a time."""

_SINGLE: Final = tuple(name for p in ADD.parameters if p.indexed for name in p.schemas())
_PLURAL: Final = {name: name if name == "metadata" else f"{name}s" for name in _SINGLE}

Outcome = tuple[str | None, Record | None, str]
"""Filepath, record and why there is none."""


def indices(params: Params) -> list[int]:
    """The numbers of the items, none for a request that is no batch."""
    return params.indices(_PLURAL.values())


def add(params: Params, matcher: Matcher, fetch: Fetch) -> Response:
    """Add every item and say of each what became of it."""
    if params.given(_SINGLE):
        raise BadRequestError("Give either filepath or filepaths[0], filepaths[1], ..., not both.")
    if_new = bool(params.flag("if_new", default=False))
    similar = next(p for p in ADD.parameters if p.name == "unless_similar").read(params, fetch)
    outcomes = prepared(params, matcher, fetch)
    if if_new or similar is not None:
        outcomes = [_conditionally(matcher, outcome, if_new=if_new, similar=similar) for outcome in outcomes]
    else:
        outcomes = stored(outcomes, matcher)
    return batch("add", [_row(outcome) for outcome in outcomes])


def prepared(params: Params, matcher: Matcher, fetch: Fetch, *, named_by_file: bool = False) -> list[Outcome]:
    """Every item decoded, in order of their numbers; with ``named_by_file`` an upload may name itself."""
    numbers = indices(params)
    if len(numbers) > MOST:
        raise BadRequestError(f"A batch has at most {MOST} images.")

    def prepare(number: int) -> Outcome:
        with sharing():  # what was fetched for an item goes with it
            return _prepare(params, matcher, fetch, number, named_by_file)

    with ThreadPoolExecutor(THREADS) as threads:
        started = [threads.submit(contextvars.copy_context().run, prepare, number) for number in numbers]
        return [each.result() for each in started]


def stored(outcomes: list[Outcome], matcher: Matcher) -> list[Outcome]:
    """``outcomes`` after their records were stored, all at once; those that the store refused say why."""
    refused = matcher.store.add_many(
        [record for _, record, _ in outcomes if record is not None], visible=True
    )
    return [
        (path, None, refused[path]) if record and path in refused else (path, record, why)
        for path, record, why in outcomes
    ]


def _prepare(params: Params, matcher: Matcher, fetch: Fetch, number: int, named_by_file: bool) -> Outcome:
    filepath = params.filename(f"images[{number}]") if named_by_file else None
    try:
        given = params.filepath(f"filepaths[{number}]", required=filepath is None)
        filepath = given or parse_filepath(filepath or "")
        metadata = params.metadata(f"metadata[{number}]")
        image = params.image(fetch, f"urls[{number}]", f"images[{number}]") or b""
        return filepath, matcher.record(filepath, image, metadata), ""
    except BadRequestError as error:
        return filepath, None, str(error)


def _conditionally(matcher: Matcher, outcome: Outcome, *, if_new: bool, similar: float | None) -> Outcome:
    filepath, record, _ = outcome
    if record is None:
        return outcome
    try:
        matcher.add(record, if_new=if_new, unless_similar=similar)
    except ConflictError as error:
        return filepath, None, str(error)
    return outcome


def _row(outcome: Outcome) -> dict[str, Any]:
    filepath, _, problem = outcome
    return {
        "filepath": filepath,
        "status": "fail" if problem else "ok",
        "error": [problem] if problem else [],
    }
