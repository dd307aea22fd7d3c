"""More views of a query, for copies that image-match's signature does not reach.

The signature samples 9 x 9 points of the middle 72 % of an image, so the sampled part of an original is
still there after a crop of up to a quarter, a small turn, or inside a border. What is lost is only where
it lies. Each view here guesses that: it samples the query where the original's points would be if the query
were such a copy. Images in the store stay as they are, so this costs the index nothing.
"""

import itertools
from typing import Final

import numpy as np
from numpy.typing import NDArray

from match_service.engine.decode import DEFAULT_LIMITS, Frame, Limits, decode
from match_service.engine.layout import HALF, LENGTH, NEIGHBOUR, POINT, from_half
from match_service.engine.orientations import VIEW_NAMES, views
from match_service.engine.signature import signature_and_frame
from match_service.model import Signature, Views

VARIANT_CUTOFF: Final = 0.36
"""Views by guess are tried many at a time, so they must come nearer than the one view that is no guess."""
PLAIN_CUTOFF: Final = 0.445
"""What views without a guess must come nearer than in a thorough search: a little nearer than in others,
which saves more false hits than the guesses add (docs/robustness.md)."""

Crops = tuple[tuple[float, int], ...]
"""Shares of width and height supposed lost, each with the number of places per axis that are tried."""

CROPS: Final[Crops] = ((0.1, 5), (0.2, 7))
TURNS: Final = (-6.0, -3.0, 3.0, 6.0)
"""Degrees the original may have been turned by."""
INSETS: Final = (0.07, 0.14)
"""Shares of width and height that may be a border which does not look like one."""

_SIDE: Final = 256
"""Shorter side of the reduced image that is sampled; a box has a twentieth of it."""
_TOLERANCE: Final = 2 / 255.0
_STEPS: Final = 0.05 + 0.09 * np.arange(1, 10)
_DOMINANT: Final = 0.55
_SMALLEST: Final = 0.3

_MIRRORED: Final = VIEW_NAMES.index("mirrored")

Guess = tuple[float, float, float, float, float]
"""Left, top, width and height of the supposed original in shares of the query, and its turn in degrees."""


def variants(data: bytes, limits: Limits = DEFAULT_LIMITS, *, mirrored: bool = False) -> Views:
    """Signatures (k, 648) of what an encoded image may be a copy of; k may be 0 for a flat one.

    With ``mirrored`` also of what it may be a mirrored copy of, which are twice as many.
    ``BadImageError`` if it cannot be decoded within ``limits``.
    """
    return _variants(decode(data, limits), mirrored=mirrored)


def signature_and_variants(
    data: bytes, limits: Limits = DEFAULT_LIMITS, *, mirrored: bool = False
) -> tuple[Signature, Views]:
    """What ``engine.signature`` and ``variants`` make, for the price of one decoding.

    ``BadImageError`` as from those, so also for a flat image.
    """
    own, frame = signature_and_frame(data, limits)
    return own, _variants(frame, mirrored=mirrored)


def _variants(frame: Frame, *, mirrored: bool) -> Views:
    found = signatures(reduced(frame))
    return with_mirrored(found) if mirrored else found


def signatures(grey: NDArray[np.float32], crops: Crops = CROPS) -> Views:
    """Signatures (k, 648) of all guesses but the flat ones."""
    found = sample(grey, guesses(grey, crops))
    return found[found.any(axis=1)]


def with_mirrored(found: Views) -> Views:
    """Signatures (2 k, 648): ``found``, then those of the same guesses mirrored."""
    every = [views(view, all_orientations=True)[_MIRRORED] for view in found]
    return np.concatenate([found, np.reshape(every, (-1, LENGTH))]).astype(np.int8)


