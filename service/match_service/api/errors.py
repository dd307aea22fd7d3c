"""The one place where a refusal or a failure becomes a reply."""

import logging
from typing import Final

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from match_service.api.replies import fail
from match_service.errors import (
    BadRequestError,
    NotAuthenticatedError,
    NotPermittedError,
    OverloadedError,
    RateLimitedError,
    StoreUnavailableError,
)

RETRY_AFTER_SECONDS: Final = 2
SENTENCES: Final = {
    404: "There is no such path.",
    405: "This path does not answer that HTTP method.",
    413: "The request is larger than this service accepts.",
    500: "The service failed; its log says why.",
}
"""Our words for Werkzeug's errors; others keep their own description."""

log = logging.getLogger(__name__)


def register(app: Flask) -> None:
    """Answer every error of ``app`` in the envelope."""
    names: dict[str, str] = {rule.rule: rule.endpoint.rpartition(".")[2] for rule in app.url_map.iter_rules()}

    def method() -> str:
        return names.get(request.path, "")

    @app.errorhandler(BadRequestError)
    def bad_request(error: BadRequestError) -> Response:
        return fail(400, str(error), method())

    @app.errorhandler(StoreUnavailableError)
    def unavailable(error: StoreUnavailableError) -> Response:
        log.warning("%s: %s", request.path, error)
        return fail(503, str(error), method(), {"Retry-After": str(RETRY_AFTER_SECONDS)})

    @app.errorhandler(NotAuthenticatedError)
    def unauthenticated(error: NotAuthenticatedError) -> Response:
        # A script asks its user by itself; offered Basic, the browser would do so first.
        scripted = request.headers.get("Sec-Fetch-Mode", "navigate") != "navigate"
        challenge = "Bearer" if scripted else 'Bearer, Basic realm="match"'
        return fail(401, str(error), method(), {"WWW-Authenticate": challenge})

    @app.errorhandler(NotPermittedError)
    def forbidden(error: NotPermittedError) -> Response:
        return fail(403, str(error), method())

    @app.errorhandler(RateLimitedError)
    def rate_limited(error: RateLimitedError) -> Response:
        return fail(429, str(error), method(), {"Retry-After": str(error.retry_after)})

    @app.errorhandler(OverloadedError)
    def overloaded(error: OverloadedError) -> Response:
        log.warning("%s: %s", request.path, error)
        return fail(503, str(error), method(), {"Retry-After": str(RETRY_AFTER_SECONDS)})

    @app.errorhandler(HTTPException)
    def http_error(error: HTTPException) -> Response:
        code = error.code or 500
        own = type(error).description != error.description and error.description
        sentence = own or SENTENCES.get(code) or error.description or error.name
        allow = {name: value for name, value in error.get_headers() if name == "Allow"}
        return fail(code, sentence, method(), allow)

    @app.errorhandler(Exception)
    def failure(error: Exception) -> Response:
        log.error("%s %s failed", request.method, request.path, exc_info=error)
        return fail(500, SENTENCES[500], method())
