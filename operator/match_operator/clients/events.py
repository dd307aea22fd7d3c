"""Decisions as Kubernetes Events, which `kubectl describe` shows: once each, however often they are taken.

An Event's name is made of what it says, so that the API server holds one for each decision, also after a
restart of the operator or a hand-over; repeating one raises its count. An Event is news for people: one that
cannot be written must not hold up what it tells of.
"""

import hashlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from match_operator import names
from match_operator.clients.kube import Kube
from match_operator.errors import OperatorError
from match_operator.observed import Json

LOG = logging.getLogger(__name__)

PAUSE: Final = 60.0
"""Seconds before the same decision is counted again: a fight over a field must not write at each look."""


@dataclass
class Recorder:
    """Writes Events of one operator; safe to share between threads."""

    kube: Kube
    now: Callable[[], float] = time.monotonic
    _said: dict[str, float] = field(default_factory=dict)

    def say(self, cluster: Json, reason: str, message: str, *, warning: bool = False) -> None:
        """Record a decision about a MatchCluster, or a request of one; never raises."""
        event = body(cluster, reason, message, warning=warning)
        name, now = event["metadata"]["name"], self.now()
        if now - self._said.get(name, float("-inf")) < PAUSE:
            return
        self._said = {n: when for n, when in self._said.items() if now - when < PAUSE} | {name: now}
        try:
            self.kube.record(event)
        except OperatorError as error:
            LOG.warning("cannot record %s (%s): %s", reason, message, error)


def body(cluster: Json, reason: str, message: str, *, warning: bool) -> Json:
    """The Event of one decision about a MatchCluster."""
    metadata, kind = cluster["metadata"], "Warning" if warning else "Normal"
    said = hashlib.sha256("\n".join((metadata["uid"], kind, reason, message)).encode()).hexdigest()
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{metadata['name']}.{said[:16]}", "namespace": metadata["namespace"]},
        "involvedObject": {
            "apiVersion": names.API_VERSION,
            "kind": cluster["kind"],
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "uid": metadata["uid"],
        },
        "type": kind,
        "reason": reason,
        "message": message[:1024],
        "source": {"component": names.MANAGER},
        "reportingComponent": names.MANAGER,
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    }
