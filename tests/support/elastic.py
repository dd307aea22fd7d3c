"""Indices of a real Elasticsearch for tests, apart from each other and quick to refresh."""

import uuid

from elasticsearch import Elasticsearch

import match_index

REFRESH = "20ms"
"""An add waits for the next refresh; the default of a second would be most of the tests' time."""


def make_index(url: str, shards: int = 1, replicas: int = 0) -> str:
    """Create an index as the operator does, behind a new alias, and that of reviews; the alias."""
    alias = f"t-{uuid.uuid4().hex[:12]}"
    with Elasticsearch(url, request_timeout=30) as client:
        body = match_index.template_body(alias, shards, replicas, REFRESH)
        client.indices.put_index_template(name=match_index.template_name(alias), body=body)
        client.indices.create(index=match_index.backing_index(alias), body=match_index.index_body(alias))
        client.indices.create(index=match_index.review_index(alias), body=match_index.review_body())
    return alias


def settings(url: str, shards: int = 1) -> dict[str, str]:
    """A server's environment for a new index of its own."""
    return {
        "ELASTICSEARCH_URL": url,
        "ELASTICSEARCH_INDEX": make_index(url, shards),
        "MATCH_MANAGE_INDEX": "false",
        "WORKER_COUNT": "2",
    }
