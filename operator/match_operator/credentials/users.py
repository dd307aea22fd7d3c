"""Elasticsearch's users, in files that its nodes read themselves: no password is asked for to change one.

A user of the operator's or of the service's has a name that goes with its password, so that the next one can
be known to every node before it is used, and the last one for a while after.
"""

import base64
import functools
import hashlib
import hmac
import json
from typing import Any, Final

import yaml

import match_index
from match_operator import names
from match_operator.api import MatchCluster
from match_operator.credentials.rolling import ENDING, Chance, ending, follow, secret
from match_operator.observed import Observed, text

Json = dict[str, Any]

PEOPLE: Final = "elastic"
"""The one user whose name stays: whoever looks after Elasticsearch by hand."""
ROLES: Final = {names.OPERATOR: "match_operator", names.API: "match_api", names.MIGRATION: "match_migration"}
"""Role by component that has a user."""
NEXT: Final = "next-"
ROUNDS: Final = 1000
"""Of PBKDF2: passwords are 256 random bits, and each is checked at many requests."""


def secrets(cluster: MatchCluster, seen: Observed, chance: Chance) -> list[Json]:
    """A Secret for each user with name and password, and the one with the files that the nodes mount.

    The latter also holds the passwords that come next, which nothing mounts.
    """
    registry = seen.secret(names.elasticsearch_users(cluster.name))
    made, good, hidden = [], [], {}
    for component, role in ROLES.items():
        name = names.elasticsearch_user(cluster.name, component)
        known, successor = text(seen.secret(name), "password").strip(), text(registry, NEXT + component)
        password, after = follow(known, successor, chance.token)
        entries = [_entry(cluster, role, each) for each in (password, after)]
        good += entries
        hidden[NEXT + component] = after
        data = {"username": entries[0].split(":")[1], "password": password}
        made.append(secret(cluster.name, names.ELASTICSEARCH, name, data))
    people = names.elasticsearch_user(cluster.name, PEOPLE)
    password = text(seen.secret(people), "password").strip() or chance.token()
    data = {"username": PEOPLE, "password": password}
    made.append(secret(cluster.name, names.ELASTICSEARCH, people, data))
    before = text(registry, ENDING + "-after").splitlines()
    old = ending(before, good, text(registry, ENDING), chance.now)
    everyone = [*good, *sorted(old), f"superuser:{PEOPLE}:{_hash(cluster.uid, PEOPLE, password)}"]
    files = {
        "users": "".join(f"{e.partition(':')[2]}\n" for e in everyone),
        "users_roles": "".join(
            f"{role}:{','.join(e.split(':')[1] for e in everyone if e.startswith(role + ':'))}\n"
            for role in (*ROLES.values(), "superuser")
        ),
        "roles.yml": roles(cluster.index.name, older_api=cluster.resolved.older_api_image),
    }
    hidden |= {ENDING: json.dumps(old, sort_keys=True), ENDING + "-after": "\n".join(good)}
    registered = names.elasticsearch_users(cluster.name)
    return [*made, secret(cluster.name, names.ELASTICSEARCH, registered, files | hidden)]


FILES: Final = ("users", "users_roles", "roles.yml")
"""Those of the last Secret that are Elasticsearch's own."""


@functools.lru_cache(maxsize=256)
def roles(alias: str, *, older_api: bool = False) -> str:
    """roles.yml of a cluster whose index has this alias: what each may do, and no more.

    The service reads and writes the images' index and that of reviews of duplicates, and makes neither, but
    for an older one, which asks for the latter to be made even where it is there.
    Moving a collection also takes changing aliases, mappings and blocks of them. The operator looks after the
    whole cluster but reads nobody else's documents and looks after no user.
    """
    making = ["create_index"] if older_api else []
    own = (alias, f"{alias}-*")  # written out each time: Elasticsearch reads no references in YAML
    return yaml.safe_dump(
        {
            "match_api": {
                "indices": [
                    {
                        "names": [*own],
                        "privileges": ["read", "write", "maintenance", "monitor", "view_index_metadata"],
                    },
                    {
                        "names": [match_index.review_index(alias)],
                        "privileges": ["read", "write", "maintenance", "view_index_metadata", *making],
                    },
                ],
            },
            "match_migration": {
                "indices": [{"names": [*own, f"{match_index.badges(alias)}*"], "privileges": ["all"]}]
            },
            "match_operator": {
                "cluster": ["manage"],
                "indices": [
                    {"names": [*own, f"{match_index.badges(alias)}*"], "privileges": ["all"]},
                    {"names": [match_index.review_index(alias)], "privileges": ["create_index"]},
                    {
                        "names": ["*"],
                        "privileges": ["monitor", "maintenance", "view_index_metadata"],
                        "allow_restricted_indices": True,
                    },
                ],
            },
        },
        sort_keys=True,
    )


def _entry(cluster: MatchCluster, role: str, password: str) -> str:
    """Role, name and hash of a user; the name follows from the hash, which cannot be turned back."""
    hashed = _hash(cluster.uid, role, password)
    return f"{role}:{role.replace('_', '-')}-{hashlib.sha256(hashed.encode()).hexdigest()[:6]}:{hashed}"


@functools.lru_cache(maxsize=16384)  # each look asks for the same seven of a cluster
def _hash(cluster: str, user: str, password: str) -> str:
    """As Elasticsearch's PBKDF2 writes it. The salt follows from the rest: no look may give another one."""
    salt = hmac.digest(password.encode(), f"{cluster}/{user}".encode(), "sha256")
    made = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, ROUNDS, 32)
    return f"{{PBKDF2}}{ROUNDS}${_base64(salt)}${_base64(made)}"


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
