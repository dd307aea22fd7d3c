"""Encoded bytes to image-match's signature, bit for bit, at a small multiple of the cost of decoding.

Means are exact integer sums over the few pixels that count. image-match's floating point differs from
them in the last bits only, so its answer differs only where a value lies on the edge of a decision; there,
and only there, its own arithmetic is repeated ("guarded" arithmetic).
"""

import functools
import os
from typing import Final

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
    found = raw_signature(data, limits)
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
    differences = _differences(fast_means(frame, box))
    if _in_doubt(differences):
        differences = _differences(exact_means(frame, box))
    return from_half(_quantise(differences))


def _differences(means: NDArray[np.float64]) -> NDArray[np.float64]:
    """Grid point minus neighbour for the 272 determining values."""
    flat = means.ravel()
    return flat[_FIRST] - flat[_SECOND]


def _in_doubt(differences: NDArray[np.float64]) -> bool:
    """Whether the last bits could change the quantised values."""
    sizes = np.abs(differences)
    if np.min(np.abs(sizes - TOLERANCE)) < _DOUBT:
        return True
    sizes = np.sort(sizes[sizes >= TOLERANCE])
    if not len(sizes):
        return False
    if sizes[-1] > 1.0 - _DOUBT:
        return True
    middle = (len(sizes) - 1) // 2
    return len(sizes) > 1 and bool(sizes[middle + 1] - sizes[middle] < _DOUBT)


def _quantise(differences: NDArray[np.float64]) -> NDArray[np.int8]:
    """-2..2 by size: below the tolerance 0, up to the median 1, above it 2.

    Opposite values are exact negatives, so the sizes of half the values have the percentiles that image-match
    takes of the positive and of the negative ones.
    """
    sizes = np.abs(differences)
    sizes[sizes < TOLERANCE] = 0.0
    kept = np.sort(sizes[sizes > 0.0])
    if not len(kept):
        return np.zeros(len(sizes), dtype=np.int8)
    low, high = kept[(len(kept) - 1) // 2], kept[len(kept) // 2]
    median = high - (high - low) * 0.5  # numpy's interpolation, rounded as it rounds
    above = sizes > median
    # image-match bins in place: the 1s it has just written are in reach of the upper bin if that one
    # includes 1.0, as in pure black and white art, and become 2s.
    if median <= 1.0 <= kept[-1]:
        above = sizes > 0.0
    levels = np.where(above, 2, np.where(sizes > 0.0, 1, 0))
    return (np.sign(differences) * levels).astype(np.int8)
