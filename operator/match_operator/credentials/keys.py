"""The API's keys: one for each scope in a Secret for people, their hashes in another for the API's pods."""

import hashlib
import json
from typing import Any, Final

from match_operator import names
from match_operator.api import MatchCluster
from match_operator.credentials.rolling import ENDING, Chance, ending, follow, secret
from match_operator.observed import Observed, text
from match_operator.resolved import GENERATED

Json = dict[str, Any]

SCOPES: Final = ("read", "write", "admin")
PREFIX: Final = "match_"
"""Both as in the service's file of keys: match_service/keys.py."""
NEXT: Final = "next-"
HEAD: Final = "# Made by match-operator from the keys in Secret {name}; changes made here are undone.\n"


def secrets(cluster: MatchCluster, seen: Observed, chance: Chance) -> list[Json]:
    """The Secret with the keys themselves, and the one with the file that the API's pods mount.

    The latter also holds the keys that come next, which no pod mounts: deleting the former makes them
    count at once, and the old ones for an hour more; deleting both leaves nothing good of either.
    """
    if cluster.api.auth.mode != GENERATED:
        return []
    shown = seen.secret(names.api_key(cluster.name))
    registry = seen.secret(names.api_keys(cluster.name))
    current, after = {}, {}
    for scope in SCOPES:
        known, successor = text(shown, scope).strip(), text(registry, NEXT + scope)
        current[scope], after[scope] = follow(known, successor, lambda: PREFIX + chance.token())
    good = [_entry(scope, key) for keys in (current, after) for scope, key in keys.items()]
    before = [line for line in text(registry, names.KEYS_FILE).splitlines() if not line.startswith("#")]
    old = ending(before, good, text(registry, ENDING), chance.now)
    lines = good + [f"# Good until {old[entry]}:\n{entry}" for entry in sorted(old)]
    hidden = {NEXT + scope: key for scope, key in after.items()}
    hidden |= {
        names.KEYS_FILE: HEAD.format(name=names.api_key(cluster.name)) + "\n".join(lines) + "\n",
        ENDING: json.dumps(old, sort_keys=True),
    }
    return [
        secret(cluster.name, names.API, names.api_key(cluster.name), current),
        secret(cluster.name, names.API, names.api_keys(cluster.name), hidden),
    ]


def _entry(scope: str, key: str) -> str:
    """A line of the file. The name tells keys of one scope apart, and stays with the key."""
    digest = hashlib.sha256(key.encode()).hexdigest()
    return f"{scope}-{digest[:6]}:{scope}:{digest}"
