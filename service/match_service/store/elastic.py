"""Signatures in Elasticsearch, behind an alias that the operator (or this store itself) looks after.

Elasticsearch is the truth; a mirror of its signatures in memory says which images are near, and one request
says what they are now and what has come since. Without the mirror (too large, or not yet read) candidates
come from Elasticsearch by number of equal words. A document's id is a hash of its filepath, which makes an
overwrite one atomic call and a delete exact. Answers that Elasticsearch calls partial are never passed
on: a search that missed a shard says so instead of saying "no match".
"""

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import elasticsearch
from elasticsearch import Elasticsearch

import match_index
from match_service.engine import scan
from match_service.errors import StoreUnavailableError
from match_service.model import Match, Record, Stored, Views
from match_service.store import bulk, documents, mirrored, reading, worded
from match_service.store.base import DISTANCE_CUTOFF, Change, Facts
from match_service.store.connection import IMPATIENT, READ_SECONDS, client_of
from match_service.store.documents import complete
from match_service.store.fenced import written
from match_service.store.follower import Follower
from match_service.store.mirror import MirrorMemory
from match_service.store.review_elastic import ElasticReview

WINDOW: Final = 10_000
"""Elasticsearch's default ``index.max_result_window``: from + size may not exceed it."""
WRITE_SECONDS: Final = 20
BULK_SECONDS: Final = 60
CHECK_SECONDS: Final = 2
MANAGED_SHARDS: Final = 1
MANAGED_REPLICAS: Final = 1


