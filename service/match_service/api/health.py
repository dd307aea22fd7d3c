"""Alive, ready and reachable told apart.

``/livez`` asks only whether the process answers: restarting it would not bring a store back.
``/readyz`` asks whether searches can be answered now, and how; it says no while the process shuts down.
``/ping`` is the original's, for its clients: it touches nothing.
"""

from collections.abc import Callable

from flask import Blueprint, Response

from match_service.api.errors import RETRY_AFTER_SECONDS
from match_service.api.replies import fail, ok
from match_service.errors import StoreUnavailableError
from match_service.store.base import Store


def blueprint(store: Store, draining: Callable[[], bool]) -> Blueprint:
    """Routes for probes; ``draining`` tells whether a shutdown has begun."""
    health = Blueprint("health", __name__)

    def livez() -> Response:
        return ok("livez", [])

    def readyz() -> Response:
        retry = {"Retry-After": str(RETRY_AFTER_SECONDS)}
        if draining():
            return fail(503, "The service is shutting down.", "readyz", retry)
        try:
            facts = store.check()
        except StoreUnavailableError as error:
            return fail(503, str(error), "readyz", retry)
        return ok("readyz", [facts])

    def ping() -> Response:
        return ok("ping", [])

    health.add_url_rule("/livez", "livez", livez)
    health.add_url_rule("/readyz", "readyz", readyz)
    health.add_url_rule("/ping", "ping", ping, methods=["GET", "POST"])
    return health
