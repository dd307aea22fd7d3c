"""The one envelope of every answer, as the original Match API had it."""

import json
from collections.abc import Mapping
from typing import Any

from flask import Response


def ok(method: str, result: list[Any]) -> Response:
    """A 200 holding ``result``."""
    return _reply(200, "ok", [], method, result)


def batch(method: str, rows: list[dict[str, Any]]) -> Response:
    """A 200 for several items, each with its own status; "warn" where one failed."""
    errors = [error for row in rows for error in row["error"]]
    return _reply(200, "warn" if errors else "ok", errors, method, rows)


def mixed(method: str, errors: list[str], items: int) -> Response:
    """A 200 for ``items`` of which those in ``errors`` failed, as TinEye MatchEngine has it."""
    return _reply(200, "ok" if not errors else "warn" if len(errors) < items else "fail", errors, method, [])


def fail(status: int, sentence: str, method: str, headers: Mapping[str, str] | None = None) -> Response:
    """An error reply; ``sentence`` says what is wrong and what would be right."""
    reply = _reply(status, "fail", [sentence], method, [])
    reply.headers.update(headers or {})
    return reply


def picture(jpeg: bytes) -> Response:
    """A 200 that is a JPEG and is to be nothing else, whatever a browser makes of its bytes."""
    reply = Response(jpeg, mimetype="image/jpeg")
    reply.headers["X-Content-Type-Options"] = "nosniff"
    reply.headers["Content-Security-Policy"] = "default-src 'none'; sandbox"
    reply.headers["Cross-Origin-Resource-Policy"] = "same-origin"
    return reply


def _reply(code: int, status: str, error: list[str], method: str, result: list[Any]) -> Response:
    # A NaN would make the body invalid JSON, as it did in the original; better an honest 500.
    body = json.dumps({"status": status, "error": error, "method": method, "result": result}, allow_nan=False)
    return Response(body, status=code, mimetype="application/json")
