"""Looking for duplicates in the whole collection: a job beside the requests that tells how far it is.

Its state is in the store, so every replica can tell it, and a job whose process died is known to have ended.
Two images are in one group if they are nearer than the cutoff, or if others between them are.
"""

import logging
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from match_service.engine.pairs import Groups, near_pairs
from match_service.errors import MatchError, StoreUnavailableError
from match_service.store.review import SILENT_SECONDS, Collection, Group, Job, Member, Review

BEAT_SECONDS: Final = 1.0
"""Between two notes of progress."""
LOOK_UP: Final = 2000
"""Images looked up at a time."""

log = logging.getLogger("match_service")


class Duplicates:
    """Searches for duplicates in one collection."""

    def __init__(self, review: Review) -> None:
        self._review = review

    def start(self, min_score: float, *, all_orientations: bool) -> Job:
        """Begin a search in a thread of its own; while one runs already, that one is returned instead."""
        now = time.time()
        job = Job(uuid.uuid4().hex, "running", min_score, all_orientations, started=now, seen=now)
        begun = self._review.begin(job)
        if begun.id == job.id:
            threading.Thread(target=self._work, args=[job], name="duplicates", daemon=True).start()
        return begun

    def job(self) -> Job | None:
        """The last search, if there was one."""
        job = self._review.job()
        return None if job is None else job.told()

    def cancel(self) -> Job | None:
        """Have the search that runs stop at its next step; returns the last search."""
        job = self._review.job()
        if job is not None and job.state == "running":
            self._review.update(replace(job, state="cancelled"))
        return self.job()

    def page(self, job: Job, offset: int, limit: int) -> list[list[dict[str, Any]]]:
        """Groups of a finished search, without what was deleted or replaced since."""
        groups = self._review.groups(job, offset, limit) if job.state == "done" else []
        known = self._review.known([member.filepath for group in groups for member in group])
        pages = []
        for group in groups:
            there = [m for m in group if m.filepath in known and known[m.filepath].sha256 == m.sha256]
            pages.append(
                [
                    {"filepath": m.filepath, "score": m.score, "metadata": known[m.filepath].metadata}
                    for m in there
                ]
            )
        return [page for page in pages if len(page) > 1]

    def _work(self, job: Job) -> None:
        try:
            _Search(self._review, job).run()
        except MatchError as error:
            self._fail(job, str(error))
        except Exception:
            log.exception("The search for duplicates failed.")
            self._fail(job, "The service failed; its log says why.")

    def _fail(self, job: Job, sentence: str) -> None:
        try:
            self._review.update(replace(job, state="failed", error=sentence, seen=time.time()))
        except StoreUnavailableError:
            log.warning("The search for duplicates ended: %s", sentence)


class _StoppedError(MatchError):
    """Somebody cancelled the job or another took its place."""


class _Search:
    """One run of a job, in one thread."""

    def __init__(self, review: Review, job: Job) -> None:
        self._review = review
        self._job = job
        self._told = time.monotonic()

    def run(self) -> None:
        try:
            collection = self._review.collection()
            count = sum(len(part.squares) for part in collection.parts)
            self._tell(replace(self._job, images=count), now=True)
            groups = self._named(collection, self._joined(collection, count))
            self._review.keep_groups(self._job, groups)
            self._tell(replace(self._job, state="done", progress=1.0, groups=len(groups)), now=True)
        except _StoppedError:
            log.info("The search for duplicates was cancelled.")

    def _joined(self, collection: Collection, count: int) -> Groups:
        joined = Groups(count)
        # Scores are those of /search, so this one includes the bound where a distance excludes it.
        cutoff = np.nextafter(1 - self._job.min_score / 100, 1) + 1e-12
        for pairs in near_pairs(collection.parts, cutoff, all_orientations=self._job.all_orientations):
            joined.join(pairs)
            self._tell(replace(self._job, progress=round(pairs.done, 4)))
        return joined

    def _named(self, collection: Collection, joined: Groups) -> list[Group]:
        """The groups of images that are still there, largest first."""
        named = []
        for rows in _batches(joined.groups()):
            images = collection.images(np.concatenate(rows))
            start = 0
            for group in rows:
                found = zip(images[start : start + len(group)], joined.nearest[group].tolist(), strict=True)
                start += len(group)
                members = [
                    Member(image.filepath, image.sha256, (1 - apart) * 100) for image, apart in found if image
                ]
                if len(members) > 1:
                    named.append(sorted(members, key=lambda member: member.filepath))
            self._tell(self._job)
        return sorted(named, key=lambda group: (-len(group), group[0].filepath))

    def _tell(self, job: Job, *, now: bool = False) -> None:
        """Note the job's state, not oftener than it helps; a store away for a while is waited for."""
        self._job = job
        if not now and time.monotonic() - self._told < BEAT_SECONDS:
            return
        while True:
            try:
                if not self._review.update(replace(job, seen=time.time())):
                    raise _StoppedError("cancelled")
            except StoreUnavailableError:
                if time.monotonic() - self._told > SILENT_SECONDS:
                    raise
                if not now:
                    return
                time.sleep(BEAT_SECONDS)
            else:
                self._told = time.monotonic()
                return


def _batches(groups: list[NDArray[np.int64]]) -> Iterator[list[NDArray[np.int64]]]:
    """Groups in portions of at least ``LOOK_UP`` images."""
    portion: list[NDArray[np.int64]] = []
    for group in groups:
        portion.append(group)
        if sum(map(len, portion)) >= LOOK_UP:
            yield portion
            portion = []
    if portion:
        yield portion
