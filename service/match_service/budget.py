"""How many bytes of images all requests of a process may hold at a time.

Each upload and each fetched image has its limit, but so many at a time, several of them in each batch, would
be more memory than a container has. What is over gives its bytes back; whoever finds none left waits for it.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

from match_service.errors import OverloadedError

LEAST_BYTES: Final = 256 * 1024 * 1024
WAIT_SECONDS: Final = 10.0
"""Longest wait of a request in all, but for those that bring a deadline of their own."""


class Budget:
    """``size`` bytes."""

    def __init__(self, size: int) -> None:
        self._left = size
        self._given = threading.Condition()

    @classmethod
    def beside(cls, *limits: int) -> "Budget":
        """The usual one, but twice as much as any one request or image may have of ``limits``."""
        return cls(max(LEAST_BYTES, *(2 * limit for limit in limits)))

    def take(self, count: int, seconds: float) -> None:
        """Wait at most ``seconds`` for so many bytes; raises ``OverloadedError``."""
        with self._given:
            if not self._given.wait_for(lambda: self._left >= count, max(0.0, seconds)):
                raise OverloadedError("The service holds as many images as it can; try again a little later.")
            self._left -= count

    def give(self, count: int) -> None:
        """Give so many bytes back."""
        with self._given:
            self._left += count
            self._given.notify_all()


@dataclass
class _Share:
    budget: Budget
    patience: float
    held: int = 0


_SHARE: ContextVar[_Share | None] = ContextVar("share", default=None)


@contextmanager
def sharing(budget: Budget | None = None) -> Iterator[None]:
    """Give back in the end what is taken within: of ``budget``, or where there is none of the one around."""
    around = _SHARE.get()
    if budget is None and around is not None:
        budget = around.budget
    if budget is None:
        yield
        return
    share = _Share(budget, WAIT_SECONDS)
    before = _SHARE.set(share)
    try:
        yield
    finally:
        _SHARE.reset(before)
        budget.give(share.held)


def take(count: int, deadline: float | None = None) -> None:
    """Count bytes that are about to be held, waiting until ``deadline``, a monotonic time, if need be.

    ``OverloadedError`` where none are given back in time. Without ``sharing`` nothing is counted.
    """
    share = _SHARE.get()
    if share is None:
        return
    began = time.monotonic()
    share.budget.take(count, share.patience if deadline is None else deadline - began)
    share.held += count
    if deadline is None:
        share.patience -= time.monotonic() - began
