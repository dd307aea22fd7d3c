"""Volumes that grow, are refused to, and are kept or not, on a real API server with its controllers."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from apiserver import Bench
from match_operator.errors import ConflictError
from stories import wait

pytestmark = pytest.mark.cluster


def node_sets(count: int = 1, size: str = "1Gi", **elasticsearch: Any) -> dict[str, Any]:
    storage = {"size": size, "className": "match-static"}
    return {
        "elasticsearch": {"nodeSets": [{"name": "a", "count": count, "storage": storage}]} | elasticsearch
    }


def storage_class(*, grows: bool) -> dict[str, Any]:
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": "match-static"},
        "provisioner": "kubernetes.io/no-provisioner",
        "allowVolumeExpansion": grows,
    }


@pytest.fixture(name="volume")
def _volume(bench: Bench) -> Iterator[str]:
    """A volume made by hand, which the claim of the first node gets."""
    name = f"{bench.namespace}-volume"
    claim = {"namespace": bench.namespace, "name": "data-photos-es-a-0"}
    bench.create(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": name},
            "spec": {
                "capacity": {"storage": "1Gi"},
                "accessModes": ["ReadWriteOnce"],
                "storageClassName": "match-static",
                "hostPath": {"path": f"/var/lib/{name}"},
                "claimRef": claim,
            },
        }
    )
    yield name
    bench.lab.kubectl("delete", "pv", name, "--wait=false")
    bench.lab.kubectl("delete", "storageclass", "match-static", "--ignore-not-found")


def bound(bench: Bench) -> dict[str, Any]:
    """The first node's claim, once it has its volume."""

    def phase() -> str:
        text = bench.kubectl("get", "pvc", "data-photos-es-a-0", "--ignore-not-found", "-o", "json")
        return str(json.loads(text)["status"].get("phase")) if text else ""

    wait(lambda: phase() == "Bound", 60, phase)
    return bench.get("pvc", "data-photos-es-a-0")


def test_a_volume_grows_and_its_stateful_set_is_made_anew_for_the_next_node(bench: Bench, volume: str):
    bench.create(storage_class(grows=True))
    bench.apply(node_sets())
    bench.reconcile()
    before = bench.get("statefulset", "photos-es-a")["metadata"]["uid"]
    bound(bench)
    bench.apply(node_sets(size="2Gi"))
    bench.reconcile()
    assert bound(bench)["spec"]["resources"]["requests"]["storage"] == "2Gi"

    def made_anew() -> bool:
        bench.reconcile()
        found = bench.kubectl("get", "statefulset", "photos-es-a", "--ignore-not-found", "-o", "json")
        return bool(found) and json.loads(found)["metadata"]["uid"] != before

    wait(made_anew, 60, lambda: bench.kubectl("get", "statefulset", "-o", "yaml"))
    template = bench.get("statefulset", "photos-es-a")["spec"]["volumeClaimTemplates"][0]
    assert template["spec"]["resources"]["requests"]["storage"] == "2Gi"


def test_a_class_that_cannot_grow_is_a_sentence_and_nothing_else_waits(bench: Bench, volume: str):
    bench.create(storage_class(grows=False))
    bench.apply(node_sets())
    bench.reconcile()
    bound(bench)
    bench.apply(node_sets(size="2Gi") | {"api": {"replicas": 5}})
    bench.reconcile()
    assert "must support resize" in bench.stalled()
    assert bench.get("deployment", "photos-api")["spec"]["replicas"] == 5
    assert bench.status()["phase"] == "Stalled"
    bench.apply(node_sets())
    bench.reconcile()
    assert bench.status()["phase"] == "Creating"


def test_a_smaller_volume_is_refused_with_the_way_out(bench: Bench):
    bench.apply(node_sets(size="2Gi"))
    bench.reconcile()
    bench.apply(node_sets(size="1Gi"))
    bench.reconcile()
    assert "set storage.size to 2Gi or more, or rename the node set" in bench.stalled()


def test_volumes_are_kept_unless_the_spec_says_otherwise(bench: Bench):
    def policy() -> Any:
        return bench.get("statefulset", "photos-es-a")["spec"]["persistentVolumeClaimRetentionPolicy"]

    bench.apply(node_sets())
    bench.reconcile()
    assert policy() == {"whenDeleted": "Retain", "whenScaled": "Retain"}
    bench.apply(node_sets(volumes={"onDelete": "Delete", "onScaleDown": "Delete"}))
    bench.reconcile()
    assert policy() == {"whenDeleted": "Delete", "whenScaled": "Delete"}


def test_a_node_is_removed_only_from_the_stateful_set_that_was_seen(bench: Bench):
    bench.apply(node_sets(count=3))
    bench.reconcile()
    seen = bench.get("statefulset", "photos-es-a")
    bench.kubectl("annotate", "statefulset", "photos-es-a", "somebody=else")
    with pytest.raises(ConflictError):
        bench.kube.change(seen, {"replicas": 2})
    bench.kube.change(bench.get("statefulset", "photos-es-a"), {"replicas": 2})
    assert bench.get("statefulset", "photos-es-a")["spec"]["replicas"] == 2


def test_a_smaller_spec_takes_no_node_away_before_elasticsearch_was_asked(bench: Bench):
    bench.apply(node_sets(count=3))
    bench.reconcile()
    bench.apply(node_sets(count=1) | {"api": {"replicas": 4}})
    bench.reconcile()
    assert bench.get("statefulset", "photos-es-a")["spec"]["replicas"] == 3
    assert bench.get("deployment", "photos-api")["spec"]["replicas"] == 4
    assert bench.status()["elasticsearch"]["leaving"] == ["photos-es-a-2", "photos-es-a-1"]
