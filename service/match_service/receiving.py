"""What a client sends, within limits of time: a client that is too slow is taken for one that has gone.

A connection that is read keeps a thread, and a request that is read keeps a place at the gate, so a few
clients that send a byte now and then could keep all of them. Only the time spent waiting for the client
counts: one that is held up because the service itself is slow to read loses nothing by it.
"""

import math
import socket
import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import Final

SILENCE_SECONDS: Final = 30.0
"""Longest wait for the next bytes, and for those sent to be taken."""
GRACE_SECONDS: Final = 30.0
"""Waited in all for the head of a request, and again for its body beyond what its bytes earn."""
LEAST_RATE: Final = 8 * 1024
"""Bytes of a body that earn a further second."""


class Receiver:
    """The receiving half of a connection, in place of ``sock`` for whoever parses what comes."""

    def __init__(
        self,
        sock: socket.socket,
        *,
        grace: float = GRACE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sock = sock
        self._grace = grace
        self._clock = clock
        self._timeout: float | None = None
        self._until = math.inf
        self.given_up = False
        """Whether the client was too slow; it stays so, since where a next request begins is unknown."""
        self.begin()

    def begin(self) -> None:
        """Expect the head of a request."""
        self._left = self._grace
        self._rate = math.inf
        self._end = math.inf

    def begin_body(self) -> None:
        """Expect the body that follows the head."""
        self._left = self._grace
        self._rate = LEAST_RATE

    def end_within(self, seconds: float) -> None:
        """Give the client up if it still sends this request after ``seconds``."""
        self._end = self._clock() + seconds

    def gettimeout(self) -> float | None:
        """As it was set by ``settimeout``."""
        return self._timeout

    def settimeout(self, seconds: float | None) -> None:
        """Bound all that is received from now on, where a socket would bound each time by itself."""
        self._timeout = seconds
        self._until = math.inf if seconds is None else self._clock() + seconds

    def recv(self, size: int) -> bytes:
        """At most ``size`` bytes, none from a client that has gone or was given up.

        ``TimeoutError`` beyond what ``settimeout`` says.
        """
        began = self._clock()
        patience = min(SILENCE_SECONDS, self._left, self._end - began)
        asked = self._until - began
        if self.given_up or patience <= 0:
            self.given_up = True
            return b""
        if asked <= 0:
            raise TimeoutError
        try:
            self._sock.settimeout(min(patience, asked))
            data = self._sock.recv(size)
        except TimeoutError:
            if asked < patience:
                raise
            self.given_up = True
            return b""
        finally:
            self._left -= self._clock() - began
            self._sock.settimeout(SILENCE_SECONDS)  # sending waits by it as well
        self._left += len(data) / self._rate
        return data


CURRENT: ContextVar[Receiver | None] = ContextVar("receiver", default=None)
"""Of the request that is worked on; None where no server of ours receives it."""
