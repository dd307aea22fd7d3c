"""The few values that travel between the service's layers."""

from dataclasses import dataclass, field
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

SCOPES: Final = ("read", "write", "admin")
"""What a caller may be good for; each includes those before it."""

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

Signature: TypeAlias = NDArray[np.int8]
"""648 values in -2..2: 9 x 9 grid points x 8 neighbours (Goldberg, Wong, Bern 2002)."""

Views: TypeAlias = NDArray[np.int8]
"""Signatures of one image seen in k orientations, shape (k, 648); row 0 is the identity."""


def includes(scope: str, needed: str) -> bool:
    """Whether who is good for ``scope`` may do what needs ``needed``."""
    return SCOPES.index(scope) >= SCOPES.index(needed)


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom a token speaks of."""

    name: str
    scope: str
    """Empty for somebody the issuer knows, and who may do nothing here."""
    rate: str = ""

    def may(self, scope: str) -> bool:
        """Whether the token is good for what needs ``scope``."""
        return bool(self.scope) and includes(self.scope, scope)


@dataclass(frozen=True, slots=True)
class Record:
    """One image as a store keeps it; ``filepath`` is its identity."""

    filepath: str
    signature: Signature
    sha256: str
    metadata: Json = None
    thumbnail: bytes | None = field(default=None, repr=False, compare=False)
    """A small JPEG of it, where those are kept; no store has it, see ``store.pictured``."""


@dataclass(frozen=True, slots=True)
class Stored:
    """An image as a store gives it back."""

    record: Record
    added: float
    """When it was kept, in seconds since 1970."""


def score(distance: float) -> float:
    """100 for an equal signature, 0 for an opposite one, as the Match API reports it."""
    return (1.0 - distance) * 100.0


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
        """See the function ``score``."""
        return score(self.distance)
