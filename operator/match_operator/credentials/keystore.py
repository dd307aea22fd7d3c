"""What gets into the keystore of Elasticsearch's nodes: the user's credentials for the store of snapshots.

Nodes read a Secret of ours that has the keystore's settings by name, made of the user's. While that one is
missing or cannot be used, ours stays as it is: a node that restarts meanwhile still starts, and starts as the
others did. A keystore is read when a node starts, so its fingerprint is part of the pods.
"""

import hashlib
import json
from typing import Any

from match_operator import names, stores
from match_operator.api import MatchCluster
from match_operator.credentials.rolling import secret
from match_operator.observed import Observed, text
from match_operator.stores import ObjectStore

Json = dict[str, Any]


def secrets(cluster: MatchCluster, seen: Observed) -> list[Json]:
    """The Secret that the nodes mount; none where none is asked for or none could be made yet."""
    store = _store(cluster)
    if store is None:
        return []
    if problem(cluster, seen):
        live = seen.secret(names.elasticsearch_keystore(cluster.name))
        entries = {key: text(live, key) for key in (live or {}).get("data") or {}}
    else:
        entries = store.keystore(_given(store, seen))
    if not entries:
        return []
    name = names.elasticsearch_keystore(cluster.name)
    return [secret(cluster.name, names.ELASTICSEARCH, name, entries)]


def problem(cluster: MatchCluster, seen: Observed) -> str:
    """What is wrong with the user's Secret, as a sentence; empty where nothing is."""
    store = _store(cluster)
    if store is None:
        return ""
    field = f"snapshots.repository.{store.type}.credentialsSecretRef"
    if seen.given.get(store.secret) is None:
        return f"there is no Secret {store.secret}, which {field} names"
    if wrong := stores.flaw(store.type, _given(store, seen)):
        return f"the Secret {store.secret}, which {field} names, {wrong}"
    return ""


def fingerprint(made: list[Json]) -> str:
    """Of what the nodes' keystore is to hold; empty for nothing."""
    return _digest([item["data"] for item in made]) if made else ""


def unread(cluster: MatchCluster) -> str:
    """What stands for the fingerprint where Secrets are not read: it changes when others are asked for."""
    store = _store(cluster)
    return _digest([store.type, store.client, store.secret]) if store else ""


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def _store(cluster: MatchCluster) -> ObjectStore | None:
    """The object store whose credentials the spec names, for nodes of ours."""
    store = cluster.snapshots.store if cluster.snapshots else None
    return store if store and store.secret and not cluster.external else None


def _given(store: ObjectStore, seen: Observed) -> dict[str, str]:
    """What the user's Secret holds. A line break at the end is the editor's and no part of a key."""
    found = seen.given.get(store.secret) or {}
    return {key: text(found, key).strip() for key in found.get("data") or {}}
