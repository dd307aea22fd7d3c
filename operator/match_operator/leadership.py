"""One operator acts at a time: the one that holds a Lease, and only while it can be sure to hold it.

The holder counts its time from before it asked and ends its process when that is over (``DEADLINE``); others
count from after they saw, by their own clocks, and take the Lease later (``DURATION``). So the one has
stopped before the other begins, though their clocks differ, an answer is late or a process stood still.
Losing the Lease is dying, since nothing else stops threads that are in the middle of a request.

kopf's peering is no election: it pauses a peer some time after another one has begun. The election that comes
with the Kubernetes client sets no limit to its own requests, so that one without an answer keeps it acting.
"""

import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from match_operator import metrics
from match_operator.clients.kube import Kube
from match_operator.errors import ConflictError, NotLeadingError, OperatorError
from match_operator.observed import Json

LOG = logging.getLogger(__name__)

DURATION: Final = 15.0
"""Seconds without a renewal after which another may take the Lease; with the next two, Kubernetes' own."""
DEADLINE: Final = 10.0
"""Seconds without a renewal after which the holder ends."""
PERIOD: Final = 2.0
"""Seconds between two renewals, or two looks at what another holds."""


def end(sentence: str) -> None:
    """End the process here and now, whatever its threads are doing."""
    LOG.error("%s; ending", sentence)
    logging.shutdown()
    os._exit(1)


@dataclass
class Leadership:
    """One candidate; ``identity`` must be no other process's that may be alive."""

    kube: Kube
    namespace: str
    name: str
    identity: str
    lost: Callable[[str], None] = end
    clock: Callable[[], float] = time.monotonic
    _until: float = float("-inf")
    _asked: float = float("-inf")
    _held: Json | None = None
    _seen: tuple[str, str] = ("", "")
    _seen_at: float = 0.0
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self, leading: Callable[[], None]) -> None:
        """Stand by in the background; call ``leading`` from there once this process holds the Lease."""
        self._asked = self.clock()
        self._begin("candidate", lambda: self._run(leading))

    def check(self) -> None:
        """Raise ``NotLeadingError`` unless this process is sure to hold the Lease now."""
        if self.clock() >= self._until:
            raise NotLeadingError(f"{self.identity} holds the Lease {self.name} no longer")

    def problem(self) -> str:
        """Why this candidate cannot be trusted to take over; empty when it can."""
        silence = self.clock() - self._asked
        return (
            f"the Lease {self.name} has not been asked for in {silence:.0f} seconds" if silence > 60 else ""
        )

    def release(self) -> None:
        """Let another take over at once; only after this process has stopped acting."""
        self._stop.set()
        for thread in self._threads:
            thread.join(DEADLINE)
        if self._held and self.clock() < self._until:
            self._until = float("-inf")
            try:
                self.kube.replace_lease(self._body(self._held, holder=""))
            except OperatorError as error:
                LOG.warning("cannot give the Lease back: %s", error)

    def attempt(self) -> bool:
        """Ask once for the Lease, or renew it; whether this process holds it."""
        asked = self._asked = self.clock()
        lease = self._held or self.kube.lease(self.namespace, self.name)
        self._held = None  # to be read again, unless what follows succeeds
        if lease is None:
            self._held = self.kube.create_lease(self._body({}, holder=self.identity))
        elif not self._free(lease):
            return False
        else:
            self._held = self.kube.replace_lease(self._body(lease, holder=self.identity))
        self._until = asked + DEADLINE
        return True

    def _free(self, lease: Json) -> bool:
        """Whether the Lease is ours, nobody's, or has not been renewed for long enough."""
        spec = lease["spec"]
        holder = spec.get("holderIdentity") or ""
        if holder in ("", self.identity):
            return True
        seen = (holder, lease["metadata"]["resourceVersion"])
        if seen != self._seen:
            self._seen, self._seen_at = seen, self.clock()
        return self.clock() - self._seen_at >= max(DURATION, spec.get("leaseDurationSeconds") or 0)

    def _run(self, leading: Callable[[], None]) -> None:
        held = False
        while not self._stop.is_set():
            try:
                now = self.attempt()
            except ConflictError:
                now = False
                if held:
                    continue  # read again at once: somebody else wrote it
            except OperatorError as error:
                LOG.warning("cannot ask for the Lease %s: %s", self.name, error)
                self._stop.wait(PERIOD)
                continue
            if held and not now:
                self.lost(f"another operator took the Lease {self.name}")
                return
            if now and not held:
                held = True
                LOG.info("%s holds the Lease %s and acts", self.identity, self.name)
                metrics.LEADING.set(1)
                self._begin("watchdog", self._watch)
                leading()
            self._stop.wait(PERIOD)

    def _watch(self) -> None:
        """End the process when its time is over, also while a renewal is waited for."""
        while not self._stop.wait(max(0.0, self._until - self.clock())):
            if self.clock() >= self._until:
                self.lost(f"the Lease {self.name} could not be renewed for {DEADLINE:.0f} seconds")
                return

    def _begin(self, name: str, target: Callable[[], None]) -> None:
        thread = threading.Thread(target=target, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _body(self, before: Json, *, holder: str) -> Json:
        spec = dict(before.get("spec", {}))
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        if holder != spec.pop("holderIdentity", ""):
            spec["acquireTime"] = now
            spec["leaseTransitions"] = spec.get("leaseTransitions", 0) + bool(holder)
        spec |= {"leaseDurationSeconds": int(DURATION) if holder else 1, "renewTime": now}
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": before.get("metadata") or {"namespace": self.namespace, "name": self.name},
            "spec": spec | ({"holderIdentity": holder} if holder else {}),
        }
