"""Clients of Elasticsearch, one for each way to reach one: many MatchClusters may share server and user."""

import threading
from collections.abc import Callable

from match_operator.access import Access
from match_operator.clients.elastic import ElasticClient

Key = tuple[str, str]


class Clients:
    """Safe to share between threads; a client is closed when the last that used it has left."""

    def __init__(self, connect: Callable[[Access], ElasticClient]) -> None:
        self._connect = connect
        self._lock = threading.Lock()
        self._made: dict[Access, ElasticClient] = {}
        self._users: dict[Key, Access] = {}

    def connected(self, key: Key, to: Access) -> ElasticClient:
        """The client for ``to``, which is ``key``'s from now on; raises ``ElasticsearchError``."""
        with self._lock:
            if to not in self._made:
                self._made[to] = self._connect(to)
            before = self._users.get(key)
            self._users[key] = to
            if before != to:
                self._close(before)
            return self._made[to]

    def of(self, key: Key) -> ElasticClient | None:
        """The client that ``key`` was last given."""
        with self._lock:
            to = self._users.get(key)
            return self._made[to] if to else None

    def leave(self, key: Key) -> None:
        """``key`` uses none any more."""
        with self._lock:
            self._close(self._users.pop(key, None))

    def _close(self, left: Access | None) -> None:
        if left is not None and left not in self._users.values():
            self._made.pop(left).close()
