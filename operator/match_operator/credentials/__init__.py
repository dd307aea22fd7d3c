"""Keys that are made rather than asked for: what exists is kept, what is missing is made anew.

So a Secret is changed by deleting it. Nothing fails meanwhile, because whatever will count next is known to
everybody who checks it long before it counts, and what counted before goes on being known for a while.
Pure: chance and time are handed in.
"""

from dataclasses import dataclass
from typing import Any

from match_operator.api import MatchCluster
from match_operator.credentials import keys
from match_operator.credentials.rolling import Chance
from match_operator.observed import Observed

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a cluster's objects take from here."""

    secrets: tuple[Json, ...] = ()
    """Secrets in the order in which they are applied."""


def make(cluster: MatchCluster, seen: Observed, chance: Chance) -> Credentials:
    """The credentials that are to be; equal to those that are wherever nothing is missing or over."""
    return Credentials(tuple(keys.secrets(cluster, seen, chance)))


__all__ = ["Chance", "Credentials", "make"]
