"""Keys that are made rather than asked for: what exists is kept, what is missing is made anew.

So a Secret is changed by deleting it. Nothing fails meanwhile, because whatever will count next is known to
everybody who checks it long before it counts, and what counted before goes on being known for a while.
Pure: chance and time are handed in.
"""

from dataclasses import dataclass, replace
from typing import Any

from match_operator.api import MatchCluster
from match_operator.credentials import keys, keystore, trust, users
from match_operator.credentials.rolling import ENDING, Chance
from match_operator.observed import Observed, text

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a cluster's objects take from here."""

    secrets: tuple[Json, ...] = ()
    """Secrets in the order in which they are applied."""
    keystore: str = ""
    """Fingerprint of what the nodes' keystore holds of them; empty for nothing."""

    @property
    def ending(self) -> bool:
        """Whether anything is good for a while only, so that somebody has to look when it ends."""
        return any(text(item, ENDING) not in ("", "{}") for item in self.secrets)


def make(cluster: MatchCluster, seen: Observed, chance: Chance) -> Credentials:
    """The credentials that are to be; equal to those that are wherever nothing is missing or over."""
    made = keys.secrets(cluster, seen, chance)
    if cluster.security.enabled:
        made += users.secrets(cluster, seen, chance)
        made += [] if cluster.security.secret else trust.secrets(cluster, seen, chance)
    stored = keystore.secrets(cluster, seen)
    return Credentials((*made, *stored), keystore.fingerprint(stored))


def unread(cluster: MatchCluster) -> Credentials:
    """What stands for credentials where no Secret is read."""
    return Credentials(keystore=keystore.unread(cluster))


def known(seen: Observed, credentials: Credentials) -> Observed:
    """What is seen, with the Secrets as they will be: what was just made counts already."""
    made = {("Secret", item["metadata"]["name"]): item for item in credentials.secrets}
    return replace(seen, children={**seen.children, **made})


__all__ = ["Chance", "Credentials", "known", "make", "unread"]
