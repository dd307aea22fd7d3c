"""How many requests are worked on at once, how many may wait, and who is turned away beyond that.

Without it requests would wait in the server without a bound, each longer than the one before, until they are
answered long after their clients have gone. Probes and metrics pass by, so that a busy process does not look
like a dead one.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from typing import Any, Final

from flask import Flask, request

from match_service.errors import OverloadedError
from match_service.metrics import WAITING

WAIT_SECONDS: Final = 10.0
"""Longest wait for a turn."""
PROBES: Final = frozenset({"livez", "readyz", "ping", "metrics"})
"""Endpoints that wait for no turn, and that the access log leaves out."""
_PATHS: Final = frozenset(f"/{name}" for name in PROBES)
_REFUSED: Final = "match.overloaded"


class Gate:
    """Lets ``places`` in at a time and ``queue`` wait, in the order in which they came."""

    def __init__(self, places: int, queue: int, seconds: float = WAIT_SECONDS) -> None:
        self._free = places
        self._queue = queue
        self._seconds = seconds
        self._waiting: deque[threading.Event] = deque()
        self._lock = threading.Lock()

    def enter(self) -> bool:
        """Wait for a turn; False where too many wait already, or none came in time."""
        with self._lock:
            if self._free:
                self._free -= 1
                return True
            if len(self._waiting) >= self._queue:
                return False
            turn = threading.Event()
            self._waiting.append(turn)
        with WAITING.track_inprogress():
            came = turn.wait(self._seconds)
        if came:
            return True
        with self._lock:
            if turn.is_set():  # it came between the two looks
                return True
            self._waiting.remove(turn)
        return False

    def leave(self) -> None:
        """Give the place to whoever has waited longest."""
        with self._lock:
            if self._waiting:
                self._waiting.popleft().set()
            else:
                self._free += 1

    def register(self, app: Flask) -> None:
        """Stand before all of ``app``; the place is held until the last byte of the answer was sent."""
        inner = app.wsgi_app

        def gated(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
            if environ.get("PATH_INFO") in _PATHS:
                return inner(environ, start_response)
            if not self.enter():
                environ[_REFUSED] = True
                return inner(environ, start_response)
            try:
                answer = inner(environ, start_response)
            except BaseException:
                self.leave()
                raise
            return _Held(answer, self.leave)

        app.wsgi_app = gated  # type: ignore[method-assign]


class _Held:
    """An answer that gives its place back, once, when it is closed: also where closing it fails."""

    def __init__(self, answer: Iterable[bytes], leave: Callable[[], None]) -> None:
        self._answer = answer
        self._end = ExitStack()
        self._end.callback(leave)
        if close := getattr(answer, "close", None):
            self._end.callback(close)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._answer)

    def close(self) -> None:
        """As WSGI has it."""
        self._end.close()


def admit() -> None:
    """``OverloadedError`` for a request that found no place."""
    if _REFUSED in request.environ:
        raise OverloadedError("The service has more requests than it can answer; try again a little later.")
