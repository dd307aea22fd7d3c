"""``/duplicates``: start, follow, read and cancel a search for duplicates in the whole collection."""

import re
from typing import Any, Final

from flask import Blueprint, Response, request

from match_service.api.params import Params
from match_service.api.replies import ok
from match_service.duplicates import Duplicates
from match_service.errors import BadRequestError
from match_service.store.review import Job

DEFAULT_SCORE: Final = 80.0
LEAST_SCORE: Final = 55.0
MAX_LIMIT: Final = 1000
MAX_OFFSET: Final = 10**9

_NUMBER: Final = re.compile(r"[0-9]{1,3}(\.[0-9]{1,9})?")


def blueprint(duplicates: Duplicates) -> Blueprint:
    """The routes over ``duplicates``."""
    api = Blueprint("duplicates", __name__)

    def start() -> Response:
        params = Params(request)
        every = params.flag("all_orientations", default=False)
        return ok("duplicates", [_told(duplicates.start(_score(params), all_orientations=every))])

    def show() -> Response:
        params = Params(request, query=True)
        offset = params.count("offset", default=0, most=MAX_OFFSET)
        limit = params.count("limit", default=20, most=MAX_LIMIT)
        job = duplicates.job()
        if job is None:
            return ok("duplicates", [])
        return ok("duplicates", [{**_told(job), "groups": duplicates.page(job, offset, limit)}])

    def cancel() -> Response:
        job = duplicates.cancel()
        return ok("duplicates", [] if job is None else [_told(job)])

    api.add_url_rule("/duplicates", "start_duplicates", start, methods=["POST"])
    api.add_url_rule("/duplicates", "cancel_duplicates", cancel, methods=["DELETE"])
    api.add_url_rule("/duplicates", "duplicates", show, methods=["GET"])
    return api


def _score(params: Params) -> float:
    text = params.text("min_score")
    if text is None:
        return DEFAULT_SCORE
    if not _NUMBER.fullmatch(text) or not LEAST_SCORE <= float(text) <= 100:
        raise BadRequestError(f"min_score must be a number from {LEAST_SCORE:.0f} to 100.")
    return float(text)


def _told(job: Job) -> dict[str, Any]:
    told = job.told()
    return {
        "state": told.state,
        "progress": told.progress,
        "images": told.images,
        "count": told.groups,
        "min_score": told.min_score,
        "all_orientations": told.all_orientations,
        "started": told.started,
        "error": told.error,
    }
