"""Encoded bytes to image-match's signature, bit for bit, at a small multiple of the cost of decoding.

Means are exact integer sums over the few pixels that count. image-match's floating point differs from
them in the last bits only, so its answer differs only where a value lies on the edge of a decision; there,
and only there, its own arithmetic is repeated ("guarded" arithmetic).
"""

import functools
import os
from typing import Final, overload

import numpy as np
from numpy.typing import NDArray

from match_service.engine import reference
from match_service.engine.decode import DEFAULT_LIMITS, Frame, Limits, decode
from match_service.engine.grid import boxes, exact_means, fast_means
from match_service.engine.layout import HALF, NEIGHBOUR, POINT, from_half
from match_service.engine.window import window
from match_service.errors import FeaturelessImageError
from match_service.model import Signature

ENGINES: Final = ("native", "fast", "reference")
FAST_SIDE: Final = 480
"""Pixels that "fast" leaves of the shorter side of a JPEG, at least."""

TOLERANCE: Final = 2 / 255.0
"""Grey levels nearer than this count as equal."""
_DOUBT: Final = 1e-11
"""Far more than the two arithmetics can differ by (about 1e-14), far less than a step between images."""

_FIRST: Final = POINT[HALF]
_SECOND: Final = NEIGHBOUR[HALF]


def signature(data: bytes, limits: Limits = DEFAULT_LIMITS) -> Signature:
    """Signature of an encoded image, shape (648,).

    ``BadImageError`` if it cannot be decoded within ``limits``, ``FeaturelessImageError`` if it is flat.
    """
    return _with_features(raw_signature(data, limits))


def signature_and_frame(data: bytes, limits: Limits = DEFAULT_LIMITS) -> tuple[Signature, Frame]:
    """As ``signature``, with the whole frame beside it.

    One decoding serves both, but for engines that make their signatures of something else than that frame.
    """
    if _engine() != "native":
        return signature(data, limits), decode(data, limits)
    frame = decode(data, limits)
    return _with_features(frame_signature(frame)), frame


def _with_features(found: Signature) -> Signature:
    if not found.any():
        raise FeaturelessImageError(
            "The image is flat: it has no differences in brightness by which it could be found."
        )
    return found


def raw_signature(data: bytes, limits: Limits = DEFAULT_LIMITS) -> Signature:
    """As ``signature``, but 648 zeros for a flat image."""
    if _engine() == "reference":
        return reference.raw_signature(data, limits)
    return frame_signature(decode(data, limits, shrink_to=FAST_SIDE if _engine() == "fast" else None))


def select(name: str) -> None:
    """Use the engine ``name`` from now on in this process.

    "native" gives image-match's signatures; "fast" decodes JPEG at a fraction of its size, whose signatures
    are near those but not the same, so it must be used for adding and searching alike; "reference" is
    image-match itself.

    Without a call the environment variable ``MATCH_ENGINE`` decides, and without that "native" is used.
    ``ValueError`` for another name, ``ReferenceMissingError`` if image-match is not installed.
    """
    if name not in ENGINES:
        raise ValueError(f"MATCH_ENGINE is {name!r}; it can be {', '.join(ENGINES[:-1])} or {ENGINES[-1]}.")
    if name == "reference":
        reference.load()
    _engine.cache_clear()
    _selected[:] = [name]


_selected: list[str] = []


@functools.cache
def _engine() -> str:
    if not _selected:
        select(os.environ.get("MATCH_ENGINE", "native"))
    return _selected[0]


def frame_signature(frame: Frame) -> Signature:
    """Signature of decoded pixels, 648 zeros if they are flat."""
    box = boxes(frame, window(frame))
    half = _quantise(_differences(fast_means(frame, box)), guarded=True)
    if half is None:
        half = _quantise(_differences(exact_means(frame, box)))
    return from_half(half)


def _differences(means: NDArray[np.float64]) -> NDArray[np.float64]:
    """Grid point minus neighbour for the 272 determining values."""
    flat = means.ravel()
    return flat[_FIRST] - flat[_SECOND]


@overload
def _quantise(differences: NDArray[np.float64]) -> NDArray[np.int8]: ...
@overload
def _quantise(differences: NDArray[np.float64], *, guarded: bool) -> NDArray[np.int8] | None: ...
def _quantise(differences: NDArray[np.float64], *, guarded: bool = False) -> NDArray[np.int8] | None:
    """-2..2 by size: below the tolerance 0, up to the median 1, above it 2; if ``guarded``, None where the
    last bits could change that.

    Opposite values are exact negatives, so the sizes of half the values have the percentiles that image-match
    takes of the positive and of the negative ones.
    """
    sizes = np.abs(differences)
    ordered = np.sort(sizes)
    first = int(np.searchsorted(ordered, TOLERANCE))
    kept = ordered[first:]
    if guarded and _in_doubt(ordered, first):
        return None
    if not len(kept):
        return np.zeros(len(sizes), dtype=np.int8)
    low, high = kept[(len(kept) - 1) // 2], kept[len(kept) // 2]
    median = high - (high - low) * 0.5  # numpy's interpolation, rounded as it rounds
    # image-match bins in place: the 1s it has just written are in reach of the upper bin if that one
    # includes 1.0, as in pure black and white art, and become 2s.
    above = TOLERANCE if median <= 1.0 <= kept[-1] else np.nextafter(median, np.inf)
    levels = (sizes >= TOLERANCE).view(np.int8) + (sizes >= above).view(np.int8)
    return np.negative(levels, out=levels, where=differences < 0)


def _in_doubt(ordered: NDArray[np.float64], first: int) -> bool:
    """Whether the last bits could change the quantised values; ``ordered`` sizes, of which those from
    ``first`` on reach the tolerance."""
    count = len(ordered) - first
    if first and TOLERANCE - ordered[first - 1] < _DOUBT:
        return True
    if not count:
        return False
    if ordered[first] - TOLERANCE < _DOUBT or ordered[-1] > 1.0 - _DOUBT:
        return True
    middle = first + (count - 1) // 2
    return count > 1 and bool(ordered[middle + 1] - ordered[middle] < _DOUBT)
