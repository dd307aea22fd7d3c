"""A real Kubernetes with this checkout's operator, for the user stories.

The operator watches only the stories' own namespaces, so that they may run while a demo is up.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from labcluster.cluster import Cluster
from stories import Namespace, cleanup, install_operator, small_nodes

ROOT = Path(__file__).parents[2]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.cluster)


@pytest.fixture(scope="session")
def lab() -> Cluster:
    """The local cluster, or yours where CLUSTER names its context."""
    return Cluster.up()


@pytest.fixture(scope="session")
def operator(lab: Cluster) -> Iterator[Cluster]:
    """The operator of this checkout, watching the stories' namespaces."""
    cleanup(lab, wait=True)
    install_operator(lab)
    yield lab
    if not lab.keep:
        cleanup(lab, wait=False)


@pytest.fixture(scope="session")
def stories(operator: Cluster) -> Namespace:
    """The namespace of the stories' MatchClusters."""
    return Namespace(operator, "match-e2e")


@pytest.fixture(scope="session")
def photos(stories: Namespace) -> Namespace:
    """A MatchCluster of three nodes, shared by the stories that leave it as it was."""
    stories.apply("photos", small_nodes(3))
    stories.wait_ready("photos")
    return stories


@pytest.fixture
def room(stories: Namespace) -> Namespace:
    """The namespace without the shared MatchCluster, for the last stories, which need its memory."""
    stories.kubectl("delete", "matchcluster", "photos", "--ignore-not-found", "--wait=true")
    return stories
