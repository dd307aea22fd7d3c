"""What the service does with images, free of HTTP: signature in, store asked, distances judged."""

import hashlib
import itertools
import logging
import os
import threading
from typing import Protocol

from match_service import engine
from match_service.engine.thumbnail import thumbnail
from match_service.engine.variants import VARIANT_CUTOFF, variants
from match_service.errors import MatchError
from match_service.model import Json, Match, Record, Signature, Views
from match_service.store.base import Store
from match_service.store.ranking import rank
from match_service.thumbnails import Thumbnails

log = logging.getLogger(__name__)


class Decoder(Protocol):
    """Signatures of encoded images; methods raise ``BadImageError`` and ``OverloadedError``."""

    def signature(self, data: bytes) -> Signature:
        """As ``engine.signature``."""

    def variants(self, data: bytes) -> Views:
        """As ``engine.variants.variants``."""

    def compare(self, first: bytes, second: bytes) -> float:
        """As ``engine.compare``."""

    def thumbnail(self, data: bytes, note: str) -> bytes:
        """As ``engine.thumbnail.thumbnail``."""


class LocalDecoder:
    """Decodes in this process, one image per CPU at a time, so that a burst costs waiting, not memory."""

    def __init__(self) -> None:
        self._decoding = threading.BoundedSemaphore(os.cpu_count() or 1)

    def signature(self, data: bytes) -> Signature:
        """As ``engine.signature``."""
        with self._decoding:
            return engine.signature(data)

    def variants(self, data: bytes) -> Views:
        """As ``engine.variants.variants``."""
        with self._decoding:
            return variants(data)

    def compare(self, first: bytes, second: bytes) -> float:
        """As ``engine.compare``."""
        with self._decoding:
            return engine.compare(first, second)

    def thumbnail(self, data: bytes, note: str) -> bytes:
        """As ``engine.thumbnail.thumbnail``."""
        with self._decoding:
            return thumbnail(data, note)


class Matcher:
    """Add, search and compare images given as encoded bytes.

    Methods raise ``BadImageError``, ``OverloadedError`` and ``StoreUnavailableError``.
    """

    def __init__(
        self, store: Store, decoder: Decoder | None = None, thumbnails: Thumbnails | None = None
    ) -> None:
        self.store = store
        self._thumbnails = thumbnails
        self._decoder = decoder or LocalDecoder()

    def add(self, filepath: str, image: bytes, metadata: Json) -> None:
        """Keep ``image`` under ``filepath``, replacing what was there in one step."""
        signature = self._decoder.signature(image)
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
        signature = self._decoder.signature(image)
        found = self.store.search(engine.views(signature, all_orientations))
        if thorough:
            guessed = self._decoder.variants(image)
            if len(guessed):
                found = _nearest(found, self.store.search(guessed, cutoff=VARIANT_CUTOFF))
        return found

    def compare(self, first: bytes, second: bytes) -> float:
        """Score from 0 to 100; 100 exactly where the signatures are equal.

        A flat image scores 100 against the same bytes and 0 against anything else.
        """
        return (1.0 - self._decoder.compare(first, second)) * 100.0

    def _keep_thumbnail(self, filepath: str, image: bytes, digest: str) -> None:
        """The image is added already, so a thumbnail that cannot be kept is only missed."""
        if self._thumbnails is None:
            return
        try:
            self._thumbnails.put(filepath, self._decoder.thumbnail(image, digest))
        except MatchError as error:
            log.warning("No thumbnail was kept: %s", error)


def _nearest(*answers: list[Match]) -> list[Match]:
    """One answer from several: each image once, with its least distance."""
    best: dict[str, Match] = {}
    for match in itertools.chain(*answers):
        known = best.get(match.filepath)
        if known is None or match.distance < known.distance:
            best[match.filepath] = match
    return rank(best.values())
