"""TinEye MatchEngine's API, for clients written for it: GET as well as POST, arrays, refusals inside a 200.

Only what MatchEngine's public clients use, and off unless asked for, since it changes state by GET. It has no
description of its own in the OpenAPI document: what TinEye's clients send is described by TinEye.
"""

from collections.abc import Callable
from typing import Any, Final

from flask import Blueprint, Response, request

from match_service.api import batch
from match_service.api.endpoints import MAX_LIMIT, MAX_OFFSET
from match_service.api.params import Fetch, Params
from match_service.api.replies import fail, mixed, ok
from match_service.errors import BadRequestError, MissingError
from match_service.matcher import Matcher, Options
from match_service.store.base import DISTANCE_CUTOFF

THRESHOLD: Final = (1 - DISTANCE_CUTOFF) * 100
"""A lower ``min_score``, such as the clients' default of 0, means this: what is below is no match."""
PREFIXES: Final = ("/rest", "/<company>/rest")

Act = Callable[[Params], Response]


def blueprint(matcher: Matcher, fetch: Fetch) -> Blueprint:
    """Routes below ``/rest/`` and ``/COMPANY/rest/`` over ``matcher``."""
    rest = Blueprint("rest", __name__)
    acts = _Acts(matcher, fetch)
    for name in ("add", "delete", "search", "compare", "count", "list", "ping"):
        view = _view(name, getattr(acts, name))
        for prefix in PREFIXES:
            rest.add_url_rule(f"{prefix}/{name}/", name, view, methods=["GET", "POST"], strict_slashes=False)
    return rest


def _view(name: str, act: Act) -> Callable[..., Response]:
    def view(**_: str) -> Response:
        try:
            return act(Params(request, query=True))
        except (BadRequestError, MissingError) as error:
            return fail(200, str(error), name)

    return view


class _Acts:
    """One method for each of MatchEngine's."""

    def __init__(self, matcher: Matcher, fetch: Fetch) -> None:
        self._matcher = matcher
        self._fetch = fetch

    def add(self, params: Params) -> Response:
        outcomes = batch.prepared(params, self._matcher, self._fetch, named_by_file=True)
        if not outcomes:
            raise BadRequestError("images[0] or urls[0] is required.")
        outcomes = batch.stored(outcomes, self._matcher)
        return mixed("add", [f"{path}: {problem}" for path, _, problem in outcomes if problem], len(outcomes))

    def delete(self, params: Params) -> Response:
        numbers = params.indices(["filepaths"])
        paths = [params.filepath(f"filepaths[{number}]") or "" for number in numbers]
        if not paths:
            raise BadRequestError("filepaths[0] is required.")
        gone = [self._matcher.store.delete(path) for path in paths]
        missing = [path for path, deleted in zip(paths, gone, strict=True) if not deleted]
        return mixed("delete", [f"{path}: Failed to remove from index." for path in missing], len(paths))

    def search(self, params: Params) -> Response:
        options = Options(
            all_orientations=False,
            mirrored=bool(params.flag("check_horizontal_flip", default=False)),
            min_score=self._least(params),
            offset=params.count("offset", default=0, most=MAX_OFFSET) or 0,
            limit=params.count("limit", default=10, most=MAX_LIMIT) or None,
        )
        filepath = params.filepath(required=False)
        if filepath is not None:
            matches = self._matcher.search_stored(filepath, options, itself=True)
        else:
            matches = self._matcher.search(params.image(self._fetch) or b"", options)
        rows = [{"filepath": m.filepath, "score": round(m.score, 2), "overlay": ""} for m in matches]
        return ok("search", rows)

    def compare(self, params: Params) -> Response:
        mirrored = bool(params.flag("check_horizontal_flip", default=False))
        least = self._least(params) or THRESHOLD
        first, second = (params.image(self._fetch, f"url{n}", f"image{n}") or b"" for n in (1, 2))
        score = self._matcher.compare(first, second, mirrored=mirrored)
        return ok("compare", [{"score": round(score, 2)}] if score >= least else [])

    def count(self, _: Params) -> Response:
        return ok("count", [self._matcher.store.count()])

    def list(self, params: Params) -> Response:
        offset = params.count("offset", default=0, most=MAX_OFFSET) or 0
        limit = params.count("limit", default=20, most=MAX_LIMIT) or MAX_LIMIT
        return ok("list", [*self._matcher.store.filepaths(offset, limit)])

    def ping(self, _: Params) -> Response:
        return ok("ping", [])

    def _least(self, params: Params) -> Any:
        least = params.number("min_score", 0, 100)
        return None if least is None or least <= THRESHOLD else least