class ElasticStore:
    """A ``Store`` over an Elasticsearch 8 or 9 cluster."""

    def __init__(
        self, client: Elasticsearch, alias: str, *, manage_index: bool, memory: MirrorMemory | None = None
    ) -> None:
        self._client = client
        self._alias = alias
        self._manage_index = manage_index
        self._index_seen = False
        self._lock = threading.Lock()
        self.follower = Follower(client, alias, memory) if memory is not None and memory.capacity else None
        self.review = ElasticReview(client, alias, self.follower, self._translated, manage_index=manage_index)

    @classmethod
    def connect(
        cls,
        url: str,
        alias: str,
        *,
        manage_index: bool = True,
        ca_certs: str | None = None,
        credentials: str | None = None,
        memory: MirrorMemory | None = None,
    ) -> "ElasticStore":
        """A store on the nodes in ``url``, comma separated; speaks to none of them yet.

        A URL may hold user and password; ``ca_certs`` and ``credentials`` are as for ``client_of``. With
        ``manage_index`` the first call creates template, index and alias where they are missing;
        without it calls fail until somebody else has. ``memory`` is where the mirror may be, which other
        processes may use as well; without it there is none.
        """
        client = client_of(url, ca_certs, credentials)
        return cls(client, alias, manage_index=manage_index, memory=memory)

    def add(self, record: Record) -> None:
        """Index the record under its own id; returns once a search finds it."""
        document = documents.document(record)
        with self._translated():
            self._ensure_index()
            client = self._client.options(request_timeout=WRITE_SECONDS)
            written(
                lambda: client.index(
                    index=self._alias,
                    id=match_index.document_id(record.filepath),
                    document=document,
                    require_alias=True,
                    refresh="wait_for",
                    timeout=f"{READ_SECONDS}s",
                )
            )

    def add_new(self, record: Record) -> Change | None:
        """Index the record unless its filepath is taken."""
        with self._translated():
            self._ensure_index()
            client = self._client.options(request_timeout=WRITE_SECONDS)
            return reading.create(client, self._alias, record, READ_SECONDS)

    def withdraw(self, filepath: str, change: Change) -> bool:
        """Delete the document that ``add_new`` made, unless it has changed since."""
        with self._translated():
            self._ensure_index()
            client = self._client.options(request_timeout=WRITE_SECONDS)
            return reading.withdraw(client, self._alias, filepath, change, READ_SECONDS)

    def add_many(self, records: Iterable[Record], *, visible: bool = False) -> dict[str, str]:
        """Index in bulk requests, pausing while the cluster says it has too much to do.

        Unless ``visible``, searches find the records after the next refresh, about a second later: waiting
        for that once a batch would be most of an import's time.
        """
        pending = {match_index.document_id(record.filepath): documents.document(record) for record in records}
        with self._translated():
            self._ensure_index()
            client = self._client.options(request_timeout=BULK_SECONDS)
            refused = bulk.index(client, self._alias, pending)
            if visible:
                self._refresh(client)
        return refused

    def delete(self, filepath: str) -> bool:
        """Delete the one document of ``filepath``; returns once no search finds it."""
        with self._translated():
            self._ensure_index()
            client = self._client.options(request_timeout=WRITE_SECONDS)
            try:
                written(
                    lambda: client.delete(
                        index=self._alias,
                        id=match_index.document_id(filepath),
                        refresh="wait_for",
                        timeout=f"{READ_SECONDS}s",
                    )
                )
            except elasticsearch.NotFoundError as error:
                if error.body.get("result") != "not_found":
                    raise
                return False
        return True

    def delete_many(self, filepaths: Sequence[str]) -> int:
        """Delete the documents of all ``filepaths`` in one request."""
        if not filepaths:
            return 0
        with self._translated():
            self._ensure_index()
            client = self._client.options(request_timeout=BULK_SECONDS)
            return reading.delete_many(client, self._alias, filepaths)

    def get(self, filepath: str) -> Stored | None:
        """The document of ``filepath``."""
        with self._translated():
            self._ensure_index()
            return reading.get(self._client, self._alias, filepath)

    def page(self, after: str | None, limit: int) -> list[Stored]:
        """Documents whose filepaths follow ``after``."""
        with self._translated():
            self._ensure_index()
            return reading.page(self._client, self._alias, after, limit)

    def search(
        self, views: Views, *, cutoff: float = DISTANCE_CUTOFF, limit: int | None = None
    ) -> list[Match]:
        """All images nearer than ``cutoff`` to any view; without the mirror those of the likeliest words."""
        with self._translated():
            self._ensure_index()
            if self.follower is not None:
                self.follower.ask()
                view = self.follower.memory.view()
                if view is not None:
                    found = mirrored.search(self._client, self._alias, view, scan.Query(views, cutoff), limit)
                    if found is not None:
                        return found
            return worded.search(self._client, self._alias, views, cutoff)[:limit]

    def count(self) -> int:
        """Documents a search can find."""
        with self._translated():
            self._ensure_index()
            answer = self._client.count(index=self._alias)
        return int(complete(answer.body)["count"])

    def filepaths(self, offset: int, limit: int) -> list[str]:
        """A page in code-point order; beyond the result window by leaps of one window each."""
        after: str | None = None
        while offset and offset + limit > WINDOW:
            leap = min(offset, WINDOW)
            landed = self._page(after, leap - 1, 1)
            if not landed:
                return []
            after, offset = landed[0], offset - leap
        return self._page(after, offset, limit)

    def _page(self, after: str | None, skip: int, limit: int) -> list[str]:
        limits = {} if after is None else {"gt": after}
        with self._translated():
            self._ensure_index()
            hits = reading.listed(self._client, self._alias, limits, size=limit, from_=skip, source=False)
        return [hit["sort"][0] for hit in hits]

    def check(self) -> Facts:
        """Ask every shard for nothing, which only works where all of them can answer.

        ``search`` is "mirror" where searches are exact; else "words", and ``reason`` says why.
        """
        client = self._client.options(request_timeout=CHECK_SECONDS, **IMPATIENT)
        with self._translated():
            self._ensure_index(client)
            answer = client.search(
                index=self._alias, size=0, track_total_hits=False, allow_partial_search_results=False
            )
        complete(answer.body)
        if self.follower is None:
            return {"search": "words", "reason": "MATCH_MIRROR_MAX_BYTES leaves the mirror no memory."}
        self.follower.ask()
        return self.follower.memory.facts()

    def close(self) -> None:
        """Close the connections."""
        if self.follower is not None:
            self.follower.close()
        self._client.close()

    def _refresh(self, client: Elasticsearch) -> None:
        if client.indices.refresh(index=self._alias)["_shards"]["failed"]:
            raise StoreUnavailableError("Elasticsearch could not refresh all copies of the index.")

    def _ensure_index(self, client: Elasticsearch | None = None) -> None:
        """See that the alias exists, making it where that is ours to do; cheap once it was seen.

        Safe to run in any number of processes at once: every step is one atomic call, and losing a
        race means finding the work done.
        """
        if self._index_seen:
            return
        with self._lock:
            if self._index_seen:
                return
            indices = (client or self._client.options(request_timeout=CHECK_SECONDS)).indices
            if not indices.exists_alias(name=self._alias):
                if not self._manage_index:
                    raise StoreUnavailableError(f"Elasticsearch has no alias {self._alias} yet.")
                self._create_index()
            self._check_schema(indices.get_mapping(index=self._alias).body)
            self._index_seen = True

    def _check_schema(self, indices: Mapping[str, Any]) -> None:
        """Documents of another schema have other ids and words: an overwrite would be a second image."""
        for name, index in indices.items():
            schema = index["mappings"].get("_meta", {}).get("match", {}).get("schema")
            if schema not in (None, match_index.SCHEMA_VERSION):
                raise StoreUnavailableError(
                    f"{name} has schema {schema}, but this version needs {match_index.SCHEMA_VERSION};"
                    " import the images into a new index."
                )

    def _create_index(self) -> None:
        indices = self._client.options(request_timeout=WRITE_SECONDS).indices
        if indices.exists(index=self._alias):
            if indices.exists_alias(name=self._alias):
                return  # somebody else has just made it
            raise StoreUnavailableError(
                f"{self._alias} is an index in Elasticsearch, but the service needs an alias of that name;"
                " set ELASTICSEARCH_INDEX to another name."
            )
        alias, backing = self._alias, match_index.backing_index(self._alias)
        indices.put_index_template(
            name=match_index.template_name(alias),
            body=match_index.template_body(alias, MANAGED_SHARDS, MANAGED_REPLICAS),
        )
        try:
            indices.create(index=backing, body=match_index.index_body(alias))
        except elasticsearch.BadRequestError as error:
            if error.error != "resource_already_exists_exception":
                raise
            if not indices.exists_alias(name=alias):
                indices.update_aliases(body=match_index.alias_action(alias, backing))

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Turn the client's errors into ours; the texts hold no URL, since it may hold a password."""
        try:
            yield
        except elasticsearch.NotFoundError as error:
            self._index_seen = False
            raise StoreUnavailableError(f"Elasticsearch has no alias {self._alias}.") from error
        except elasticsearch.BadRequestError:
            raise  # our request is wrong, which trying again will not mend
        except elasticsearch.ApiError as error:
            raise StoreUnavailableError(_reason(error)) from error
        except elasticsearch.TransportError as error:
            raise StoreUnavailableError(f"Elasticsearch does not answer ({type(error).__name__}).") from error


def _reason(error: elasticsearch.ApiError) -> str:
    status = error.meta.status
    if status in (401, 403):
        return "Elasticsearch does not accept the service's credentials for this."
    return f"Elasticsearch cannot answer now (status {status}, {error.error})."