def reduced(frame: Frame) -> NDArray[np.float32]:
    """Brightness 0..1 in blocks of a whole number of pixels, read band by band."""
    step = max(1, min(frame.width, frame.height) // _SIDE)
    columns = frame.width // step
    weights = np.array([0.2125, 0.7154, 0.0721], dtype=np.float32) / np.float32(255)
    bands = []
    for top in range(0, frame.height - step + 1, step):
        band = frame.rows(top, top + step)[:, : columns * step]
        means = band.reshape(step, columns, step, 3).mean(axis=(0, 2), dtype=np.float32)
        bands.append(means @ weights)
    return np.stack(bands)


def guesses(grey: NDArray[np.float32], crops: Crops = CROPS) -> list[Guess]:
    """What the original may have been: the list is fixed but for borders, which are looked for."""
    found: list[Guess] = []
    inner = trimmed(grey)
    if inner != (0.0, 0.0, 1.0, 1.0):
        found.append((*inner, 0.0))
    for share, places in crops:
        size = 1 / (1 - share)
        shifts = np.linspace(0, size - 1, places).tolist()
        found += [(-x, -y, size, size, 0.0) for x, y in itertools.product(shifts, shifts)]
    found += [(0.0, 0.0, 1.0, 1.0, turn) for turn in TURNS]
    found += [(cut / 2, cut / 2, 1 - cut, 1 - cut, 0.0) for cut in INSETS]
    return found


def trimmed(grey: NDArray[np.float32]) -> tuple[float, float, float, float]:
    """Left, top, width, height in shares of what is left when edges mostly of one shade are cut off."""
    height, width = grey.shape
    levels = np.round(grey * 64).astype(np.intp)
    top, bottom, left, right = 0, height, 0, width
    for _ in range(3):
        rows = _busy(levels[top:bottom, left:right])
        if rows is None:
            break
        top, bottom = top + rows[0], top + rows[1]
        columns = _busy(levels[top:bottom, left:right].T)
        if columns is None:
            break
        left, right = left + columns[0], left + columns[1]
    if bottom - top < _SMALLEST * height or right - left < _SMALLEST * width:
        return (0.0, 0.0, 1.0, 1.0)
    return (left / width, top / height, (right - left) / width, (bottom - top) / height)


def _busy(levels: NDArray[np.intp]) -> tuple[int, int] | None:
    """First line and end of the lines in which no shade has most of the pixels; None if there are none."""
    lines, length = levels.shape
    counts = np.bincount((levels + 65 * np.arange(lines)[:, None]).ravel(), minlength=65 * lines)
    shares = counts.reshape(lines, 65)
    # A shade on the edge between two levels counts with its neighbour.
    share = (shares[:, 1:] + shares[:, :-1]).max(axis=1) / length
    busy = np.flatnonzero(share < _DOMINANT)
    return (int(busy[0]), int(busy[-1]) + 1) if len(busy) else None


def sample(grey: NDArray[np.float32], supposed: list[Guess]) -> Views:
    """Signatures (k, 648) of ``grey`` as each guess would have it, from one table of sums."""
    height, width = grey.shape
    sums = np.zeros((height + 1, width + 1))
    np.cumsum(np.cumsum(grey, axis=0, dtype=np.float64), axis=1, out=sums[1:, 1:])
    left, top, wide, high, turn = np.array(supposed).T[:, :, None]
    rows, columns = (axis.ravel()[None, :] for axis in np.meshgrid(_STEPS, _STEPS, indexing="ij"))
    across, down = (columns - 0.5) * wide * width, (rows - 0.5) * high * height
    cosine, sine = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    x = (left + wide / 2) * width + across * cosine + down * sine
    y = (top + high / 2) * height - across * sine + down * cosine
    half = np.maximum(1.0, np.minimum(wide * width, high * height) / 40)
    x0, x1 = _span(x - half, x + half, width)
    y0, y1 = _span(y - half, y + half, height)
    means = (sums[y1, x1] - sums[y0, x1] - sums[y1, x0] + sums[y0, x0]) / ((y1 - y0) * (x1 - x0))
    return _quantised(means)


def _span(low: NDArray[np.float64], high: NDArray[np.float64], length: int) -> tuple[NDArray[np.intp], ...]:
    """Whole pixels between two edges, at least one, inside the image."""
    first = np.clip(np.round(low), 0, length - 1).astype(np.intp)
    return first, np.maximum(first + 1, np.clip(np.round(high), 1, length).astype(np.intp))


def _quantised(means: NDArray[np.float64]) -> Views:
    """Signatures (k, 648) from means (k, 81): each value's size against the median of its view."""
    differences = means[:, POINT[HALF]] - means[:, NEIGHBOUR[HALF]]
    sizes = np.abs(differences)
    signatures = []
    for row, size in zip(differences, sizes, strict=True):
        seen = size >= _TOLERANCE
        middle = np.median(size[seen]) if seen.any() else np.inf
        levels = seen.astype(np.int8) + (seen & (size > middle)).astype(np.int8)
        signatures.append(from_half((np.sign(row) * levels).astype(np.int8)))
    return np.stack(signatures)
