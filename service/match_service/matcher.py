"""What the service does with images, free of HTTP: signature in, store asked, distances judged."""

import hashlib
import itertools
import logging
import math
import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final, Protocol

from match_service import engine
from match_service.engine.overlap import Overlap, overlap
from match_service.engine.thumbnail import thumbnail
from match_service.engine.variants import PLAIN_CUTOFF, VARIANT_CUTOFF, signature_and_variants
from match_service.errors import BadImageError, ConflictError, MatchError, MissingError
from match_service.filters import contains
from match_service.metrics import DECODE_FAILURES, stage
from match_service.model import Json, Match, Record, Signature, Stored, Views, score
from match_service.store.base import DISTANCE_CUTOFF, Store
from match_service.store.ranking import rank

log = logging.getLogger(__name__)

GUESSED: Final = -1
"""View of a match that was found by guessing what the query is a copy of."""
PAGE: Final = 1000
"""Images read from the store at a time."""


class Decoder(Protocol):
    """Signatures of encoded images; methods raise ``BadImageError`` and ``OverloadedError``."""

    def signature(self, data: bytes) -> Signature:
        """As ``engine.signature``."""

    def signature_and_variants(self, data: bytes, *, mirrored: bool) -> tuple[Signature, Views]:
        """As ``engine.variants.signature_and_variants``."""

    def compare(self, first: bytes, second: bytes) -> float:
        """As ``engine.compare``."""

    def thumbnail(self, data: bytes, note: str) -> bytes:
        """As ``engine.thumbnail.thumbnail``."""

    def overlap(self, first: bytes, second: bytes, mode: str, *, all_orientations: bool) -> Overlap:
        """As ``engine.overlap.overlap``."""


class LocalDecoder:
    """Decodes in this process, one image per CPU at a time, so that a burst costs waiting, not memory."""

    def __init__(self) -> None:
        self._decoding = threading.BoundedSemaphore(os.cpu_count() or 1)

    def signature(self, data: bytes) -> Signature:
        """As ``engine.signature``."""
        with self._decoding:
            return engine.signature(data)

    def signature_and_variants(self, data: bytes, *, mirrored: bool) -> tuple[Signature, Views]:
        """As ``engine.variants.signature_and_variants``."""
        with self._decoding:
            return signature_and_variants(data, mirrored=mirrored)

    def compare(self, first: bytes, second: bytes) -> float:
        """As ``engine.compare``."""
        with self._decoding:
            return engine.compare(first, second)

    def thumbnail(self, data: bytes, note: str) -> bytes:
        """As ``engine.thumbnail.thumbnail``."""
        with self._decoding:
            return thumbnail(data, note)

    def overlap(self, first: bytes, second: bytes, mode: str, *, all_orientations: bool) -> Overlap:
        """As ``engine.overlap.overlap``."""
        with self._decoding:
            return overlap(first, second, mode, all_orientations=all_orientations)


@dataclass(frozen=True, slots=True)
class Options:
    """What of the images found an answer shall hold."""

    all_orientations: bool = True
    mirrored: bool = False
    """Without ``all_orientations``: also mirrored."""
    thorough: bool = False
    min_score: float | None = None
    """Least score; None for image-match's own threshold."""
    wanted: dict[str, Json] | None = None
    """What the metadata must contain."""
    offset: int = 0
    limit: int | None = None


