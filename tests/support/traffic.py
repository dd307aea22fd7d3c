"""Clients that never stop while a story changes the cluster below them, and count what it cost.

They do not retry: one request that fails is one failure. Health is looked at every second.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import requests

from stories import Api, Namespace, picture

PACE = 0.1
"""Seconds between two requests of one client."""
FIRST_SEED = 5000


@dataclass
class Traffic:
    """What a writer, a searcher and an observer of health saw."""

    api: Api
    elasticsearch: str
    added: list[str] = field(default_factory=list)
    searches: int = 0
    failures: list[str] = field(default_factory=list)
    health: dict[str, int] = field(default_factory=dict)
    """Looks by colour; "silent" when nothing answered."""
    gap: float = 0.0
    """Longest time between two answers to a search."""
    _stop: threading.Event = field(default_factory=threading.Event)

    def lost(self) -> list[str]:
        """Acknowledged images that are not to be had any more."""
        there = set(self.api.paths())
        return [path for path in self.added if path not in there]

    def told(self) -> dict[str, Any]:
        """What Elasticsearch was told for a change and not yet told to forget."""
        settings = self._ask("/_cluster/settings?flat_settings=true")
        votes = self._ask("/_cluster/state/metadata?filter_path=metadata.cluster_coordination")
        return {
            "settings": settings["persistent"],
            "exclusions": votes["metadata"]["cluster_coordination"]["voting_config_exclusions"],
        }

    def _ask(self, path: str) -> dict[str, Any]:
        answer: dict[str, Any] = requests.get(self.elasticsearch + path, timeout=10).json()
        return answer

    def check(self, what: str) -> None:
        """Print the figures; fail where a request failed, an image is lost or the index was ever red."""
        lost = self.lost()
        print(
            f"\n{what}: {self.searches} searches and {len(self.added)} adds, {len(self.failures)} failed, "
            f"{len(lost)} images lost, longest gap {self.gap:.1f} s, health {self.health}"
        )
        assert self.failures == []
        assert lost == []
        assert "red" not in self.health

    def _repeat(self, pace: float, once: Callable[[], None]) -> None:
        while not self._stop.wait(pace):
            try:
                once()
            except Exception as error:  # noqa: BLE001 - any failure at all is what is counted
                self.failures.append(f"{time.strftime('%X')} {error}")

    def _add(self) -> None:
        path = f"traffic-{len(self.added) + len(self.failures)}.jpg"
        self.api.add(path, picture(FIRST_SEED + len(self.added), 128))
        self.added.append(path)

    def _search(self) -> None:
        begin = time.monotonic()
        self.searches += 1
        found = self.api.search(picture(FIRST_SEED, 128), all_orientations="false")
        assert found[0]["filepath"] == self.added[0], found
        self.gap = max(self.gap, time.monotonic() - begin)

    def _look(self) -> None:
        try:
            answer = requests.get(
                f"{self.elasticsearch}/_cluster/health", params={"timeout": "0s"}, timeout=5
            )
            colour = answer.json().get("status", "silent")
        except (requests.RequestException, ValueError):
            colour = "silent"
        self.health[colour] = self.health.get(colour, 0) + 1


@contextlib.contextmanager
def traffic(namespace: Namespace, name: str) -> Iterator[Traffic]:
    """Writer, searcher and observer of a MatchCluster for as long as the block runs."""
    with (
        namespace.api(name) as api,
        namespace.lab.reach(namespace.name, f"{name}-es-http", 9200) as elasticsearch,
    ):
        seen = Traffic(api, elasticsearch)
        seen._add()
        clients = [
            threading.Thread(target=seen._repeat, args=(pace, once))
            for pace, once in ((PACE, seen._add), (PACE, seen._search), (1.0, seen._look))
        ]
        for client in clients:
            client.start()
        try:
            yield seen
        finally:
            seen._stop.set()
            for client in clients:
                client.join()
