"""Documents to Elasticsearch by the thousand, at the pace it can take them."""

import json
import random
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

import elasticsearch
from elasticsearch import Elasticsearch

from match_service.errors import StoreUnavailableError
from match_service.store.fenced import fenced

REQUEST_BYTES: Final = 5 * 1024 * 1024
"""Soft limit of one request; Elasticsearch's advice is 5 to 15 MB, its own limit 100."""
ATTEMPTS: Final = 8
FIRST_PAUSE_SECONDS: Final = 0.5
LONGEST_PAUSE_SECONDS: Final = 30.0
_BUSY: Final = frozenset({429, 502, 503})
_MALFORMED: Final = 400
"""One document's fault; any other refusal (no index, read-only, forbidden) would meet the next as well."""

Documents = Mapping[str, dict[str, Any]]


def index(client: Elasticsearch, alias: str, documents: Documents) -> dict[str, str]:
    """Index ``documents`` by id behind ``alias``, which must exist; by filepath why some were refused.

    What the cluster refuses because it is busy is sent again, after pauses that double;
    ``StoreUnavailableError`` if it still refuses after ``ATTEMPTS``, or cannot take any document now.
    """
    refused: dict[str, str] = {}
    for request in _requests(documents):
        pending = request
        for attempt in range(ATTEMPTS):
            if attempt:
                pause = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2 ** (attempt - 1))
                time.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - spreads out clients, hides nothing
            pending = _send(client, alias, pending, refused)
            if not pending:
                break
        else:
            raise StoreUnavailableError(f"Elasticsearch was too busy to take {len(pending)} documents.")
    return refused


def _requests(documents: Documents) -> Iterator[dict[str, dict[str, Any]]]:
    """The documents in portions of about ``REQUEST_BYTES``."""
    portion: dict[str, dict[str, Any]] = {}
    size = 0
    for key, document in documents.items():
        length = len(json.dumps(document))
        if portion and size + length > REQUEST_BYTES:
            yield portion
            portion, size = {}, 0
        portion[key] = document
        size += length
    if portion:
        yield portion


def _send(
    client: Elasticsearch, alias: str, documents: Documents, refused: dict[str, str]
) -> dict[str, dict[str, Any]]:
    """Those of the documents that are to be sent again; those that never will be go to ``refused``."""
    operations: list[dict[str, Any]] = []
    for key, document in documents.items():
        operations += ({"index": {"_id": key}}, document)
    try:
        answer = client.bulk(index=alias, operations=operations, require_alias=True)
    except elasticsearch.ApiError as error:
        if error.meta.status in _BUSY:
            return dict(documents)
        raise
    again: dict[str, dict[str, Any]] = {}
    for item in answer["items"] if answer["errors"] else ():
        result = item["index"]
        if result["status"] in _BUSY or fenced(result["status"], result):
            again[result["_id"]] = documents[result["_id"]]
        elif result["status"] == _MALFORMED:
            refused[documents[result["_id"]]["filepath"]] = _reason(result["error"])
        elif result["status"] >= 300:
            filepath, kind = documents[result["_id"]]["filepath"], result["error"]["type"]
            raise StoreUnavailableError(f"Elasticsearch refused {filepath} ({kind}).")
    return again


def _reason(error: Mapping[str, Any]) -> str:
    return f"Elasticsearch refused it ({error['type']}: {error.get('reason', '')})."
