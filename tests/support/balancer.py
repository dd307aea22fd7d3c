"""A Service in front of Elasticsearch's nodes, as kube-proxy makes it: late to learn that a node leaves.

Until it has learnt of that, each new connection goes to the one that leaves, whether that still answers or
not: the worst that can happen. One that was made stays where it is until the node closes it.
"""

import contextlib
import random
import socket
import time
from collections.abc import Sequence
from urllib.parse import urlsplit

from gateway import Gateway


class Balancer(Gateway):
    """Opened and closed as a ``Gateway``; learns of changes ``lag`` seconds after they were told."""

    def __init__(self, lag: float = 0.0) -> None:
        super().__init__(("", 0))
        self._lag = lag
        self._told: list[tuple[float, tuple[str, ...]]] = [(0.0, ())]

    @property
    def url(self) -> str:
        """Where clients go."""
        return f"http://127.0.0.1:{self.port}"

    def tell(self, urls: Sequence[str]) -> None:
        """These are the nodes now."""
        if tuple(urls) != self._told[-1][1]:
            self._told.append((time.monotonic() + self._lag, tuple(urls)))

    def wait(self) -> None:
        """Until it has learnt of all that it was told."""
        while (late := self._told[-1][0] - time.monotonic()) > 0:
            time.sleep(late)

    def _choose(self) -> str:
        """Where the next connection goes."""
        now = time.monotonic()
        known = next(urls for since, urls in reversed(self._told) if since <= now)
        leaving = [url for url in known if url not in self._told[-1][1]]
        return random.choice(leaving or known)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            try:
                node = urlsplit(self._choose())
                server = socket.create_connection((node.hostname or "", node.port or 0), 5)
            except (OSError, IndexError):
                client.close()
                continue
            self._sockets += [client, server]
            with contextlib.suppress(RuntimeError):
                self._start(self._forward, client, server)
