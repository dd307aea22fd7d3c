"""Writes that wait while the collection changes its index, instead of failing.

For the second or so in which the last changes are copied (``migration.py``), the alias takes no writes. The
writer tries again until the alias is on the new index, or on the old one as before.
"""

import time
from collections.abc import Callable
from typing import Any, Final, TypeVar

import elasticsearch

from match_service.errors import StoreUnavailableError

PATIENCE_SECONDS: Final = 20.0
PAUSE_SECONDS: Final = 0.05
BLOCKED: Final = "cluster_block_exception"
NOT_WRITABLE: Final = "no write index is defined for alias"

Answer = TypeVar("Answer")


class Patience:
    """Pauses between attempts, of which there are as many as fit into ``PATIENCE_SECONDS``."""

    def __init__(self) -> None:
        self._end = time.monotonic() + PATIENCE_SECONDS

    def pause(self) -> None:
        """Wait a little; ``StoreUnavailableError`` once patience is at its end."""
        if time.monotonic() > self._end:
            raise StoreUnavailableError("The collection is being moved to another index.")
        time.sleep(PAUSE_SECONDS)


def written(write: Callable[[], Answer]) -> Answer:
    """What ``write`` returns, once the index takes writes; ``StoreUnavailableError`` if that takes long."""
    patience = Patience()
    while True:
        try:
            return write()
        except elasticsearch.ApiError as error:
            if not fenced(error.meta.status, error.body):
                raise
        patience.pause()


def fenced(status: int, body: Any) -> bool:
    """Whether an answer, its cause as ``error`` in ``body``, means that the index takes no writes now."""
    cause = body.get("error") if isinstance(body, dict) else None
    if not isinstance(cause, dict):
        return False
    if status == 403:
        return cause.get("type") == BLOCKED
    return status == 400 and str(cause.get("reason", "")).startswith(NOT_WRITABLE)
