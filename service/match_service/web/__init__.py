"""The page at ``/``: for people, over the same endpoints that programs use.

It is plain HTML, CSS and ES modules, sent as they lie in ``page/``: no build, no framework, nothing from
another origin. Everything a stored image says about itself (filepath, metadata) came from a stranger, so the
page only ever writes it as text, and the headers here hold even a mistake in that to nothing.
"""

import hashlib
import json
import mimetypes
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Final

from flask import Blueprint, Response, abort, request

CONTENT_SECURITY_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob: data:",
        "connect-src 'self'",
        "form-action 'none'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    # Asked for each time and answered with 304: a new version of the service never meets an old script.
    "Cache-Control": "no-cache",
}
SCOPES: Final[Mapping[str, str | None]] = {"page": None, "file": None}
"""Keys that the page needs: none, since it holds nothing of the collection; what it asks for is guarded."""
INDEX: Final = "index.html"
TYPES: Final = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


@dataclass(frozen=True, slots=True)
class _File:
    body: bytes
    mimetype: str
    etag: str


def _read() -> dict[str, _File]:
    found = {}
    for entry in resources.files(__name__).joinpath("page").iterdir():
        suffix = entry.name[entry.name.rfind(".") :]
        if entry.is_file() and suffix in TYPES:
            body = entry.read_bytes()
            found[entry.name] = _File(body, TYPES[suffix], hashlib.sha256(body).hexdigest()[:32])
    return found


def blueprint(*, thumbnails: bool) -> Blueprint:
    """``/`` and ``/web/<file>``; ``thumbnails`` tells the page whether it is worth asking for any."""
    page = Blueprint("web", __name__)
    files = _read()
    settings = json.dumps({"thumbnails": thumbnails}).encode()
    files["settings.json"] = _File(
        settings, mimetypes.types_map[".json"], hashlib.sha256(settings).hexdigest()
    )

    def send(name: str) -> Response:
        file = files.get(name)
        if file is None:
            abort(404)
        response = Response(file.body, mimetype=file.mimetype)
        response.set_etag(file.etag)
        response.make_conditional(request)
        return response

    def index() -> Response:
        return send(INDEX)

    @page.after_request
    def protect(response: Response) -> Response:
        response.headers.update(HEADERS)
        return response

    page.add_url_rule("/", "page", index)
    page.add_url_rule("/web/<name>", "file", send)
    return page
