"""The Match API: one short function per endpoint, from parameters to envelope."""

import itertools
from datetime import UTC, datetime
from typing import Any, Final

from flask import Blueprint, Response, request

from match_service.api import batch, endpoints
from match_service.api.describe import Endpoint
from match_service.api.params import Fetch, Params
from match_service.api.replies import ok, picture
from match_service.engine import VIEW_NAMES
from match_service.errors import BadRequestError
from match_service.matcher import GUESSED, Matcher, Options
from match_service.model import Match, Stored

PURGED_NAMES: Final = 100
"""Filepaths that /purge names; the rest is only counted."""


def blueprint(matcher: Matcher, fetch: Fetch, *, all_orientations: bool) -> Blueprint:
    """Routes over ``matcher``; ``fetch`` opens URLs, ``all_orientations`` is the default of /search."""
    api = Blueprint("match", __name__)
    views = _Views(matcher, fetch, all_orientations)
    for endpoint in endpoints.ENDPOINTS:
        view = getattr(views, endpoint.name, None)
        if view is not None:
            api.add_url_rule(endpoint.path, endpoint.name, view, methods=[*endpoint.methods])
    return api


class _Views:
    """One method for each endpoint, by its name."""

    def __init__(self, matcher: Matcher, fetch: Fetch, all_orientations: bool) -> None:
        self._matcher = matcher
        self._fetch = fetch
        self._all_orientations = all_orientations

    def _asked(self, endpoint: Endpoint) -> dict[str, Any]:
        return endpoint.read(Params(request, query=endpoint.query), self._fetch)

    def add(self) -> Response:
        params = Params(request)
        if batch.indices(params):
            return batch.add(params, self._matcher, self._fetch)
        values = endpoints.ADD.read(params, self._fetch)
        record = self._matcher.record(values["filepath"], values["image"], values["metadata"])
        self._matcher.add(record, if_new=values["if_new"], unless_similar=values["unless_similar"])
        return ok("add", [])

    def delete(self) -> Response:
        self._matcher.store.delete(self._asked(endpoints.DELETE)["filepath"])
        return ok("delete", [])

    def search(self) -> Response:
        values = self._asked(endpoints.SEARCH)
        every = values["all_orientations"]
        options = Options(
            all_orientations=self._all_orientations if every is None else every,
            thorough=values["thorough"],
            min_score=values["min_score"],
            wanted=values["filter"],
            offset=values["offset"],
            limit=values["limit"],
        )
        matches = _search(self._matcher, values["image"], values["filepath"], options)
        return ok("search", [row(match, details=values["details"]) for match in matches])

    def compare(self) -> Response:
        values = self._asked(endpoints.COMPARE)
        return ok("compare", [{"score": self._matcher.compare(values["image1"], values["image2"])}])

    def overlap(self) -> Response:
        values = self._asked(endpoints.OVERLAP)
        made = self._matcher.overlap(
            values["image1"],
            values["image2"],
            values["mode"],
            all_orientations=values["all_orientations"],
        )
        reply = picture(made.jpeg)
        reply.headers["Match-Score"] = f"{made.score:.6g}"
        reply.headers["Match-Orientation"] = made.orientation
        reply.headers["Cache-Control"] = "no-store"
        return reply

    def count(self) -> Response:
        return ok("count", [self._matcher.store.count()])

    def list(self) -> Response:
        values = self._asked(endpoints.LIST)
        offset, limit, after, wanted = (values[name] for name in ("offset", "limit", "after", "filter"))
        if after is None and wanted is None and not values["details"]:
            return ok("list", [*self._matcher.store.filepaths(offset, limit)])
        pages = self._matcher.everything(wanted, after)
        found = itertools.islice(itertools.chain.from_iterable(pages), offset, offset + limit)
        if values["details"]:
            return ok("list", [described(stored) for stored in found])
        return ok("list", [stored.record.filepath for stored in found])

    def image(self) -> Response:
        return ok("image", [described(self._matcher.stored(self._asked(endpoints.IMAGE)["filepath"]))])

    def purge(self) -> Response:
        values = self._asked(endpoints.PURGE)
        names: list[str] = []
        matched = deleted = 0
        for page in self._matcher.everything(values["filter"]):
            filepaths = [stored.record.filepath for stored in page]
            matched += len(filepaths)
            names += filepaths[: PURGED_NAMES - len(names)]
            if not values["dry_run"]:
                deleted += self._matcher.store.delete_many(filepaths)
        return ok("purge", [{"matched": matched, "deleted": deleted, "filepaths": names}])


def _search(matcher: Matcher, image: bytes | None, filepath: str | None, options: Options) -> list[Match]:
    if filepath is None and image is None:
        raise BadRequestError("url or image is required.")
    if filepath is None:
        assert image is not None  # noqa: S101 - narrows the type
        return matcher.search(image, options)
    if image is not None:
        raise BadRequestError("Give either filepath or an image, not both.")
    if options.thorough:
        raise BadRequestError("thorough needs an image: what is stored is only its signature.")
    return matcher.search_stored(filepath, options)


def row(match: Match, *, details: bool) -> dict[str, Any]:
    """One match as /search gives it; with ``details`` also how the stored image is turned."""
    found: dict[str, Any] = {"score": match.score, "filepath": match.filepath, "metadata": match.metadata}
    if details:
        found["orientation"] = "guessed" if match.view == GUESSED else VIEW_NAMES[match.view]
    return found


def described(stored: Stored) -> dict[str, Any]:
    """What is kept of an image, but for its signature."""
    record = stored.record
    added = datetime.fromtimestamp(stored.added, UTC).isoformat(timespec="milliseconds")
    return {"filepath": record.filepath, "metadata": record.metadata, "sha256": record.sha256, "added": added}
