"""What Elasticsearch says of an error, without the wrapping, and as the operator's own error."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from elasticsearch import ApiError, TransportError

from match_operator.errors import ElasticsearchError


def innermost(error: ApiError) -> str:
    """The innermost reason that an answer gives, of 600 characters at most; empty where it gives none.

    What is no exception of Elasticsearch's own, such as an answer of S3, is never among its root causes.
    """
    body: Any = error.body
    told = body.get("error") if isinstance(body, dict) else None
    if not isinstance(told, dict):
        return ""
    causes, deepest = told.get("root_cause") or [told], told
    reason = str(causes[0].get("reason") or "")
    while isinstance(deepest.get("caused_by"), dict):
        deepest = deepest["caused_by"]
    last = str(deepest.get("reason") or "")
    return (reason if last in reason else f"{reason}: {last}")[:600]


def sentence(error: ApiError | TransportError) -> str:
    """What went wrong with an Elasticsearch of ours."""
    if isinstance(error, ApiError):
        reason = innermost(error)
        return f"it answers {error.meta.status} {error.message}" + (f": {reason}" if reason else "")
    return f"it does not answer ({type(error).__name__})"


@contextmanager
def translated(said: Callable[[ApiError | TransportError], str] = sentence) -> Iterator[None]:
    """Raise ``ElasticsearchError`` with what is ``said`` of an error of the client."""
    try:
        yield
    except (ApiError, TransportError) as error:
        raise ElasticsearchError(said(error)) from error
