"""What the service does with images, free of HTTP: signature in, store asked, distances judged."""

import hashlib
import itertools
import os
import threading

from match_service import engine
from match_service.engine.variants import PLAIN_CUTOFF, VARIANT_CUTOFF, variants
from match_service.model import Json, Match, Record, Signature
from match_service.store.base import DISTANCE_CUTOFF, Store
from match_service.store.ranking import rank


class Matcher:
    """Add, search and compare images given as encoded bytes.

    Decoding is bounded to one image per CPU at a time, so that a burst of large images costs
    waiting rather than memory. Methods raise ``BadImageError`` and ``StoreUnavailableError``.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self._decoding = threading.BoundedSemaphore(os.cpu_count() or 1)

    def add(self, filepath: str, image: bytes, metadata: Json) -> None:
        """Keep ``image`` under ``filepath``, replacing what was there in one step."""
        signature = self._signature(image)
        digest = hashlib.sha256(image).hexdigest()
        self.store.add(Record(filepath, signature, digest, metadata))

    def search(self, image: bytes, *, all_orientations: bool, thorough: bool = False) -> list[Match]:
        """Stored images similar to ``image``, best first.

        With ``thorough`` also those of which it seems to be a larger crop, a slightly turned or a framed
        copy. What is found without is found as well, with at least the same score, but for scores up to 55.5
        that nothing else confirms.
        """
        signature = self._signature(image)
        cutoff = PLAIN_CUTOFF if thorough else DISTANCE_CUTOFF
        found = self.store.search(engine.views(signature, all_orientations), cutoff=cutoff)
        if thorough:
            with self._decoding:
                guessed = variants(image, mirrored=all_orientations)
            if len(guessed):
                found = _nearest(found, self.store.search(guessed, cutoff=VARIANT_CUTOFF))
        return found

    def compare(self, first: bytes, second: bytes) -> float:
        """Score from 0 to 100; 100 exactly where the signatures are equal.

        A flat image scores 100 against the same bytes and 0 against anything else.
        """
        with self._decoding:
            return (1.0 - engine.compare(first, second)) * 100.0

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
