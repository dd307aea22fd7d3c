"""What passes by itself in Elasticsearch, and is waited for instead of told to whoever asked.

A node leaves and its Service has not heard of it yet, no master is elected for a moment, a shard has just
moved from one node to another: another try finds what the first missed. All calls of the store may be
repeated, since they read, or write a whole document under an id of its own. One that timed out is not:
Elasticsearch may still be at it, and is busy enough. It is where the host acknowledges nothing at all.

The wait ends ``PATIENCE_SECONDS`` after calls of this kind have last been answered. So those who ask in an
outage wait for what is left of that, and then nobody does: threads do not fill up with vain waits.
"""

import random
import time
from collections.abc import Mapping
from typing import Any, Final

PATIENCE_SECONDS: Final = 10.0
STATUSES: Final = frozenset({429, 502, 503, 504})
SEARCHES: Final = frozenset({"_search", "_msearch", "_count"})
"""Calls that ask one copy of each shard, so that a missing one shows in the answer."""
FIRST_PAUSE_SECONDS: Final = 0.05
LONGEST_PAUSE_SECONDS: Final = 1.0


class Outages:
    """Since when calls of each kind have met nothing but what passes; shared by all who ask one server."""

    def __init__(self) -> None:
        self._since: dict[str, float] = {}

    def over(self, kind: str) -> None:
        """One was answered."""
        self._since.pop(kind, None)

    def noticed(self, kind: str) -> float:
        """One was not; since when that is so."""
        return self._since.setdefault(kind, time.monotonic())


class Pauses:
    """Before each further try of one call, ever longer."""

    def __init__(self) -> None:
        self._pause = FIRST_PAUSE_SECONDS
        self._end: float | None = None

    def another(self, since: float) -> bool:
        """Whether there is time for another try, which is due when this returns; ``since``: see above."""
        if self._end is None:
            self._end = since + PATIENCE_SECONDS
        if time.monotonic() + self._pause > self._end:
            return False
        # Spread out, so that all who wait do not come at once.
        time.sleep(self._pause * random.uniform(0.5, 1.0))  # noqa: S311 - no secret
        self._pause = min(2 * self._pause, LONGEST_PAUSE_SECONDS)
        return True


def kind(target: str) -> str:
    """What a call is for: ``_msearch`` of ``/photos/_msearch?timeout=1s``."""
    parts = target.partition("?")[0].split("/")
    return next((part for part in parts if part.startswith("_")), "")


def passes(of: str, status: int, body: Any) -> bool:
    """Whether an answer to a call of that kind is one that another try may better."""
    if status in STATUSES:
        return True
    if of not in SEARCHES or status != 200 or not isinstance(body, Mapping):
        return False
    return any(map(_incomplete, body.get("responses", [body])))


def _incomplete(response: Mapping[str, Any]) -> bool:
    """Whether a search lacks a shard."""
    if "error" in response:
        status = int(response.get("status") or 0)
        return status in STATUSES or status >= 500
    shards = response.get("_shards", {})
    return bool(shards.get("failed") or shards.get("successful", 0) < shards.get("total", 0))
