"""The local cluster's nodes fail and come back and its volumes grow, so that stories may rely on it."""

import http.client
import json
from collections.abc import Iterator
from typing import Any

import pytest

from labcluster.cluster import Cluster
from labcluster.progress import LabError, until

pytestmark = pytest.mark.cluster
NAMESPACE = "lab-nodes"
LOST = "lab-2"
# Remembers each of its starts in its volume, and serves the volume.
PROGRAM = """
cd /data && echo started >> starts && exec python3 -m http.server 8000
"""


@pytest.fixture(scope="module")
def lab() -> Iterator[Cluster]:
    cluster = Cluster.up()
    if not cluster.local:
        pytest.skip("nodes and volumes of a cluster of your own are yours")
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    cluster.kubectl("apply", "-f", "-", input=json.dumps(namespace))
    yield cluster
    cluster.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


def _claim(name: str, storage_class: str) -> dict[str, Any]:
    return {
        "metadata": {"name": name},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": storage_class,
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }


def _start(lab: Cluster, name: str, storage_class: str) -> None:
    """One pod on the node that will be lost, with a volume of its own."""
    container = {
        "name": "server",
        "image": lab.images["service"],
        "command": ["sh", "-c", PROGRAM],
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
        "readinessProbe": {"httpGet": {"path": "/starts", "port": 8000}, "periodSeconds": 1},
    }
    pod = {
        "nodeSelector": {"kubernetes.io/hostname": LOST},
        "terminationGracePeriodSeconds": 0,
        "containers": [container],
    }
    spec = {
        "serviceName": name,
        "selector": {"matchLabels": {"app": name}},
        "template": {"metadata": {"labels": {"app": name}}, "spec": pod},
        "volumeClaimTemplates": [_claim("data", storage_class)],
    }
    body = {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": name}, "spec": spec}
    lab.kubectl("-n", NAMESPACE, "apply", "-f", "-", input=json.dumps(body))
    lab.kubectl("-n", NAMESPACE, "rollout", "status", f"statefulset/{name}", "--timeout=60s")


def _get(lab: Cluster, kind: str, name: str, path: str) -> str:
    return lab.kubectl("-n", NAMESPACE, "get", kind, name, "-o", f"jsonpath={path}")


def _starts(address: str) -> int:
    """How often the pod has started, as the volume behind its server knows."""
    connection = http.client.HTTPConnection(address, 8000, timeout=2)
    try:
        connection.request("GET", "/starts")
        return len(connection.getresponse().read().split())
    finally:
        connection.close()


def test_three_nodes_stand_in_three_zones(lab: Cluster) -> None:
    assert lab.nodes == {"lab-0": "a", "lab-1": "b", "lab-2": "c"}


def test_a_lost_node_is_silent_and_its_pods_find_their_data_when_it_is_back(lab: Cluster) -> None:
    _start(lab, "remembers", "lab")
    address = _get(lab, "pod", "remembers-0", "{.status.podIP}")
    assert _starts(address) == 1
    lab.lose_node(LOST)
    try:
        # Refused would mean that somebody is still there to refuse.
        with pytest.raises(OSError, match=r"timed out|No route to host"):
            _starts(address)
        assert lab.kubectl("get", "node", "lab-0", "-o", "name")
    finally:
        lab.restore_node(LOST)

    def started_again() -> bool:
        now = _get(lab, "pod", "remembers-0", "{.status.podIP}")
        try:
            return _starts(now) == 2
        except OSError:
            return False

    until(started_again, 60, "the pod on the restored node", lambda: lab.kubectl("get", "pods", "-A"))


def test_a_claim_grows_when_it_asks_for_more(lab: Cluster) -> None:
    _start(lab, "grows", "lab")
    more = {"spec": {"resources": {"requests": {"storage": "3Gi"}}}}
    lab.kubectl("-n", NAMESPACE, "patch", "pvc", "data-grows-0", "-p", json.dumps(more))
    until(
        lambda: _get(lab, "pvc", "data-grows-0", "{.status.capacity.storage}") == "3Gi", 20, "a grown claim"
    )
    volume = _get(lab, "pvc", "data-grows-0", "{.spec.volumeName}")
    assert lab.kubectl("get", "pv", volume, "-o", "jsonpath={.spec.capacity.storage}") == "3Gi"


def test_a_claim_of_the_class_without_growth_is_refused(lab: Cluster) -> None:
    _start(lab, "fixed", "lab-fixed")
    more = {"spec": {"resources": {"requests": {"storage": "3Gi"}}}}
    with pytest.raises(LabError, match="only dynamically provisioned pvc can be resized"):
        lab.kubectl("-n", NAMESPACE, "patch", "pvc", "data-fixed-0", "-p", json.dumps(more))


def test_a_drained_node_loses_its_pods_until_it_is_uncordoned(lab: Cluster) -> None:
    _start(lab, "moves", "lab")
    try:
        lab.drain(LOST, selector="app=moves")
        assert _get(lab, "pod", "moves-0", "{.spec.nodeName}") == ""
    finally:
        lab.uncordon(LOST)
    lab.kubectl("-n", NAMESPACE, "rollout", "status", "statefulset/moves", "--timeout=60s")
