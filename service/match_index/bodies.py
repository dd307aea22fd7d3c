"""Request bodies of Elasticsearch's index APIs.

The field choices follow measurements (docs/design/search.md): what is only kept is in ``_source`` and
nowhere else, and the signature as one packed binary value is never parsed by Elasticsearch.
"""

from typing import Any, Final

Body = dict[str, Any]

SCHEMA_VERSION: Final = 3
"""Version of the mapping; a backing index carries it in ``_meta``."""

FIELDS: Final[dict[str, Body]] = {
    "filepath": {"type": "keyword"},
    # Any JSON value, kept as it was given: not parsed, so no mapping explosion and no type conflict.
    "metadata": {"type": "object", "enabled": False},
    "sha256": {"type": "keyword", "index": False, "doc_values": False},
    "timestamp": {"type": "date", "index": False},
    # Three bit planes of the 272 values that determine a signature, base64: see match_service.engine.scan.
    "signature": {"type": "binary"},
    # Tokens of match_service.store.words; boolean similarity scores a hit by the number of equal words.
    "words": {
        "type": "keyword",
        "index_options": "docs",
        "norms": False,
        "doc_values": False,
        "similarity": "boolean",
    },
}


def mappings(owner: Body | None = None) -> Body:
    """Mapping of a backing index; unknown fields are refused so that a typo cannot grow it.

    ``owner`` is kept in ``_meta``: whose index it is where several share one Elasticsearch.
    """
    return {
        "dynamic": "strict",
        "_meta": {"match": _meta(owner)},
        # They follow from the signature and would be more than half of each document.
        "_source": {"excludes": ["words"]},
        "properties": FIELDS,
    }


def settings(shards: int, replicas: int, refresh_interval: str = "1s") -> Body:
    """Settings of a backing index, as Elasticsearch returns them (strings)."""
    return {
        "index": {
            "number_of_shards": str(shards),
            "number_of_replicas": str(replicas),
            "refresh_interval": refresh_interval,
        }
    }


def template_body(
    alias: str, shards: int, replicas: int, refresh_interval: str = "1s", owner: Body | None = None
) -> Body:
    """Composable index template for the backing indices of ``alias`` (``PUT /_index_template/<name>``).

    The pattern is narrow because Elasticsearch refuses two templates of one priority whose patterns meet,
    as ``images-*`` and ``images-old-*`` would.
    """
    return {
        "index_patterns": [f"{alias}-00*"],
        "priority": 200,
        "template": {"settings": settings(shards, replicas, refresh_interval), "mappings": mappings(owner)},
        "_meta": {"match": _meta(owner) | {"alias": alias}},
    }


def index_body(alias: str, owner: Body | None = None) -> Body:
    """Body that creates a backing index behind ``alias`` in one call (``PUT /<index>``).

    With ``owner`` it says whose it is even if the template meanwhile says something else.
    """
    mark = {"mappings": {"_meta": {"match": _meta(owner)}}} if owner else {}
    return {"aliases": {alias: {"is_write_index": True}}} | mark


def target_body(source: str, owner: Body | None = None) -> Body:
    """Body that creates the target of a move, behind no alias; ``source`` is the uuid of what is moved.

    The mover keeps beside it how far it is. What does not name its source is no target: it may hold anything.
    """
    return {"mappings": {"_meta": {"match": _meta(owner) | {"moved": {"from": source}}}}}


def review_body() -> Body:
    """Body that creates the index in which reviews of duplicates are kept: it holds no image."""
    return {
        "mappings": {
            "dynamic": False,
            "properties": {
                "job": {"type": "keyword"},
                "number": {"type": "integer"},
                "body": {"type": "object", "enabled": False},
            },
        },
        "settings": {"number_of_shards": "1", "auto_expand_replicas": "0-1", "hidden": True},
    }


def _meta(owner: Body | None) -> Body:
    return {"schema": SCHEMA_VERSION} | ({"owner": owner} if owner else {})


def alias_action(alias: str, index: str) -> Body:
    """Body that puts ``alias`` on ``index`` (``POST /_aliases``)."""
    return {"actions": [{"add": {"index": index, "alias": alias, "is_write_index": True}}]}
