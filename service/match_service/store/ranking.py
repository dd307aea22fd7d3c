"""The order of an answer, which is the same whatever store found the candidates."""

from collections.abc import Iterable, Sequence

import numpy as np

from match_service.engine import distances, packed_matrix
from match_service.model import Json, Match, Views


def rank(matches: Iterable[Match]) -> list[Match]:
    """Nearest first; equal distances by filepath, so that an answer never depends on chance."""
    return sorted(matches, key=lambda match: (match.distance, match.filepath))


def matches_among(candidates: Sequence[tuple[str, bytes, Json]], views: Views, cutoff: float) -> list[Match]:
    """Candidates (filepath, packed signature, metadata) nearer than ``cutoff`` to any view, ranked."""
    if not candidates:
        return []
    apart = distances(packed_matrix([packed for _, packed, _ in candidates]), views)
    nearest = np.argmin(apart, axis=1)
    return rank(
        Match(filepath, float(apart[i, nearest[i]]), int(nearest[i]), metadata)
        for i, (filepath, _, metadata) in enumerate(candidates)
        if apart[i, nearest[i]] < cutoff
    )
