"""Wiring: settings and a store in, a WSGI application out."""

import contextlib
import time
from collections.abc import Callable
from typing import Final

from flask import Flask, Response, g, request

from match_service import budget, thumbnails, web
from match_service.api import about, duplicates, errors, health, rest, routes, thumbnail, transfer
from match_service.api.endpoints import SCOPES
from match_service.api.gate import Gate, admit
from match_service.api.guard import Guard
from match_service.api.params import FormRequest
from match_service.duplicates import Duplicates
from match_service.errors import FetchError
from match_service.fetch import Fetcher
from match_service.matcher import Decoder, Matcher
from match_service.metrics import FETCH_FAILURES, stage
from match_service.receiving import CURRENT
from match_service.settings import Settings
from match_service.store.base import Store
from match_service.store.pictured import PicturedStore

DISCARD_BYTES: Final = 64 * 1024 * 1024
DISCARD_CHUNK: Final = 64 * 1024
DISCARD_SECONDS: Final = 10
OVERLOADED_SECONDS: Final = 1
"""The same where there is too much to do already."""


def create_app(
    settings: Settings,
    store: Store,
    draining: Callable[[], bool] = lambda: False,
    decoder: Decoder | None = None,
) -> Flask:
    """The Match API over ``store``; ``draining`` makes /readyz say 503 before the process stops.

    Without a ``decoder`` images are decoded in this process, for as long as that takes.
    """
    app = Flask(__name__, static_folder=None)
    app.request_class = FormRequest
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes
    app.url_map.merge_slashes = False
    kept = thumbnails.keep_in(settings.thumbnails) if settings.thumbnails else None
    if kept is not None:
        store = PicturedStore(store, kept)
    matcher = Matcher(store, decoder, pictures=kept is not None)
    fetch = measured(Fetcher(settings.fetch).fetch)
    app.register_blueprint(routes.blueprint(matcher, fetch, all_orientations=settings.all_orientations))
    if settings.tineye_rest:
        app.register_blueprint(rest.blueprint(matcher, fetch))
    app.register_blueprint(transfer.blueprint(matcher))
    app.register_blueprint(about.blueprint())
    app.register_blueprint(health.blueprint(store, draining))
    app.register_blueprint(thumbnail.blueprint(matcher, kept))
    app.register_blueprint(duplicates.blueprint(Duplicates(store.review)))
    if settings.page:
        app.register_blueprint(web.blueprint(thumbnails=kept is not None))
    errors.register(app)
    Guard(settings, {**SCOPES, **web.SCOPES}).register(app, admit)
    Gate(settings.threads, settings.queue).register(app)
    _share(app, budget.Budget.beside(settings.max_body_bytes, settings.fetch.max_bytes))
    app.after_request(_plain_options)
    app.after_request(_discard_body)
    return app


def _share(app: Flask, images: budget.Budget) -> None:
    """Have each request of ``app`` give back in the end what it took of ``images``."""

    def begin() -> None:
        g.share = contextlib.ExitStack()
        g.share.enter_context(budget.sharing(images))

    def end(_: BaseException | None) -> None:
        if share := g.pop("share", None):
            share.close()

    app.before_request(begin)
    app.teardown_request(end)


def measured(fetch: Callable[[str], bytes]) -> Callable[[str], bytes]:
    """``fetch``, with its time and its failures counted."""

    def fetched(url: str) -> bytes:
        with stage("fetch"):
            try:
                return fetch(url)
            except FetchError:
                FETCH_FAILURES.inc()
                raise

    return fetched


def _plain_options(response: Response) -> Response:
    """OPTIONS has nothing to say but its Allow header."""
    if request.method == "OPTIONS" and response.status_code == 200:
        response.status_code = 204
        response.headers.pop("Content-Type", None)
    return response


def _discard_body(response: Response) -> Response:
    """Read what a refused request still sends, so that its client sees the answer and not a reset."""
    seconds = OVERLOADED_SECONDS if response.status_code == 503 else DISCARD_SECONDS
    deadline = time.monotonic() + seconds
    if receiver := CURRENT.get():
        receiver.end_within(seconds)  # a read of many bytes may itself last
    left = DISCARD_BYTES
    with contextlib.suppress(Exception):  # whatever the WSGI server raises for a broken stream
        while left > 0 and time.monotonic() < deadline:
            chunk = request.environ["wsgi.input"].read(min(left, DISCARD_CHUNK))
            if not chunk:
                break
            left -= len(chunk)
    return response
