"""Nodes of Elasticsearch leave by the operator's rules while the service adds and searches: nothing fails.

Kubernetes is a toy, and its Service is seconds late to learn of each change; all else is real.
"""

import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import pytest

from balancer import Balancer
from match_service.errors import StoreUnavailableError
from match_service.store.elastic import ElasticStore
from match_service.store.mirror import BLOCK_ROWS, ROW_BYTES, MirrorMemory
from numbered import found, record
from realnodes import RealWorld, settle
from world import node_sets

pytestmark = pytest.mark.elastic
LAG = 6.0
"""Seconds by which the Service is late."""


@dataclass
class ServedWorld(RealWorld):
    """With a Service that leads to the ready pods."""

    service: Balancer = field(default_factory=lambda: Balancer(LAG))

    def tick(self) -> None:
        super().tick()
        ready = {p["metadata"]["name"] for p in self._of("Pod") if self._is_ready(p)}
        self.service.tell([p.url for name, p in self.processes.items() if name in ready and p.url])

    def _is_ready(self, pod: dict) -> bool:
        return (
            pod["status"]["conditions"][0]["status"] == "True" and "deletionTimestamp" not in pod["metadata"]
        )

    def _leave(self, name: str) -> None:
        self.service.tell([p.url for other, p in self.processes.items() if other != name and p.url])
        super()._leave(name)


@pytest.fixture(name="there")
def _there() -> Iterator[ServedWorld]:
    with tempfile.TemporaryDirectory(prefix="match-nodes-") as folder:
        Path(folder).chmod(0o755)
        made = ServedWorld(node_sets(("a", {"count": 3})), folder=Path(folder))
        made.service.open()
        try:
            settle(made)
            made.formed = True
            made.service.wait()
            yield made
        finally:
            made.service.close()
            made.stop()


@dataclass
class Clients:
    """A writer and two searchers (one by the mirror, one by words), each without pause or retry."""

    url: str
    added: list[int] = field(default_factory=list)
    searches: int = 0
    failures: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        memory = MirrorMemory(BLOCK_ROWS * ROW_BYTES)
        self.mirrored = ElasticStore.connect(self.url, "images", manage_index=False, memory=memory)
        self.plain = ElasticStore.connect(self.url, "images", manage_index=False)
        self.mirrored.add(record("first", 0))
        work = [(self._add, self.plain), (self._search, self.plain), (self._search, self.mirrored)]
        self._threads = [threading.Thread(target=self._run, args=each) for each in work]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def close(self) -> None:
        """End the stores."""
        self.mirrored.close()
        self.plain.close()

    def _run(self, once: object, store: ElasticStore) -> None:
        while not self._stop.wait(0.05):
            try:
                once(store)  # type: ignore[operator]
            except StoreUnavailableError as error:
                self.failures.append(f"{time.strftime('%X')} {once.__name__} {error}")  # type: ignore[attr-defined]

    def _add(self, store: ElasticStore) -> None:
        number = len(self.added) + len(self.failures) + 1
        store.add(record(f"{number}", number))
        self.added.append(number)

    def _search(self, store: ElasticStore) -> None:
        assert found(store, 0) == ["first"]
        self.searches += 1


def test_no_request_fails_while_three_nodes_become_one_and_that_one_is_renamed(there: ServedWorld):
    with Clients(there.service.url) as clients:
        there.ask(node_sets(("a", {"count": 1})))
        settle(there)
        there.ask(node_sets(("b", {"count": 1})))
        settle(there)
        there.service.wait()
    print(f"\n{len(clients.added)} images added, {clients.searches} searches")
    assert clients.failures == []
    assert sorted(clients.plain.filepaths(0, 10_000)) == sorted(["first", *map(str, clients.added)])
    clients.close()
