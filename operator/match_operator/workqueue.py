"""A work queue of MatchClusters: many reasons to look become one look, and never two at once at one object.

kopf hands over events; this decides when they are worked on. It exists because kopf's own handlers keep their
progress in annotations and finalizers of the object, and stop or repeat by rules of their own, while a
level-triggered reconcile needs only this: a set of keys, each with the time when it is due.
"""

import asyncio
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from match_operator import metrics
from match_operator.errors import ConflictError, OperatorError

LOG = logging.getLogger(__name__)

Key = tuple[str, str]
Work = Callable[[Key], float | None]
"""Blocking; returns seconds until the next look, or None to forget the key."""

PAUSE: Final = 0.5
"""Shortest time between two looks at one object: its own writes come back as events, in bursts."""
FIRST_BACKOFF: Final = 1.0
LAST_BACKOFF: Final = 60.0
STALL_SECONDS: Final = 300.0
"""A look that takes longer, or waits longer than it should, means that reconciling has stalled."""


@dataclass
class WorkQueue:
    """Runs ``work`` for each key when it is due, ``workers`` at a time."""

    work: Work
    workers: int
    heard: Callable[[Key], None] = lambda _key: None
    """Told of every event, before the look that it leads to."""
    _due: dict[Key, float] = field(default_factory=dict)
    _running: dict[Key, float] = field(default_factory=dict)
    _failures: dict[Key, int] = field(default_factory=dict)
    _rested: dict[Key, float] = field(default_factory=dict)
    _wake: asyncio.Event = field(default_factory=asyncio.Event)

    def add(self, key: Key, delay: float = 0.0) -> None:
        """Have a look at ``key`` after ``delay`` seconds, or earlier if that was asked for already."""
        now = asyncio.get_running_loop().time()
        due = max(now + delay, self._rested.get(key, now))
        self._due[key] = min(due, self._due.get(key, due))
        self._wake.set()

    def hear(self, key: Key) -> None:
        """Have a look at ``key`` because something happened to it."""
        self.heard(key)
        self.add(key)

    def knows(self, key: Key) -> bool:
        """Whether a look at ``key`` is to come."""
        return key in self._due or key in self._running

    async def run(self) -> None:
        """Work until cancelled."""
        running: set[asyncio.Task[None]] = set()
        while True:
            now = asyncio.get_running_loop().time()
            for key in self._take(now):
                task = asyncio.create_task(self._one(key))
                running.add(task)
                task.add_done_callback(running.discard)
            await self._sleep(now)

    def stalled(self, now: float) -> str:
        """Why reconciling has stalled, by the event loop's clock; empty when it has not."""
        for key, since in self._running.items():
            if now - since > STALL_SECONDS:
                return f"{'/'.join(key)} has been worked on for {now - since:.0f} seconds"
        for key, due in self._due.items():
            if key not in self._running and now - due > STALL_SECONDS:
                return f"{'/'.join(key)} has been waiting for {now - due:.0f} seconds"
        return ""

    def _take(self, now: float) -> list[Key]:
        """Keys to begin with now, the longest due first; they count as running from here on."""
        free = self.workers - len(self._running)
        due = sorted((t, k) for k, t in self._due.items() if t <= now and k not in self._running)
        keys = [key for _, key in due[:free]]
        for since, key in due[:free]:
            metrics.WAITED.observe(now - since)
            del self._due[key]
            self._running[key] = now
        return keys

    async def _one(self, key: Key) -> None:
        name = "/".join(key)
        about = {"cluster": name}
        try:
            with metrics.reconcile(key):
                delay = await asyncio.to_thread(self.work, key)
            self._failures.pop(key, None)
        except ConflictError as error:
            LOG.info("%s: %s; looking again", name, error, extra=about)
            delay = FIRST_BACKOFF
        except OperatorError as error:
            delay = self._back_off(key)
            LOG.warning("%s: %s; looking again in %.0f s", name, error, delay, extra=about)
        except Exception:
            delay = self._back_off(key)
            LOG.exception("%s: looking again in %.0f s", name, delay, extra=about)
        finally:
            self._running.pop(key, None)
        self._rest(key)
        if delay is not None:
            # Jitter, so that objects made together are not looked at together for ever.
            self.add(key, delay * random.uniform(0.9, 1.1))  # noqa: S311 - no secret
        else:
            self._rested.pop(key, None)
            metrics.forget(key)
        self._wake.set()

    def _rest(self, key: Key) -> None:
        """Not before a pause again, also if an event came during the look."""
        self._rested[key] = asyncio.get_running_loop().time() + PAUSE
        if key in self._due:
            self._due[key] = max(self._due[key], self._rested[key])

    def _back_off(self, key: Key) -> float:
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        return float(min(FIRST_BACKOFF * 2 ** (failures - 1), LAST_BACKOFF))

    async def _sleep(self, now: float) -> None:
        """Until something is added, done or due."""
        waiting = [t for k, t in self._due.items() if k not in self._running]
        busy = len(self._running) >= self.workers
        timeout = None if busy or not waiting else max(min(waiting) - now, 0.0)
        try:
            await asyncio.wait_for(self._wake.wait(), timeout)
        except TimeoutError:
            return
        self._wake.clear()
