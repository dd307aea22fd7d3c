"""Documents of Elasticsearch as records, one by one and by pages, and writes that look at what is there."""

import base64
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import elasticsearch
import numpy as np
from elasticsearch import Elasticsearch

import match_index
from match_service.engine import scan
from match_service.errors import StoreUnavailableError
from match_service.model import Record, Stored
from match_service.store import documents
from match_service.store.documents import complete

FIELDS: Final = ["filepath", "metadata", "sha256", "timestamp", "signature"]


def get(client: Elasticsearch, alias: str, filepath: str) -> Stored | None:
    """What is kept at ``filepath``, refreshed or not."""
    try:
        answer = client.get(index=alias, id=match_index.document_id(filepath), source_includes=FIELDS)
    except elasticsearch.NotFoundError as error:
        if error.body.get("found") is not False:
            raise
        return None
    return _stored(answer["_source"])


def page(client: Elasticsearch, alias: str, after: str | None, limit: int) -> list[Stored]:
    """The next documents after ``after`` in code-point order of their filepaths."""
    answer = client.search(
        index=alias,
        query={"match_all": {}} if after is None else {"range": {"filepath": {"gt": after}}},
        sort=[{"filepath": "asc"}],
        size=limit,
        source_includes=FIELDS,
        track_total_hits=False,
        allow_partial_search_results=False,
    )
    return [_stored(hit["_source"]) for hit in complete(answer.body)["hits"]["hits"]]


def create(client: Elasticsearch, alias: str, record: Record, seconds: int) -> bool:
    """Index the record unless its filepath is taken; whether it was free."""
    try:
        client.index(
            index=alias,
            id=match_index.document_id(record.filepath),
            document=documents.document(record),
            op_type="create",
            require_alias=True,
            refresh="wait_for",
            timeout=f"{seconds}s",
        )
    except elasticsearch.ConflictError:
        return False
    return True


def delete_many(client: Elasticsearch, alias: str, filepaths: Sequence[str]) -> int:
    """Delete documents in one request; how many there were. No search finds them afterwards."""
    operations: list[dict[str, Any]] = [
        {"delete": {"_id": match_index.document_id(filepath)}} for filepath in filepaths
    ]
    answer = client.bulk(index=alias, operations=operations, require_alias=True, refresh="wait_for")
    results = [item["delete"] for item in answer["items"]]
    for result in results:
        if result["status"] not in (200, 404):
            raise StoreUnavailableError(f"Elasticsearch could not delete all (status {result['status']}).")
    return sum(result["status"] == 200 for result in results)


def _stored(source: dict[str, Any]) -> Stored:
    halves = np.frombuffer(base64.b64decode(source["signature"]), np.uint8).reshape(1, scan.HALF_BYTES)
    added = datetime.fromisoformat(source["timestamp"]).timestamp() if "timestamp" in source else 0.0
    record = Record(
        source["filepath"], scan.unpack_halves(halves)[0], source.get("sha256", ""), source.get("metadata")
    )
    return Stored(record, added)
