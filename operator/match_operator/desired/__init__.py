"""Every Kubernetes object a MatchCluster should have, as plain dicts. Pure: no I/O, clock or chance."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from match_operator import names
from match_operator.api import MatchCluster
from match_operator.credentials import Credentials, unread
from match_operator.desired import api, elasticsearch, migration, network

Json = dict[str, Any]


def build(
    cluster: MatchCluster,
    initial_masters: tuple[str, ...],
    replicas: Mapping[str, int] | None = None,
    move: migration.Move | None = None,
    credentials: Credentials | None = None,
) -> list[Json]:
    """The objects in the order in which they are applied.

    ``initial_masters`` are the nodes that may form a new Elasticsearch cluster; empty once one has formed.
    ``replicas`` by name of StatefulSet win over the spec's counts: nodes are removed by plan/drain.py alone.
    ``move`` is what the collection has to do because of the spec, if anything. Without ``credentials`` the
    Secrets are left out, and only they.
    """
    known = credentials or unread(cluster)
    nodes = (
        []
        if cluster.external
        else elasticsearch.build(cluster, initial_masters, replicas or {}, known.keystore)
    )
    objects = [*known.secrets, *network.build(cluster), *nodes, *api.build(cluster)]
    if move:
        objects.append(migration.job(cluster, move))
    return [_finish(cluster, item) for item in objects]


def _finish(cluster: MatchCluster, item: Json) -> Json:
    """Add namespace, owner, and the fingerprint that tells a dropped field from a foreign one."""
    metadata = item["metadata"] | {
        "namespace": cluster.namespace,
        "ownerReferences": [
            {
                "apiVersion": names.API_VERSION,
                "kind": names.KIND,
                "name": cluster.name,
                "uid": cluster.uid,
                "controller": True,
            }
        ],
    }
    spec = item.get("spec", {})
    if item["kind"] == "StatefulSet":
        # Nodes come and go one by one; a field that is always there can be compared with the live one.
        spec = {key: value for key, value in spec.items() if key != "replicas"}
    text = json.dumps(item | {"metadata": metadata, "spec": spec}, sort_keys=True)
    fingerprint = hashlib.sha256(text.encode()).hexdigest()
    annotations = metadata.get("annotations", {}) | {names.APPLIED_ANNOTATION: fingerprint[:16]}
    return item | {"metadata": metadata | {"annotations": annotations}}
