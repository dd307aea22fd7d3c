"""Story: my Kubernetes has fewer nodes than my cluster, and losing one of them loses no image."""

import os
from collections import defaultdict

import pytest

from door import door
from stories import Namespace, small_nodes

pytestmark = pytest.mark.skipif(
    "RELIABILITY" not in os.environ, reason="minutes long: `make reliability` tells it"
)


def on(*nodes: str) -> dict:
    """A podTemplate that brings pods to these Kubernetes nodes alone."""
    rule = {"key": "kubernetes.io/hostname", "operator": "In", "values": list(nodes)}
    terms = {"nodeSelectorTerms": [{"matchExpressions": [rule]}]}
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}
    return {"spec": {"affinity": affinity}}


def test_three_nodes_on_two_kubernetes_nodes_have_no_two_copies_on_one(room: Namespace):
    two = list(room.lab.nodes)[:2]
    room.apply("packed", small_nodes(3, podTemplate=on(*two)) | {"index": {"shards": 3}})
    room.wait_ready("packed")
    with door(room, "packed") as elasticsearch:
        rows = elasticsearch.ask("/_cat/shards", h="index,shard,node", format="json")
    where = {name: pod["spec"]["nodeName"] for name, pod in room.pods("packed", "elasticsearch").items()}
    assert set(where.values()) == set(two)
    hosts = defaultdict(list)
    for row in rows:
        hosts[row["index"], row["shard"]].append(where[row["node"]])
    assert [key for key, found in hosts.items() if len(set(found)) != len(found)] == []
    room.kubectl("delete", "matchcluster", "packed", "--wait=true")
