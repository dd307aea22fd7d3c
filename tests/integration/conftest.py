"""A real API server for the tests that need one, and a namespace in which no pod can start."""

import uuid
from collections.abc import Iterator

import pytest
from kubernetes import config as kubernetes_config

from apiserver import QUOTA, Bench
from labcluster.cluster import Cluster
from match_operator.clients.kube import Kube
from stories import ROOT


@pytest.fixture(scope="session")
def lab() -> Cluster:
    """The local cluster, or yours where CLUSTER names its context, with this checkout's schema."""
    cluster = Cluster.up()
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(ROOT / "crds"))
    return cluster


@pytest.fixture
def bench(lab: Cluster) -> Iterator[Bench]:
    """A namespace of its own and a reconciler."""
    namespace = f"match-integration-{uuid.uuid4().hex[:6]}"
    lab.kubectl("create", "namespace", namespace)
    client = kubernetes_config.new_client_from_config(str(lab.kubeconfig), context=lab.context)
    made = Bench(lab, namespace, Kube(client))
    made.create(QUOTA)
    yield made
    client.close()
    lab.kubectl("delete", "namespace", namespace, "--wait=false")
