"""image-match 1.1.2 itself on a current Elasticsearch: it writes and searches as dsys/match had it do."""

import datetime
from typing import Any

from elasticsearch import Elasticsearch
from image_match.elasticsearch_driver import SignatureES
from image_match.signature_database_base import make_record


class _OldClient:
    """The client image-match was written for: it names a mapping type, which no longer exists."""

    def __init__(self, client: Elasticsearch, *, nested: bool) -> None:
        self._client, self._nested = client, nested

    def index(self, index: str, doc_type: str, body: dict[str, Any], refresh: bool) -> None:
        document = {doc_type: body} if self._nested else body
        self._client.index(index=index, document=document, refresh=refresh)

    def search(
        self, index: str, doc_type: str, body: dict[str, Any], size: int, timeout: str
    ) -> dict[str, Any]:
        below = f"{doc_type}." if self._nested else ""
        words = [{f"{below}{name}": word for name, word in each["term"].items()} for each in _should(body)]
        excludes = [below + name for name in body["_source"]["excludes"]]
        answer = self._client.search(
            index=index,
            query={"bool": {"should": [{"term": word} for word in words]}},
            source={"excludes": excludes},
            size=size,
            timeout=timeout,
        ).body
        for hit in answer["hits"]["hits"] if self._nested else ():
            hit["_source"] = hit["_source"][doc_type]
        return dict(answer)


def _should(body: dict[str, Any]) -> list[dict[str, Any]]:
    terms: list[dict[str, Any]] = body["query"]["bool"]["should"]
    return terms


class ImageMatch:
    """Its database on one index; with ``nested`` documents are as its later versions write them."""

    def __init__(self, url: str, index: str, *, nested: bool = False) -> None:
        self.client = Elasticsearch(url, request_timeout=60)
        self.index = index
        self._database = SignatureES(_OldClient(self.client, nested=nested), index=index, doc_type="image")

    def add(self, path: str, image: bytes, metadata: Any = None) -> None:
        """As dsys/match's /add does."""
        self._database.add_image(path, image, bytestream=True, metadata=metadata)

    def distances(self, image: bytes) -> dict[str, float]:
        """By path, what it finds for an image as it is (its other orientations fail on today's numpy)."""
        database = self._database
        record = make_record("", database.gis, database.k, database.N, img=image, bytestream=True)
        return {row["path"]: float(row["dist"]) for row in database.search_single_record(record)}

    def document(self, path: str, image: bytes, when: str | None, **fields: Any) -> dict[str, Any]:
        """A document as it would have been written at another time, or with other fields."""
        database = self._database
        record = make_record(path, database.gis, database.k, database.N, img=image, bytestream=True)
        if when is not None:
            record["timestamp"] = datetime.datetime.fromisoformat(when).isoformat()
        return {**record, **fields}

    def put(self, *documents: dict[str, Any]) -> None:
        """Index documents as they are."""
        for document in documents:
            self.client.index(index=self.index, document=document)
        self.refresh()

    def refresh(self) -> None:
        """Let searches find what was added."""
        self.client.indices.refresh(index=self.index)

    def close(self) -> None:
        self.client.close()
