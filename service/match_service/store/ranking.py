"""The order of an answer, which is the same whatever store found the candidates."""

from collections.abc import Iterable

from match_service.model import Match


def rank(matches: Iterable[Match]) -> list[Match]:
    """Nearest first; equal distances by filepath, so that an answer never depends on chance."""
    return sorted(matches, key=lambda match: (match.distance, match.filepath))
