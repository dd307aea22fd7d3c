"""A collection of image files through a service's API, several at a time; what it has acknowledged is noted.

For where the store itself cannot be reached: the service decodes, and a key says what may be done. Progress,
resuming and the report are those of ``importer``.
"""

import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Final, TextIO

from match_client import (
    BadRequestError,
    Client,
    ImageUnreadableError,
    MatchClientError,
    ServerFailedError,
    TooLargeError,
)
from match_service.importer import Outcome, Progress, State
from match_service.manifest import Item

NOTED: Final = 500
"""Images whose acknowledgement may be forgotten in a crash; they are uploaded again."""
NOTED_SECONDS: Final = 2.0
AHEAD: Final = 2
"""Uploads waiting per worker."""


def run(items: list[Item], service: Client, state: State, workers: int, out: TextIO = sys.stderr) -> Outcome:
    """Upload ``items``; an image that is refused is reported, a service that is away or refuses ends it."""
    outcome = Outcome()
    fresh = [item for item in items if not state.has(item)]
    outcome.skipped = len(items) - len(fresh)
    progress = Progress(len(items), out)
    done: list[Item] = []
    noted = time.monotonic()
    pool = ThreadPoolExecutor(workers)
    try:
        for item, refusal in _uploaded(pool, service, fresh, workers):
            if refusal:
                outcome.failed.append((item.filepath, refusal))
            else:
                outcome.added += 1
                done.append(item)
            if len(done) >= NOTED or time.monotonic() - noted > NOTED_SECONDS:
                state.note(done)
                done.clear()
                noted = time.monotonic()
            progress.show(outcome)
    except KeyboardInterrupt:
        outcome.interrupted = True
    except MatchClientError as error:
        outcome.stopped = str(error)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        state.note(done)
    progress.report(outcome)
    return outcome


def _uploaded(
    pool: ThreadPoolExecutor, service: Client, items: Iterable[Item], workers: int
) -> Iterator[tuple[Item, str]]:
    """Items as they are done, each with why it was refused, if it was."""
    waiting: set[Future[tuple[Item, str]]] = set()
    for item in items:
        waiting.add(pool.submit(_upload, service, item))
        if len(waiting) >= workers * AHEAD:
            ready, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in ready)
    while waiting:
        ready, waiting = wait(waiting, return_when=FIRST_COMPLETED)
        yield from (future.result() for future in ready)


def _upload(service: Client, item: Item) -> tuple[Item, str]:
    """Add one; raises where the next would fare no better."""
    if item.problem:
        return item, item.problem
    try:
        service.add(item.filepath, item.file, item.metadata)
    except (BadRequestError, TooLargeError, ServerFailedError, ImageUnreadableError) as error:
        return item, str(error)
    return item, ""
