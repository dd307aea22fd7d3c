"""Snapshots in Elasticsearch: the repository, what is in it, and the way back.

Nothing here waits for a copy to end: it goes on in Elasticsearch, and the next look sees how far it is.
"""

import contextlib
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from elastic_transport import ObjectApiResponse
from elasticsearch import ApiError, Elasticsearch, NotFoundError

from match_operator.clients.reasons import innermost
from match_operator.errors import ElasticsearchError
from match_operator.observed import Json, Repository, Snapshot

Do = Callable[..., None]
"""Calls a method of the client with arguments; raises ``ElasticsearchError``."""


def observe(client: Elasticsearch, name: str, alias: str, also: Iterable[str]) -> Repository:
    """The repository with the snapshots of ``alias`` and others by name; raises what the client raises."""
    try:
        body: Json = client.snapshot.get_repository(name=name)[name]
    except NotFoundError:
        return Repository(name, None)
    try:
        found = client.snapshot.get(
            repository=name, snapshot=[f"{alias}-*", *also], ignore_unavailable=True, master_timeout="2s"
        )
    except ApiError as error:
        return Repository(name, body, silence=f"{error.meta.status} {innermost(error) or error.message}")
    return Repository(name, body, tuple(_snapshot(item) for item in _listed(found)))


def is_whole(client: Elasticsearch, index: str) -> bool:
    """Whether every primary shard of an index is there."""
    health = client.cluster.health(index=index, timeout="1s", master_timeout="2s")
    return health["status"] in ("green", "yellow") and not health["initializing_shards"]


class Snapshots:
    """Changes in a repository and from it."""

    def __init__(self, writer: Elasticsearch, do: Do) -> None:
        self._writer = writer
        self._do = do

    def register(self, name: str, body: Json) -> None:
        """Register a repository; Elasticsearch has every node try it.

        One that some node could not use stays registered there, and could be read though not written. So it
        is taken back, and the next look tries it and says the same. Not where no answer came: then it may be
        that all is well and was only slow.
        """
        try:
            self._do(self._writer.snapshot.create_repository, name=name, body=body)
        except ElasticsearchError as error:
            if isinstance(error.__cause__, ApiError):
                with contextlib.suppress(ElasticsearchError):
                    self._do(self._writer.snapshot.delete_repository, name=name)
            raise

    def take(self, repository: str, name: str, index: str, metadata: Json) -> None:
        """Begin a snapshot of one index alone."""
        self._do(
            self._writer.snapshot.create,
            repository=repository,
            snapshot=name,
            indices=index,
            include_global_state=False,
            feature_states=["none"],
            metadata=metadata,
            wait_for_completion=False,
        )

    def drop(self, repository: str, names: Iterable[str]) -> None:
        """Delete snapshots; Elasticsearch answers when their files are gone."""
        self._do(self._writer.snapshot.delete, repository=repository, snapshot=",".join(names))

    def restore(self, repository: str, name: str, source: str, target: str, settings: Json) -> None:
        """Begin to restore one index under another name, without the fence of a move that it may have had."""
        self._do(
            self._writer.snapshot.restore,
            repository=repository,
            snapshot=name,
            indices=source,
            rename_pattern=".+",
            rename_replacement=target,
            include_aliases=False,
            include_global_state=False,
            feature_states=["none"],
            index_settings=settings,
            ignore_index_settings=["index.blocks.write"],
            wait_for_completion=False,
        )


def _listed(answer: ObjectApiResponse[Any]) -> list[Json]:
    listed: list[Json] = answer.get("snapshots", [])
    return listed


def _snapshot(item: Json) -> Snapshot:
    mark = (item.get("metadata") or {}).get("match") or {}
    failures = item.get("failures") or []
    return Snapshot(
        name=item["snapshot"],
        state=item["state"],
        start=_time(item.get("start_time_in_millis")),
        end=_time(item.get("end_time_in_millis")),
        indices=tuple(item.get("indices", [])),
        cluster=mark.get("cluster", ""),
        scheduled=bool(mark.get("scheduled")),
        reason=item.get("reason") or (failures[0].get("reason", "") if failures else ""),
    )


def _time(millis: int | None) -> str:
    if not millis:
        return ""
    return datetime.fromtimestamp(millis / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
