"""How a call runs: send, read the answer, and where it makes sense pause and send again.

It does no input or output itself: ``run`` yields what is to be done next and is given what came of it, so
that a blocking and an asynchronous client can drive the same code.
"""

import contextlib
import email.utils
import random
import ssl
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, TypeVar

import httpx

from match_client import errors, images
from match_client.calls import Call

T = TypeVar("T")

REQUEST_ID: Final = "X-Request-Id"
REPEATED: Final = frozenset({429, 503})
"""Statuses that say: not done, try again later."""
_UNSENT: Final = (httpx.ConnectError, httpx.ConnectTimeout)
_CUT: Final = (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError)


@dataclass(frozen=True, slots=True)
class Retry:
    """When a call is made again.

    Only what can be repeated without harm is: after 503 and 429, and where no connection could be made or
    it was cut before the answer.
    """

    attempts: int = 4
    """Requests in all, 1 for never again."""
    wait_seconds: float = 30.0
    """Most that one call may spend pausing; a service that asks for more is not waited for."""
    first_pause: float = 0.5
    """Pause before the second request where the service does not say how long; it doubles each time."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait so many seconds before the next step."""

    seconds: float


Step: TypeAlias = httpx.Request | Pause
Outcome: TypeAlias = httpx.Response | httpx.RequestError | None
"""Of a request its answer, read whole, or why there is none; of a pause nothing."""
Flow: TypeAlias = Generator[Step, Outcome, T]


def http_options(
    base_url: str, key: str | None, timeout: float, tls: ssl.SSLContext | None
) -> dict[str, Any]:
    """What either of httpx's clients is made with; ``ValueError`` for what cannot be a service's address."""
    try:
        url = httpx.URL(base_url)
    except httpx.InvalidURL as error:
        raise ValueError(f"{base_url!r} is no URL: {error}.") from error
    if url.scheme not in ("http", "https") or not url.host:
        raise ValueError(f"{base_url!r} is no URL that begins with http:// or https:// and names a host.")
    # A header rather than httpx's auth: no look into .netrc, and it is never sent anywhere else.
    return {
        "base_url": url,
        "headers": {"Authorization": f"Bearer {key}"} if key else {},
        "timeout": timeout,
        "verify": True if tls is None else tls,
        "follow_redirects": False,
    }


def run(http: httpx.Client | httpx.AsyncClient, call: Call[T], retry: Retry) -> Flow[T]:
    """The steps of ``call``; its result, or raises ``MatchClientError``."""
    left, attempt = retry.wait_seconds, 1
    while True:
        with _request(http, call) as request:
            outcome = yield request
        failure: errors.MatchClientError
        try:
            if isinstance(outcome, httpx.Response):
                return _read(outcome, call)
            assert outcome is not None  # noqa: S101 - a request has an outcome
            failure = _not_reached(http, outcome)
        except errors.ApiError as error:
            failure = error
        pause = _pause(call, failure, outcome, retry.first_pause * 2 ** (attempt - 1))
        if attempt >= retry.attempts or pause is None or pause > left:
            raise failure
        attempt, left = attempt + 1, left - pause
        yield Pause(pause)


@contextlib.contextmanager
def _request(http: httpx.Client | httpx.AsyncClient, call: Call[Any]) -> Iterator[httpx.Request]:
    """The request of ``call``, to be sent within the block, while its files are open."""
    fields = dict(call.fields)
    with contextlib.ExitStack() as stack:
        # A name that says nothing: the service needs none, and a local path is nobody's business.
        files = {
            name: ("image", stack.enter_context(images.opened(image))) for name, image in call.images.items()
        }
        if call.in_query:
            yield http.build_request(call.method, call.path, params=fields)
        else:
            yield http.build_request(call.method, call.path, data=fields or None, files=files or None)


def _pause(call: Call[Any], failure: errors.MatchClientError, outcome: Outcome, usual: float) -> float | None:
    """Seconds to wait before sending ``call`` again, None if that is not to be done."""
    usual *= random.uniform(0.5, 1.0)  # noqa: S311 - spreads out clients, hides nothing
    if isinstance(outcome, _UNSENT):
        return usual
    if not call.repeatable:
        return None
    if isinstance(failure, errors.ApiError) and failure.status in REPEATED:
        return usual if failure.retry_after is None else failure.retry_after
    return usual if isinstance(outcome, _CUT) else None


def _read(response: httpx.Response, call: Call[T]) -> T:
    request_id = response.headers.get(REQUEST_ID)
    if response.is_success and call.read_picture and _is_jpeg(response):
        try:
            return call.read_picture(response.content, response.headers)
        except (KeyError, ValueError) as error:
            sentence = f"The answer to {call.path} is not one this client understands."
            raise errors.StrangeAnswerError(sentence, response.status_code, request_id) from error
    envelope = _envelope(response)
    if envelope is None:
        if response.status_code in REPEATED:
            raise _refused(response, "The service cannot answer now.")
        raise errors.StrangeAnswerError(_strange(response), response.status_code, request_id)
    if response.is_success and envelope["status"] != "fail":
        try:
            return call.read(envelope["result"])
        except (KeyError, IndexError, TypeError, ValueError) as error:
            sentence = f"The answer to {call.path} is not one this client understands."
            raise errors.StrangeAnswerError(sentence, response.status_code, request_id) from error
    raise _refused(response, " ".join(map(str, envelope["error"])) or "The service gave no reason.")


def _is_jpeg(response: httpx.Response) -> bool:
    return bool(response.headers.get("Content-Type") == "image/jpeg")


def _refused(response: httpx.Response, sentence: str) -> errors.ApiError:
    return errors.of_status(
        response.status_code,
        sentence,
        response.headers.get(REQUEST_ID),
        retry_after(response.headers.get("Retry-After"), time.time()),
    )


def _envelope(response: httpx.Response) -> dict[str, Any] | None:
    """The answer's JSON object, None if it is not the Match API's."""
    try:
        body = response.json()
    except ValueError:
        return None
    if not isinstance(body, dict) or not isinstance(body.get("result"), list):
        return None
    return body if isinstance(body.get("error"), list) and "status" in body else None


def _strange(response: httpx.Response) -> str:
    where = f"{response.url.scheme}://{response.url.netloc.decode('ascii')}{response.url.path}"
    if response.is_redirect:
        return f"{where} redirects to {response.headers.get('Location')}, which is not followed."
    return f"{where} answered {response.status_code} in no form of the Match API."


def _not_reached(http: httpx.Client | httpx.AsyncClient, error: httpx.RequestError) -> errors.NotReachedError:
    url = http.base_url
    where = f"{url.scheme}://{url.netloc.decode('ascii')}"
    if isinstance(error, httpx.TimeoutException):
        sentence = f"{where} did not answer in time."
    elif isinstance(error, _UNSENT):
        sentence = f"{where} cannot be reached: {error}."
    else:
        sentence = f"The connection to {where} was lost before the answer."
    failure = errors.NotReachedError(sentence)
    failure.__cause__ = error
    return failure


def retry_after(text: str | None, now: float) -> float | None:
    """Seconds that a ``Retry-After`` header asks for, as a number or as a date; None for nothing sensible."""
    if not text:
        return None
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - now)
    except (ValueError, TypeError, OverflowError):
        return None
