"""``/duplicates``: start, follow, read and cancel a search for duplicates in the whole collection."""

from typing import Any, Final

from flask import Blueprint, Response, request

from match_service.api import endpoints
from match_service.api.describe import Endpoint
from match_service.api.params import Params
from match_service.api.replies import ok
from match_service.duplicates import Duplicates
from match_service.store.review import Job

DEFAULT_SCORE: Final = 80.0


def blueprint(duplicates: Duplicates) -> Blueprint:
    """The routes over ``duplicates``."""
    api = Blueprint("duplicates", __name__)

    def asked(endpoint: Endpoint) -> dict[str, Any]:
        return endpoint.read(Params(request, query=endpoint.query), _no_fetch)

    def start() -> Response:
        values = asked(endpoints.START_DUPLICATES)
        score = DEFAULT_SCORE if values["min_score"] is None else values["min_score"]
        return ok("duplicates", [told(duplicates.start(score, all_orientations=values["all_orientations"]))])

    def cancel() -> Response:
        job = duplicates.cancel()
        return ok("duplicates", [] if job is None else [told(job)])

    def show() -> Response:
        values = asked(endpoints.DUPLICATES)
        job = duplicates.job()
        if job is None:
            return ok("duplicates", [])
        page = duplicates.page(job, values["offset"], values["limit"])
        return ok("duplicates", [{**told(job), "groups": page}])

    views = ((endpoints.START_DUPLICATES, start), (endpoints.CANCEL_DUPLICATES, cancel))
    for endpoint, view in (*views, (endpoints.DUPLICATES, show)):
        api.add_url_rule(endpoint.path, endpoint.name, view, methods=[*endpoint.methods])
    return api


def told(job: Job) -> dict[str, Any]:
    """The job as the API gives it."""
    return {
        "state": job.told().state,
        "progress": job.progress,
        "images": job.images,
        "count": job.groups,
        "min_score": job.min_score,
        "all_orientations": job.all_orientations,
        "started": job.started,
        "error": job.told().error,
    }


def _no_fetch(_url: str) -> bytes:
    raise AssertionError
