"""How a secret value follows another without a moment in which neither works."""

import base64
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from match_operator import names

Json = dict[str, Any]

OVERLAP: Final = timedelta(hours=1)
"""How long what was replaced stays good. A mounted Secret is read anew within two minutes."""
ENDING: Final = "ending"
"""Under which key a Secret has what is good for a while only."""


@dataclass(frozen=True, slots=True)
class Chance:
    """What follows from nothing that is seen."""

    token: Callable[[], str]
    """256 random bits as URL-safe text, other ones at each call."""
    now: datetime


def follow(current: str, successor: str, new: Callable[[], str]) -> tuple[str, str]:
    """The value that counts and the one after it: one that is missing is replaced by its successor.

    May be repeated, and may be cut off between the writing of the one and of the other.
    """
    if not current:
        current, successor = successor or new(), ""
    if not successor or successor == current:
        successor = new()
    return current, successor


def ending(before: Iterable[str], now_good: Iterable[str], ends: str, now: datetime) -> dict[str, str]:
    """Entries that were good before, are so no longer, and yet are for a while, each with when that ends.

    ``ends`` is what this came to at the last look, as JSON.
    """
    known = _times(ends)
    end = _text(now + OVERLAP)
    times = {entry: known.get(entry, end) for entry in (*before, *known) if entry not in set(now_good)}
    return {entry: time for entry, time in times.items() if time > _text(now)}


def _times(ends: str) -> dict[str, str]:
    try:
        found = json.loads(ends or "{}")
    except ValueError:
        return {}
    return {k: v for k, v in found.items() if isinstance(v, str)} if isinstance(found, dict) else {}


def _text(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def secret(cluster: str, component: str, name: str, data: Mapping[str, str]) -> Json:
    """A Secret that holds these texts."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "labels": names.labels(cluster, component)},
        "type": "Opaque",
        "data": {key: base64.b64encode(text.encode()).decode() for key, text in data.items()},
    }