class Matcher:
    """Add, search and compare images given as encoded bytes.

    Methods raise ``BadImageError``, ``OverloadedError`` and ``StoreUnavailableError``.
    """

    def __init__(self, store: Store, decoder: Decoder | None = None, *, pictures: bool = False) -> None:
        """With ``pictures`` records carry thumbnails."""
        self.store = store
        self._pictures = pictures
        self._decoder = decoder or LocalDecoder()

    def record(self, filepath: str, image: bytes, metadata: Json) -> Record:
        """``image`` as it is kept."""
        with _decoding():
            signature = self._decoder.signature(image)
        digest = hashlib.sha256(image).hexdigest()
        return Record(filepath, signature, digest, metadata, self._thumbnail(image, digest))

    def _thumbnail(self, image: bytes, digest: str) -> bytes | None:
        """One that cannot be made is only missed: the image can be added all the same."""
        if not self._pictures:
            return None
        try:
            with stage("decode"):
                return self._decoder.thumbnail(image, digest)
        except MatchError as error:
            log.warning("No thumbnail was made: %s", error)
            return None

    def add(self, record: Record, *, if_new: bool = False, unless_similar: float | None = None) -> None:
        """Keep ``record``, replacing what was at its filepath in one step.

        ``ConflictError`` with ``if_new`` where the filepath is taken, and with ``unless_similar`` where an
        image of at least that score is stored at another one. Of two similar images added at the same moment
        at least one is refused: each is looked for again when it can be seen, and withdrawn if it was second.
        """
        if unless_similar is not None:
            self._refuse_similar(record, unless_similar)
        with stage("store"):
            new = self.store.add_new(record) if if_new or unless_similar is not None else None
            if new is None:
                if if_new:
                    raise ConflictError("An image is stored at that filepath already.")
                self.store.add(record)
        if new is not None and unless_similar is not None:
            try:
                self._refuse_similar(record, unless_similar)
            except ConflictError:
                self.store.withdraw(record.filepath, new)
                raise

    def _refuse_similar(self, record: Record, score: float) -> None:
        for match in self._near(record.signature, Options(min_score=score), enough=2):
            if match.filepath != record.filepath:
                raise ConflictError(
                    f"The stored image {match.filepath} is similar: its score is {match.score:.1f}."
                )

    def search(self, image: bytes, options: Options) -> list[Match]:
        """Stored images similar to ``image``, best first.

        With ``thorough`` also those of which it seems to be a larger crop, a slightly turned or a framed
        copy, as view ``GUESSED``. What is found without is found as well, with at least the same score, but
        for scores up to 55.5 that nothing else confirms.
        """
        if options.thorough:
            return _chosen(self._thorough(image, options), options)
        with _decoding():
            signature = self._decoder.signature(image)
        return _chosen(self._near(signature, options, _enough(options)), options)

    def _thorough(self, image: bytes, options: Options) -> list[Match]:
        with _decoding():
            signature, guessed = self._decoder.signature_and_variants(
                image, mirrored=options.all_orientations
            )
        found = self._near(signature, options, None)
        if not len(guessed):
            return found
        with stage("store"):
            more = self.store.search(guessed, cutoff=min(VARIANT_CUTOFF, _cutoff(options.min_score)))
        return _nearest(found, [replace(match, view=GUESSED) for match in more])

    def search_stored(self, filepath: str, options: Options, *, itself: bool = False) -> list[Match]:
        """Stored images similar to the one at ``filepath``, which is left out unless ``itself`` is wanted.

        ``MissingError`` if there is none.
        """
        enough = _enough(options)
        found = self._near(self.stored(filepath).record.signature, options, enough and enough + 1)
        return _chosen((match for match in found if itself or match.filepath != filepath), options)

    def stored(self, filepath: str) -> Stored:
        """What ``filepath`` holds; ``MissingError`` for nothing."""
        with stage("store"):
            stored = self.store.get(filepath)
        if stored is None:
            raise MissingError("No image is stored at that filepath.")
        return stored

    def everything(self, wanted: dict[str, Json] | None, after: str | None = None) -> Iterator[list[Stored]]:
        """All images whose metadata contains ``wanted``, page by page in order of their filepaths.

        With ``after`` only those whose filepaths follow it.
        """
        while page := self.store.page(after, PAGE):
            yield [one for one in page if wanted is None or contains(one.record.metadata, wanted)]
            if len(page) < PAGE:
                return
            after = page[-1].record.filepath

    def compare(self, first: bytes, second: bytes, *, mirrored: bool = False) -> float:
        """Score from 0 to 100; 100 exactly where the signatures are equal.

        A flat image scores 100 against the same bytes and 0 against anything else. With ``mirrored`` the
        better one of the second as it is and mirrored.
        """
        with _decoding():
            distance = self._decoder.compare(first, second)
            if mirrored and 0.0 < distance < 1.0:
                turned = _mirrored(self._decoder.signature(first))[1]
                distance = min(distance, engine.distance(turned, self._decoder.signature(second)))
        return score(distance)

    def overlap(self, first: bytes, second: bytes, mode: str, *, all_orientations: bool) -> Overlap:
        """A picture of ``second`` laid over ``first``, in the orientation in which they are most alike."""
        with _decoding():
            return self._decoder.overlap(first, second, mode, all_orientations=all_orientations)

    def _near(self, signature: Signature, options: Options, enough: int | None) -> list[Match]:
        some = options.mirrored and not options.all_orientations
        views = _mirrored(signature) if some else engine.views(signature, options.all_orientations)
        with stage("store"):
            return self.store.search(views, cutoff=_plain_cutoff(options), limit=enough)


def _mirrored(signature: Signature) -> Views:
    return engine.views(signature, all_orientations=True)[[0, engine.VIEW_NAMES.index("mirrored")]]


@contextmanager
def _decoding() -> Iterator[None]:
    """Count the time of decoding and why it failed."""
    with stage("decode"):
        try:
            yield
        except BadImageError as error:
            DECODE_FAILURES.labels(error.reason).inc()
            raise


def _cutoff(min_score: float | None) -> float:
    return DISTANCE_CUTOFF if min_score is None else math.nextafter(1.0 - min_score / 100.0, 2.0)


def _plain_cutoff(options: Options) -> float:
    """Of views that are no guess; where a least score is named, it holds."""
    chosen = _cutoff(options.min_score)
    return min(chosen, PLAIN_CUTOFF) if options.thorough and options.min_score is None else chosen


def _enough(options: Options) -> int | None:
    """How many of the nearest matches the answer can be made of; None where that is not known before."""
    if options.limit is None or options.wanted is not None:
        return None
    return options.offset + options.limit


def _chosen(found: Iterable[Match], options: Options) -> list[Match]:
    """The part of an answer that was asked for."""
    least, wanted = options.min_score, options.wanted
    kept = [
        match
        for match in found
        if (least is None or match.score >= least) and (wanted is None or contains(match.metadata, wanted))
    ]
    end = None if options.limit is None else options.offset + options.limit
    return kept[options.offset : end]


def _nearest(*answers: list[Match]) -> list[Match]:
    """One answer from several: each image once, with its least distance."""
    best: dict[str, Match] = {}
    for match in itertools.chain(*answers):
        known = best.get(match.filepath)
        if known is None or match.distance < known.distance:
            best[match.filepath] = match
    return rank(best.values())
