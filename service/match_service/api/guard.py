"""Who may ask, how often, and under which number: before a request is looked at, and after it was answered.

Three ways to run: with a file of keys or an issuer of tokens every request must bring a key or a token;
without, only programs of this machine are listened to; or the service is open to whoever reaches it, because
somebody said so.
"""

import base64
import json
import logging
import math
import re
import time
import uuid
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from flask import Flask, Request, Response, g, request
from limits import RateLimitItem
from limits import parse as parse_rate
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter

from match_service.addresses import is_local
from match_service.api.gate import PROBES
from match_service.errors import NotAuthenticatedError, NotPermittedError, RateLimitedError
from match_service.keys import Key, KeyFile
from match_service.metrics import ENDPOINT, IN_FLIGHT, REQUESTS
from match_service.model import Subject
from match_service.settings import Oidc, Settings

if TYPE_CHECKING:
    from match_service.tokens import Tokens

REQUEST_ID: Final = "X-Request-Id"
DEFAULT_SCOPE: Final = "read"
"""What a path that says nothing needs."""
READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})
FOREIGN: Final = frozenset({"cross-site", "same-site"})
"""Values of Sec-Fetch-Site for a request that a page of another origin has caused."""

_ID: Final = re.compile(r"[A-Za-z0-9._:-]{1,128}")

access = logging.getLogger("match_service.access")


class Guard:
    """Checks of one application; ``scopes`` by endpoint, None for what anybody may ask."""

    def __init__(self, settings: Settings, scopes: Mapping[str, str | None]) -> None:
        self._scopes = scopes
        self._keys = KeyFile(settings.keys_file) if settings.keys_file else None
        self._tokens = _tokens(settings.oidc) if settings.oidc else None
        self._asks = self._keys is not None or self._tokens is not None
        self._local = not self._asks and settings.auth != "open"
        self._rate = settings.rate_limit
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._log = settings.access_log

    def register(self, app: Flask, admit: Callable[[], None]) -> None:
        """Stand before and behind every request of ``app``; ``admit`` raises for one to turn away unasked."""
        app.before_request(self._begin)
        app.before_request(admit)
        app.before_request(self._check)
        app.after_request(self._end)
        app.teardown_request(self._gone)

    def _begin(self) -> None:
        g.began = time.perf_counter()
        given = request.headers.get(REQUEST_ID, "")
        g.request_id = given if _ID.fullmatch(given) else uuid.uuid4().hex
        g.caller = None
        ENDPOINT.set(endpoint() or "none")
        IN_FLIGHT.inc()

    def _gone(self, _: BaseException | None) -> None:
        IN_FLIGHT.dec()

    def _check(self) -> None:
        if request.url_rule is None:
            return
        if self._local:
            check_local(request)
        scope = self._scopes.get(endpoint(), DEFAULT_SCOPE)
        if scope is None:
            return
        if not self._asks:
            self._count(request.remote_addr or "", self._rate)
            return
        g.caller = caller = self._authenticated()
        check_foreign(request)
        said = f"API key {caller.name}" if isinstance(caller, Key) else f"token of {caller.name}"
        self._count(said, caller.rate or self._rate)
        if not caller.may(scope):
            good = f"may {caller.scope}" if caller.scope else "is good for nothing here"
            raise NotPermittedError(f"The {said} {good}; this needs {scope}.")

    def _authenticated(self) -> Key | Subject:
        name, brought = credentials(request)
        if not brought:
            asked = "An API key" if self._keys else "A token"
            also = " or a token" if self._keys and self._tokens else ""
            raise NotAuthenticatedError(
                f"{asked}{also} is required, as Authorization: Bearer, as X-Api-Key or as the password of"
                " basic authentication."
            )
        caller: Key | Subject | None = self._keys.find(brought) if self._keys else None
        if caller is None and self._tokens and (brought.count(".") == 2 or not self._keys):
            caller = self._tokens.subject(brought)
        if caller is None or (name and name != caller.name):
            raise NotAuthenticatedError("The API key is not known.")
        return caller

    def _count(self, who: str, rate: str) -> None:
        if not rate:
            return
        item: RateLimitItem = parse_rate(rate)
        if not self._limiter.hit(item, who):
            left = self._limiter.get_window_stats(item, who).reset_time - time.time()
            raise RateLimitedError(f"More than {item} requests; try again later.", max(1, math.ceil(left)))

    def _end(self, response: Response) -> Response:
        response.headers[REQUEST_ID] = g.request_id
        seconds = time.perf_counter() - g.began
        REQUESTS.labels(ENDPOINT.get(), str(response.status_code)).observe(seconds)
        if self._log and endpoint() not in PROBES:
            access.info("%s", json.dumps(_line(response)))
        return response


