"""Answers as typed values. Fields this version does not know are passed over, so newer services work."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"


@dataclass(frozen=True, slots=True)
class Match:
    """A stored image like the one asked for."""

    filepath: str
    score: float
    """100 for an equal signature; the service returns none below 55."""
    metadata: Json = None
    orientation: str | None = None
    """How the stored image is turned, where the service says so."""

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "Match":
        """From a row of /search."""
        return cls(
            str(row["filepath"]), float(row["score"]), row.get("metadata"), _text(row.get("orientation"))
        )


@dataclass(frozen=True, slots=True)
class Comparison:
    """How alike two images are."""

    score: float
    """100 for an equal signature, 0 for nothing in common."""
    orientation: str | None = None
    """How the second is turned, where the service says so."""

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "Comparison":
        """From the row of /compare."""
        return cls(float(row["score"]), _text(row.get("orientation")))


@dataclass(frozen=True, slots=True)
class Overlap:
    """A picture of two images, the second laid over the first."""

    jpeg: bytes
    score: float
    """100 for an equal signature, in the orientation in which they are most alike."""
    orientation: str
    """How the second is turned beside the first."""

    @classmethod
    def of(cls, body: bytes, headers: Mapping[str, str]) -> "Overlap":
        """From the answer of /overlap."""
        return cls(body, float(headers["Match-Score"]), headers["Match-Orientation"])


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
