"""The order of an answer, which is the same whatever store found the candidates."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from match_service.model import Match


def rank(matches: Iterable[Match]) -> list[Match]:
    """Nearest first; equal distances by filepath, so that an answer never depends on chance."""
    return sorted(matches, key=lambda match: (match.distance, match.filepath))


def nearest(distances: NDArray[np.float64], limit: int | None) -> NDArray[np.intp]:
    """Rows of the ``limit`` least distances (n,) and of all equal to the last of them; all rows for None."""
    if limit is None or limit >= len(distances):
        return np.arange(len(distances))
    if limit <= 0:
        return np.zeros(0, np.intp)
    return np.flatnonzero(distances <= np.partition(distances, limit - 1)[limit - 1])