def _tokens(settings: Oidc) -> "Tokens":
    # Imported where they are asked for: cryptography alone takes as long as a tenth of all the rest.
    from match_service.tokens import Tokens  # noqa: PLC0415

    return Tokens(settings)


def endpoint() -> str:
    """The name of the endpoint that was asked, empty for an unknown path."""
    return (request.endpoint or "").rpartition(".")[2]


def _line(response: Response) -> dict[str, object]:
    """What is told of a request: neither its query nor its body, and of a key or token only whose it is."""
    caller = g.caller
    return {
        "id": g.request_id,
        "method": request.method,
        "path": request.path[:256],
        "status": response.status_code,
        "ms": round((time.perf_counter() - g.began) * 1000, 1),
        "in": request.content_length or 0,
        "out": response.content_length or 0,
        "client": request.remote_addr,
        "key": caller.name if isinstance(caller, Key) else None,
        "subject": caller.name if isinstance(caller, Subject) else None,
    }


def _authorization(asked: Request) -> tuple[str, str]:
    kind, _, rest = asked.headers.get("Authorization", "").partition(" ")
    return kind.lower(), rest.strip()


def credentials(asked: Request) -> tuple[str, str]:
    """User name (empty where there is none) and key or token of the request; empty texts for none."""
    if token := asked.headers.get("X-Api-Key", ""):
        return "", token.strip()
    kind, rest = _authorization(asked)
    if kind == "bearer":
        return "", rest
    if kind == "basic":
        try:
            user, _, password = base64.b64decode(rest, validate=True).decode("utf-8").partition(":")
        except ValueError:  # of base64, of text that is not even ASCII, and of UTF-8
            return "", ""
        return user, password
    return "", ""


def check_foreign(asked: Request) -> None:
    """Refuse what a browser sends for a web page of somebody else with a password that it remembers.

    A key in a header of its own is no page's to send: browsers first ask the service, which lets no other in.
    """
    if asked.headers.get("X-Api-Key") or _authorization(asked)[0] != "basic":
        return
    if asked.method in READING and asked.blueprint != "rest":
        return
    site, origin = asked.headers.get("Sec-Fetch-Site", ""), asked.headers.get("Origin", "")
    other = origin and origin.partition("://")[2].lower() != asked.headers.get("Host", "").lower()
    if site in FOREIGN or (not site and other):
        raise NotPermittedError(
            "With basic authentication web pages of other origins may not use the service; send the key as"
            " Authorization: Bearer or as X-Api-Key."
        )


def check_local(asked: Request) -> None:
    """Refuse what a browser sends for a web page of somebody else.

    A page may post to a port of this machine, and a name of its own may resolve to 127.0.0.1; the headers
    Host and Origin tell.
    """
    host = asked.headers.get("Host", "")
    if host and not is_local(f"//{host}"):
        raise NotPermittedError(
            "Without API keys the service answers to localhost only; see MATCH_API_KEYS_FILE and MATCH_AUTH."
        )
    if asked.blueprint == "rest" and asked.headers.get("Sec-Fetch-Site") == "cross-site":
        raise NotPermittedError("Without API keys web pages of other origins may not use the service.")
    origin = asked.headers.get("Origin", "")
    if origin and asked.method not in READING and not is_local(origin):
        raise NotPermittedError("Without API keys web pages of other origins may not use the service.")
