"""What Elasticsearch says of an error, without the wrapping."""

from typing import Any

from elasticsearch import ApiError


def innermost(error: ApiError) -> str:
    """The innermost reason that an answer gives, of 300 characters at most; empty where it gives none."""
    body: Any = error.body
    told = body.get("error") if isinstance(body, dict) else None
    causes = (told.get("root_cause") or [told]) if isinstance(told, dict) else []
    return str(causes[0].get("reason") or "")[:300] if causes else ""
