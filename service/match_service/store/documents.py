"""Images as documents in Elasticsearch, and answers read back from them."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from match_service.engine import scan
from match_service.errors import StoreUnavailableError
from match_service.model import Match, Record
from match_service.store import words
from match_service.store.ranking import rank

SOURCE: Final = ["filepath", "metadata", "signature"]
"""What of a document an answer needs."""

Hit = dict[str, Any]


def document(record: Record) -> dict[str, Any]:
    """The body of ``record``'s document; ``ValueError`` for a signature that no image can have."""
    body: dict[str, Any] = {
        "filepath": record.filepath,
        "sha256": record.sha256,
        "timestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "signature": scan.encoded(record.signature),
        "words": words.tokens(record.signature),
    }
    if record.metadata is not None:
        body["metadata"] = record.metadata
    return body


def matches(hits: Iterable[Hit], query: scan.Query) -> list[Match]:
    """Those of ``hits`` with ``SOURCE`` that are within the query's cutoff, ranked."""
    sources = [hit["_source"] for hit in hits]
    if not sources:
        return []
    found = query.scan(scan.decoded(source["signature"] for source in sources))
    return rank(
        Match(sources[row]["filepath"], distance, view, sources[row].get("metadata"))
        for row, distance, view in zip(
            found.rows.tolist(), found.distances.tolist(), found.views.tolist(), strict=True
        )
    )


def complete(response: Mapping[str, Any]) -> Mapping[str, Any]:
    """The response if it speaks for every shard; raises ``StoreUnavailableError`` otherwise."""
    if "error" in response:
        status, kind = response.get("status"), response["error"].get("type")
        raise StoreUnavailableError(f"Elasticsearch cannot answer now (status {status}, {kind}).")
    shards = response["_shards"]
    if response.get("timed_out") or shards["failed"] or shards["successful"] < shards["total"]:
        raise StoreUnavailableError("Elasticsearch could not ask all shards of the index.")
    return response
