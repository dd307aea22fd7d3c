"""The one place where a refusal or a failure becomes a reply."""

import logging
from typing import Final

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from match_service.api.replies import fail
from match_service.errors import (
    BadRequestError,
    ConflictError,
    IssuerAwayError,
    MatchError,
    MissingError,
    NotAuthenticatedError,
    NotPermittedError,
    OverloadedError,
    RateLimitedError,
    StoreUnavailableError,
)
from match_service.metrics import ENDPOINT, OVERLOADS, STORE_ERRORS

RETRY_AFTER_SECONDS: Final = 2
SENTENCES: Final = {
    404: "There is no such path.",
    405: "This path does not answer that HTTP method.",
    413: "The request is larger than this service accepts.",
    500: "The service failed; its log says why.",
}
"""Our words for Werkzeug's errors; others keep their own description."""

log = logging.getLogger(__name__)


STATUSES: Final[dict[type[MatchError], int]] = {
    BadRequestError: 400,
    NotAuthenticatedError: 401,
    NotPermittedError: 403,
    MissingError: 404,
    ConflictError: 409,
    RateLimitedError: 429,
    IssuerAwayError: 503,
    OverloadedError: 503,
    StoreUnavailableError: 503,
}


def _answer(error: MatchError) -> tuple[int, dict[str, str]]:
    """Status and headers of what the service refuses or cannot do; what is overdone or away is counted."""
    status = next(code for kind, code in STATUSES.items() if isinstance(error, kind))
    if isinstance(error, NotAuthenticatedError):
        # A script asks its user by itself; offered Basic, the browser would do so first.
        scripted = request.headers.get("Sec-Fetch-Mode", "navigate") != "navigate"
        return status, {"WWW-Authenticate": "Bearer" if scripted else 'Bearer, Basic realm="match"'}
    if isinstance(error, RateLimitedError):
        return status, {"Retry-After": str(error.retry_after)}
    if isinstance(error, StoreUnavailableError):
        STORE_ERRORS.labels(ENDPOINT.get()).inc()
    elif isinstance(error, OverloadedError):
        OVERLOADS.inc()
    return status, {"Retry-After": str(RETRY_AFTER_SECONDS)} if status == 503 else {}


def register(app: Flask) -> None:
    """Answer every error of ``app`` in the envelope."""
    names: dict[str, str] = {rule.rule: rule.endpoint.rpartition(".")[2] for rule in app.url_map.iter_rules()}

    def method() -> str:
        return names.get(request.path) or (request.endpoint or "").rpartition(".")[2]

    def refused(error: MatchError) -> Response:
        status, headers = _answer(error)
        if status == 503:
            log.warning("%r: %s", request.path, error)  # a path may hold line breaks
        return fail(status, str(error), method(), headers)

    app.register_error_handler(MatchError, refused)

    @app.errorhandler(HTTPException)
    def http_error(error: HTTPException) -> Response:
        code = error.code or 500
        own = type(error).description != error.description and error.description
        sentence = own or SENTENCES.get(code) or error.description or error.name
        allow = {name: value for name, value in error.get_headers() if name == "Allow"}
        return fail(code, sentence, method(), allow)

    @app.errorhandler(Exception)
    def failure(error: Exception) -> Response:
        log.error("%s %r failed", request.method, request.path, exc_info=error)
        return fail(500, SENTENCES[500], method())
