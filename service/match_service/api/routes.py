"""The Match API: one short function per endpoint, from parameters to envelope."""

from typing import Final

from flask import Blueprint, Response, request

from match_service.api.params import Fetch, Params
from match_service.api.replies import ok
from match_service.matcher import Matcher

MAX_LIMIT: Final = 10_000
MAX_OFFSET: Final = 10**15


def blueprint(matcher: Matcher, fetch: Fetch, *, all_orientations: bool) -> Blueprint:
    """Routes over ``matcher``; ``fetch`` opens URLs, ``all_orientations`` is the default of /search."""
    api = Blueprint("match", __name__)

    def add() -> Response:
        params = Params(request)
        filepath, metadata = params.filepath(), params.metadata()
        matcher.add(filepath, params.image(fetch), metadata)
        return ok("add", [])

    def delete() -> Response:
        matcher.delete(Params(request, query=True).filepath())
        return ok("delete", [])

    def search() -> Response:
        params = Params(request)
        every = params.flag("all_orientations", default=all_orientations)
        thorough = params.flag("thorough", default=False)
        matches = matcher.search(params.image(fetch), all_orientations=every, thorough=thorough)
        rows = [{"score": m.score, "filepath": m.filepath, "metadata": m.metadata} for m in matches]
        return ok("search", rows)

    def compare() -> Response:
        params = Params(request)
        images = [params.image(fetch, f"url{n}", f"image{n}") for n in (1, 2)]
        return ok("compare", [{"score": matcher.compare(*images)}])

    def count() -> Response:
        return ok("count", [matcher.store.count()])

    def list_() -> Response:
        params = Params(request, query=True)
        offset = params.count("offset", default=0, most=MAX_OFFSET)
        limit = params.count("limit", default=20, most=MAX_LIMIT)
        return ok("list", list(matcher.store.filepaths(offset, limit)))

    api.add_url_rule("/add", "add", add, methods=["POST"])
    api.add_url_rule("/delete", "delete", delete, methods=["DELETE"])
    api.add_url_rule("/search", "search", search, methods=["POST"])
    api.add_url_rule("/compare", "compare", compare, methods=["POST"])
    api.add_url_rule("/count", "count", count, methods=["GET", "POST"])
    api.add_url_rule("/list", "list", list_, methods=["GET", "POST"])
    return api
