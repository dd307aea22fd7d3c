"""The few values that travel between the service's layers."""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

Signature: TypeAlias = NDArray[np.int8]
"""648 values in -2..2: 9 x 9 grid points x 8 neighbours (Goldberg, Wong, Bern 2002)."""

Views: TypeAlias = NDArray[np.int8]
"""Signatures of one image seen in k orientations, shape (k, 648); row 0 is the identity."""


@dataclass(frozen=True, slots=True)
class Record:
    """One image as a store keeps it; ``filepath`` is its identity."""

    filepath: str
    signature: Signature
    sha256: str
    metadata: Json = None


@dataclass(frozen=True, slots=True)
class Stored:
    """An image as a store gives it back."""

    record: Record
    added: float
    """When it was kept, in seconds since 1970."""


@dataclass(frozen=True, slots=True)
class Match:
    """One stored image that lies within the cutoff of the query."""

    filepath: str
    distance: float
    view: int
    """Row of the query's views that came closest."""
    metadata: Json = None

    @property
    def score(self) -> float:
        """100 for an equal signature, 0 for an opposite one, as the Match API reports it."""
        return (1.0 - self.distance) * 100.0
