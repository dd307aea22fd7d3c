"""Clients that each send the next request once the last was answered, and what they and the probes saw."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Final

import urllib3

import machine
from pictures import jpeg
from serving import Answer, Client, Server

PICTURES: Final = [jpeg(seed) for seed in range(32)]
ADDS: Final = 0.3
"""Share of the requests that add; the others search."""
PAUSE: Final = 0.25
"""Seconds a client waits that was told to come back in two: most are less patient than they should be."""
SILENT: Final = "no answer"
Named = Callable[[int], str]


@dataclass
class Seen:
    """What became of the requests of one phase."""

    seconds: float = 0.0
    took: dict[str, list[float]] = field(default_factory=lambda: {"add": [], "search": []})
    """Seconds of each answer that was a 200, by kind."""
    refused: list[float] = field(default_factory=list)
    """Seconds of each 503 that said when to come back."""
    faults: Counter[str] = field(default_factory=Counter)
    """Everything else."""
    acknowledged: set[str] = field(default_factory=set)
    gap: float = 0.0
    """Longest time in which nothing was answered with 200."""
    probes: list[float] = field(default_factory=list)
    """Seconds of each probe that was answered, with 200 or not."""
    unready: Counter[str] = field(default_factory=Counter)
    """Probes that were answered otherwise, or not at all, by the reason."""
    unready_for: float = 0.0
    """Longest time between a probe that was answered with 200 and the next such one."""
    memory: list[float] = field(default_factory=list)
    """MiB of all processes of the service, at equal intervals."""
    lock: threading.Lock = field(default_factory=threading.Lock)
    _last: float = field(default_factory=time.monotonic)

    @property
    def rate(self) -> float:
        """Answers a second."""
        return sum(map(len, self.took.values())) / self.seconds

    @property
    def growth(self) -> float:
        """MiB between the second and the last quarter, by their means."""
        quarter = len(self.memory) // 4
        if not quarter:
            return 0.0
        second, last = self.memory[quarter : 2 * quarter], self.memory[-quarter:]
        return sum(last) / quarter - sum(second) / quarter

    def note(self, kind: str, name: str, answer: Answer, seconds: float) -> None:
        """Count an answer."""
        with self.lock:
            if answer.status == 200:
                self.took[kind].append(seconds)
                if kind == "add":
                    self.acknowledged.add(name)
                self.answered()
            elif answer.status == 503 and answer.headers.get("Retry-After") == "2":
                self.refused.append(seconds)
            else:
                self.faults[f"{kind}: {answer.status} {answer.body[:200]!r}"] += 1

    def answered(self) -> None:
        """Measure the gap up to now."""
        now = time.monotonic()
        self.gap = max(self.gap, now - self._last)
        self._last = now


def percentile(values: list[float], share: float) -> float:
    """The value below which ``share`` of them lie; 0 for none."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))] if values else 0.0


@contextmanager
def clients(running: Server, probed: Client, count: int, name: Named, *, every: float) -> Iterator[Seen]:
    """``count`` clients for as long as the block runs; ``name`` of the n-th add.

    Memory is looked at ``every`` so many seconds.
    """
    seen, stop = Seen(), threading.Event()
    numbers = iter(range(10**9))
    threads = [
        threading.Thread(target=_send, args=(running.url, seen, stop, lambda: name(next(numbers)), seed))
        for seed in range(count)
    ]
    threads.append(threading.Thread(target=_probe, args=(probed, seen, stop)))
    threads.append(threading.Thread(target=_weigh, args=(running.process.pid, seen, stop, every)))
    began = time.monotonic()
    with ExitStack() as stack:
        for thread in threads:
            thread.start()
            stack.callback(thread.join)
        stack.callback(stop.set)
        yield seen
        seen.seconds = time.monotonic() - began
    seen.answered()


def _send(url: str, seen: Seen, stop: threading.Event, name: Callable[[], str], seed: int) -> None:
    client, chance = Client(url), random.Random(seed)
    while not stop.is_set():
        kind = "add" if chance.random() < ADDS else "search"
        image = chance.choice(PICTURES)
        with seen.lock:
            filepath = name() if kind == "add" else ""
        began = time.monotonic()
        try:
            if kind == "add":
                answer = client.add(filepath, image)
            else:
                answer = client.form("POST", "/search", {"limit": "10"}, {"image": image})
        except urllib3.exceptions.HTTPError as error:
            with seen.lock:
                seen.faults[f"{kind}: {type(error).__name__}"] += 1
            stop.wait(PAUSE)
            continue
        seen.note(kind, filepath, answer, time.monotonic() - began)
        if answer.status != 200:
            stop.wait(PAUSE)


def _probe(probed: Client, seen: Seen, stop: threading.Event) -> None:
    """As a kubelet does, but more often."""
    last = time.monotonic()
    while not stop.wait(0.25):
        began = time.monotonic()
        try:
            answer = probed.send("GET", "/readyz")
        except urllib3.exceptions.HTTPError as error:
            seen.unready[f"{SILENT} ({type(error).__name__})"] += 1
            continue
        now = time.monotonic()
        seen.probes.append(now - began)
        if answer.status == 200:
            seen.unready_for = max(seen.unready_for, now - last)
            last = now
        else:
            seen.unready[answer.error] += 1
    seen.unready_for = max(seen.unready_for, time.monotonic() - last)


def _weigh(process: int, seen: Seen, stop: threading.Event, every: float) -> None:
    while not stop.wait(every):
        seen.memory.append(machine.resident(process))
