"""Settled MatchClusters over an external Elasticsearch, of which there may be thousands, looked at cheaply.

A full look lists every kind of child. Where no event came since the last one, the MatchCluster is the same
and Elasticsearch says the same of its index, nearly all of that would be found as it was left, so a few
questions are enough. Now and then the look is full all the same: an event may have been lost, or the index
template changed by somebody else.
"""

import random
from dataclasses import dataclass, field, replace
from typing import Any, Final

from match_operator.clients.elastic import ElasticClient
from match_operator.errors import ElasticsearchError
from match_operator.observed import Elastic, Glance

Json = dict[str, Any]
Key = tuple[str, str]

RARELY: Final = 5
"""Times the resync between two looks at what is calm, on average."""
SPREAD: Final = 0.4
"""Part of that by which one may be longer or shorter: what was made together is not looked at together."""
QUICK_LOOKS: Final = 5
"""Quick looks before a full one."""


@dataclass(frozen=True, slots=True)
class _Left:
    """As it was left after a full look."""

    version: str
    alias: str
    elastic: int
    heard: int
    looks: int = 0


@dataclass
class Calm:
    """What was heard of and left how; shared by the looks of all MatchClusters and by who hears of events."""

    _left: dict[Key, _Left] = field(default_factory=dict)
    _heard: dict[Key, int] = field(default_factory=dict)

    def hear(self, key: Key) -> None:
        """Something happened to a MatchCluster or what belongs to it."""
        self._heard[key] = self.heard(key) + 1

    def heard(self, key: Key) -> int:
        """How often; to be asked before a look, so that what happens during it counts afterwards."""
        return self._heard.get(key, 0)

    def keep(self, key: Key, body: Json, alias: str, elastic: Elastic, heard: int) -> None:
        """Remember one that needs nothing."""
        version, said = body["metadata"]["resourceVersion"], _fingerprint(elastic.glance)
        self._left[key] = _Left(version, alias, said, heard)

    def holds(self, key: Key, body: Json, client: ElasticClient | None) -> bool:
        """Whether one is as it was left; asks Elasticsearch."""
        left = self._left.pop(key, None)
        if left is None or client is None or left.looks >= QUICK_LOOKS:
            return False
        if left.version != body["metadata"]["resourceVersion"] or left.heard != self.heard(key):
            return False
        try:
            same = _fingerprint(client.glance(left.alias)) == left.elastic
        except ElasticsearchError:
            return False
        if same:
            self._left[key] = replace(left, looks=left.looks + 1)
        return same

    def forget(self, key: Key) -> None:
        """One that is gone."""
        self._left.pop(key, None)
        self._heard.pop(key, None)


def _fingerprint(glance: Glance) -> int:
    return hash(repr(glance))


def long_rest(resync_seconds: float) -> float:
    """Seconds until the next look at what is calm."""
    return resync_seconds * RARELY * random.uniform(1 - SPREAD, 1 + SPREAD)  # noqa: S311 - no secret
