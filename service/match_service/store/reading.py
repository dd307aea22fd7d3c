"""Documents of Elasticsearch as records, one by one and by pages, and writes that look at what is there."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import elasticsearch
from elasticsearch import Elasticsearch

import match_index
from match_service.engine import scan
from match_service.errors import StoreUnavailableError
from match_service.model import Record, Stored
from match_service.store import documents
from match_service.store.base import Change
from match_service.store.documents import Hit, complete
from match_service.store.fenced import Patience, fenced, written

CHANGES: Final = 2_000
"""Documents that ``changes`` brings at the most."""
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
    hits = listed(client, alias, {} if after is None else {"gt": after}, size=limit, source_includes=FIELDS)
    return [_stored(hit["_source"]) for hit in hits]


def between(limits: Mapping[str, str]) -> dict[str, Any]:
    """Query for the filepaths within ``limits``: ``gt``, ``gte``, ``lt``; all for none."""
    return {"range": {"filepath": dict(limits)}} if limits else {"match_all": {}}


def listed(
    client: Elasticsearch, index: str, limits: Mapping[str, str], *, size: int, **options: Any
) -> list[Hit]:
    """The first ``size`` hits within ``limits`` in code-point order of their filepaths.

    ``options`` go to the search: what of each document to bring, or ``from_``.
    """
    answer = client.search(
        index=index,
        query=between(limits),
        sort=[{"filepath": "asc"}],
        size=size,
        track_total_hits=False,
        allow_partial_search_results=False,
        **options,
    )
    hits: list[Hit] = complete(answer.body)["hits"]["hits"]
    return hits


def changes(
    client: Elasticsearch, index: str, shard: int, limits: Mapping[str, int], **options: Any
) -> list[Hit]:
    """Up to ``CHANGES`` documents of a shard whose ``_seq_no`` is within ``limits``, in its order."""
    answer = client.search(
        index=index,
        preference=f"_shards:{shard}",
        query={"range": {"_seq_no": dict(limits)}},
        sort=[{"_seq_no": "asc"}],
        size=CHANGES,
        seq_no_primary_term=True,
        track_total_hits=False,
        allow_partial_search_results=False,
        **options,
    )
    hits: list[Hit] = complete(answer.body)["hits"]["hits"]
    return hits


def create(client: Elasticsearch, alias: str, record: Record, seconds: int) -> Change | None:
    """Index the record unless its filepath is taken; its document's sequence number and primary term."""
    try:
        answer = written(
            lambda: client.index(
                index=alias,
                id=match_index.document_id(record.filepath),
                document=documents.document(record),
                op_type="create",
                require_alias=True,
                refresh="wait_for",
                timeout=f"{seconds}s",
            )
        )
    except elasticsearch.ConflictError:
        return None
    return int(answer["_seq_no"]), int(answer["_primary_term"])


def withdraw(client: Elasticsearch, alias: str, filepath: str, change: Change, seconds: int) -> bool:
    """Delete the document that ``create`` made if it is still as it was then; whether it was."""
    seq_no, primary_term = change
    try:
        written(
            lambda: client.delete(
                index=alias,
                id=match_index.document_id(filepath),
                if_seq_no=seq_no,
                if_primary_term=primary_term,
                refresh="wait_for",
                timeout=f"{seconds}s",
            )
        )
    except elasticsearch.ConflictError:
        return False
    return True


def delete_many(client: Elasticsearch, alias: str, filepaths: Sequence[str]) -> int:
    """Delete documents in one request; how many there were. No search finds them afterwards."""
    pending, deleted, patience = [match_index.document_id(each) for each in filepaths], 0, Patience()
    while pending:
        operations: list[dict[str, Any]] = [{"delete": {"_id": each}} for each in pending]
        answer = client.bulk(index=alias, operations=operations, require_alias=True, refresh="wait_for")
        again: list[str] = []
        for key, item in zip(pending, answer["items"], strict=True):
            status = item["delete"]["status"]
            if fenced(status, item["delete"]):
                again.append(key)
            elif status not in (200, 404):
                raise StoreUnavailableError(f"Elasticsearch could not delete all (status {status}).")
            deleted += status == 200
        pending = again
        if pending:
            patience.pause()
    return deleted


def _stored(source: dict[str, Any]) -> Stored:
    signature = scan.unpack_halves(scan.decoded([source["signature"]]))[0]
    added = datetime.fromisoformat(source["timestamp"]).timestamp() if "timestamp" in source else 0.0
    record = Record(source["filepath"], signature, source.get("sha256", ""), source.get("metadata"))
    return Stored(record, added)
