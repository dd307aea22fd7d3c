"""Clients that never stop while a story changes the cluster below them, and count what it cost.

They send at a fixed pace whether or not earlier requests were answered, each on a connection of its own, and
do not retry: one request that fails is one failure. Health is looked at every second.
"""

import contextlib
import itertools
import math
import os
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, Final

import urllib3

import reliability
from door import Door, door
from match_operator.plan import awareness
from reliability import PLANNED, Cost, Limit
from stories import Api, Namespace, picture

MEASURING: Final = "RELIABILITY" in os.environ
RATES: Final = {"add": 5.0, "search": 15.0} if MEASURING else {"add": 1.0, "search": 6.0}
"""Requests a second; fewer in `make test`, where other tests share the machine."""
AT_ONCE: Final = 256
"""Requests that may be unanswered at one time."""
NOTHING: Final[dict[str, Any]] = {"settings": {}, "exclusions": [], "shutdowns": []}
"""What ``told`` says of a settled cluster."""
TOLD: Final = 12
"""Seconds with failures that are printed."""
SAMPLE: Final = 20
"""Acknowledged images that are searched for at the end, beside all that are listed."""


@dataclass
class Traffic:
    """What a writer, a searcher and an observer of health saw."""

    api: Api
    elasticsearch: Door
    name: str = field(default_factory=lambda: secrets.token_hex(4))
    """Part of every filepath, so that no other run's image is taken for one of these."""
    added: dict[str, int] = field(default_factory=dict)
    """Acknowledged images: the seed of each filepath."""
    first: tuple[str, int] = ("", 0)
    """The image that is searched for."""
    sent: int = 0
    failures: list[str] = field(default_factory=list)
    health: Counter[str] = field(default_factory=Counter)
    """Looks by colour; "silent" when nothing answered."""
    gaps: dict[str, float] = field(default_factory=dict)
    """Longest time between two answers, by kind of request."""
    _answered: dict[str, float] = field(default_factory=dict)
    _begun: float = field(default_factory=time.monotonic)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _stop: threading.Event = field(default_factory=threading.Event)

    def lost(self) -> list[str]:
        """Acknowledged images that are not to be had any more, or that a search does not find."""
        with self._lock:  # the writer may go on: what comes after this is not asked for
            added = dict(self.added)
        there = set(self.api.paths())
        lost = {path for path in added if path not in there}
        step = max(1, len(added) // SAMPLE)
        for path, seed in list(added.items())[::step]:
            found = self.api.search(picture(seed, 128), all_orientations="false")
            if path not in [match["filepath"] for match in found]:
                lost.add(path)
        return sorted(lost)

    def cost(self) -> Cost:
        """The figures of this run; asks the API which images are there."""
        seconds = time.monotonic() - self._begun
        gap = max(self.gaps.values(), default=seconds)
        return Cost(seconds, self.sent, len(self.failures), gap, len(self.lost()), dict(self.health))

    def summary(self) -> Iterator[str]:
        """The first failures of the run by second and kind, each with the first one's words."""
        seconds = [list(those) for _, those in itertools.groupby(self.failures, lambda failure: failure[:8])]
        for found in seconds[:TOLD]:
            yield f"{found[0][:8]} {len(found)} failed: {found[0][9:250]}"
        if len(seconds) > TOLD:
            yield f"and in {len(seconds) - TOLD} further seconds, up to {seconds[-1][0][:8]}"

    def told(self) -> dict[str, Any]:
        """What Elasticsearch was told for a change and not yet told to forget; awareness is to stay."""
        stay = (awareness.SETTING, awareness.MARK)
        settings = self._ask("/_cluster/settings?flat_settings=true")
        votes = self._ask("/_cluster/state/metadata?filter_path=metadata.cluster_coordination")
        return {
            "settings": {k: v for k, v in settings["persistent"].items() if k not in stay},
            "exclusions": votes["metadata"]["cluster_coordination"]["voting_config_exclusions"],
            "shutdowns": self._ask("/_nodes/shutdown").get("nodes", []),
        }

    def _ask(self, path: str) -> dict[str, Any]:
        answer: dict[str, Any] = self.elasticsearch.ask(path)
        return answer

    def _send(self, kind: str, pool: ThreadPoolExecutor) -> None:
        """Requests of one kind at their pace until told to stop."""
        once = {"add": self._add, "search": self._search}[kind]
        start, number = time.monotonic(), 0
        self._answered[kind] = start
        while not self._stop.wait(max(0.0, start + number / RATES[kind] - time.monotonic())):
            number += 1
            pool.submit(self._count, kind, once, number)

    def _count(self, kind: str, once: Callable[[int], None], number: int) -> None:
        try:
            once(number)
        except Exception as error:  # noqa: BLE001 - any failure at all is what is counted
            with self._lock:
                self.sent += 1
                self.failures.append(f"{time.strftime('%X')} {kind} {error}")
            return
        with self._lock:
            self.sent += 1
            self._note(kind)

    def _note(self, kind: str) -> None:
        now = time.monotonic()
        self.gaps[kind] = max(self.gaps.get(kind, 0.0), now - self._answered[kind])
        self._answered[kind] = now

    def _end(self) -> None:
        """Time without an answer up to the end counts too."""
        for kind in self._answered:
            self._note(kind)

    def _add(self, number: int) -> None:
        path, seed = f"traffic-{self.name}-{number}.jpg", int(self.name, 16) + number
        self.api.add(path, picture(seed, 128))
        with self._lock:
            self.added[path] = seed

    def _search(self, _: int) -> None:
        path, seed = self.first
        found = self.api.search(picture(seed, 128), all_orientations="false")
        assert found, "an image that is there was not found"
        assert found[0]["filepath"] == path, found

    def _look(self) -> None:
        while not self._stop.wait(1.0):
            try:
                answer = self.elasticsearch.ask("/_cluster/health", seconds=2, timeout="0s")
                colour = answer.get("status", "silent")
            except (urllib3.exceptions.HTTPError, ValueError):
                colour = "silent"
            self.health[colour] += 1


@contextlib.contextmanager
def traffic(namespace: Namespace, name: str) -> Iterator[Traffic]:
    """Writer, searcher and observer of a MatchCluster for as long as the block runs."""
    with (
        namespace.api(name) as api,
        door(namespace, name) as elasticsearch,
    ):
        seen = Traffic(api, elasticsearch)
        seen._add(0)
        seen.first = next(iter(seen.added.items()))
        with ThreadPoolExecutor(AT_ONCE) as pool:
            clients = [threading.Thread(target=seen._send, args=(kind, pool)) for kind in RATES]
            clients.append(threading.Thread(target=seen._look))
            for client in clients:
                client.start()
            try:
                yield seen
            finally:
                seen._stop.set()
                for client in clients:
                    client.join()
        seen._end()


@contextlib.contextmanager
def measured(namespace: Namespace, name: str, change: str, limit: Limit = PLANNED) -> Iterator[Traffic]:
    """Traffic for as long as the block runs; fails where it cost more than ``limit``.

    With RELIABILITY the figures go into docs/reliability.md, also of a change that did not end.
    """
    seen: Traffic | None = None
    try:
        with traffic(namespace, name) as seen:
            yield seen
    except BaseException as error:
        why = str(error).partition("; instead")[0][:100] or type(error).__name__
        _record(change, None, f"NO: it did not end as asked ({why})")
        if seen:
            print(f"\n{change}: did not end; {len(seen.failures)} failed, {seen.gaps}")
            print("\n".join(seen.summary()))
        raise
    cost = seen.cost()
    # How long somebody waits says something of the product only where nothing else runs.
    broken = cost.broken(limit if MEASURING else replace(limit, gap=math.inf))
    _record(change, cost, f"NO: {'; '.join(broken)}" if broken else reliability.KEPT)
    print(f"\n{reliability.row(change, cost, '; '.join(broken) or 'kept')}")
    print("\n".join(seen.summary()))
    assert broken == [], f"{change}: {'; '.join(broken)}"


def _record(change: str, cost: Cost | None, verdict: str) -> None:
    if MEASURING:
        reliability.record(change, cost, verdict.replace("\n", " "))
