"""What the service does with images, free of HTTP: signature in, store asked, distances judged."""

import hashlib
import itertools
import logging
import os
import threading

from match_service import engine
from match_service.engine.thumbnail import thumbnail
from match_service.engine.variants import VARIANT_CUTOFF, variants
from match_service.errors import StoreUnavailableError
from match_service.model import Json, Match, Record, Signature
from match_service.store.base import Store
from match_service.store.ranking import rank
from match_service.thumbnails import Thumbnails

log = logging.getLogger(__name__)


class Matcher:
    """Add, search and compare images given as encoded bytes.

    Decoding is bounded to one image per CPU at a time, so that a burst of large images costs
    waiting rather than memory. Methods raise ``BadImageError`` and ``StoreUnavailableError``.
    """

    def __init__(self, store: Store, thumbnails: Thumbnails | None = None) -> None:
        self.store = store
        self._thumbnails = thumbnails
        self._decoding = threading.BoundedSemaphore(os.cpu_count() or 1)

    def add(self, filepath: str, image: bytes, metadata: Json) -> None:
        """Keep ``image`` under ``filepath``, replacing what was there in one step."""
        signature = self._signature(image)
        digest = hashlib.sha256(image).hexdigest()
        self.store.add(Record(filepath, signature, digest, metadata))
        self._keep_thumbnail(filepath, image, digest)

    def delete(self, filepath: str) -> bool:
        """Forget exactly ``filepath``, its thumbnail first: what was deleted is nowhere any more."""
        if self._thumbnails is not None:
            self._thumbnails.delete(filepath)
        return self.store.delete(filepath)

    def thumbnail(self, filepath: str) -> bytes | None:
        """The JPEG kept of ``filepath``, None where there is none."""
        return None if self._thumbnails is None else self._thumbnails.get(filepath)

    def search(self, image: bytes, *, all_orientations: bool, thorough: bool = False) -> list[Match]:
        """Stored images similar to ``image``, best first.

        With ``thorough`` also those of which it seems to be a larger crop, a slightly turned or a framed
        copy; what is found without is found as well, with at least the same score.
        """
        signature = self._signature(image)
        found = self.store.search(engine.views(signature, all_orientations))
        if thorough:
            with self._decoding:
                guessed = variants(image)
            if len(guessed):
                found = _nearest(found, self.store.search(guessed, cutoff=VARIANT_CUTOFF))
        return found

    def compare(self, first: bytes, second: bytes) -> float:
        """Score from 0 to 100; 100 exactly where the signatures are equal.

        A flat image scores 100 against the same bytes and 0 against anything else.
        """
        with self._decoding:
            return (1.0 - engine.compare(first, second)) * 100.0

    def _keep_thumbnail(self, filepath: str, image: bytes, digest: str) -> None:
        """The image is added already, so a thumbnail that cannot be kept is only missed."""
        if self._thumbnails is None:
            return
        try:
            with self._decoding:
                small = thumbnail(image, digest)
            self._thumbnails.put(filepath, small)
        except StoreUnavailableError as error:
            log.warning("No thumbnail was kept: %s", error)

    def _signature(self, image: bytes) -> Signature:
        with self._decoding:
            return engine.signature(image)


def _nearest(*answers: list[Match]) -> list[Match]:
    """One answer from several: each image once, with its least distance."""
    best: dict[str, Match] = {}
    for match in itertools.chain(*answers):
        known = best.get(match.filepath)
        if known is None or match.distance < known.distance:
            best[match.filepath] = match
    return rank(best.values())
