"""The operator as a process of its own, against a real API server."""

import json
from typing import Any

import pytest

from apiserver import Bench
from operators import Operators

pytestmark = pytest.mark.cluster

WRITES = ("create", "update", "patch", "delete", "deletecollection")


@pytest.fixture(name="operators")
def _operators(bench: Bench, tmp_path: Any) -> Any:
    with Operators(bench, tmp_path) as made:
        yield made


def test_only_its_own_objects_are_asked_for(bench: Bench, operators: Operators):
    """All it ever holds is what the API server sends, so what is selected there bounds its memory."""
    bench.apply()
    operators.start("one")
    operators.wait_seen("photos")
    lists = [c for c in operators.calls("one") if c["verb"] in ("list", "watch")]
    of_children = [c["requestURI"] for c in lists if c["objectRef"]["resource"] != "matchclusters"]
    assert {uri.partition("?")[0].rpartition("/")[2] for uri in of_children} >= {"pods", "configmaps"}
    assert [uri for uri in of_children if "labelSelector=match.dev%2Fcluster" not in uri] == []


def test_no_matchcluster_gets_a_finalizer(bench: Bench, operators: Operators):
    bench.apply()
    operators.start("one")
    operators.wait_seen("photos")
    metadata = bench.get("matchcluster", "photos")["metadata"]
    assert "finalizers" not in metadata
    assert list(json.loads(json.dumps(metadata.get("annotations", {})))) == [
        "kubectl.kubernetes.io/last-applied-configuration",
        "match.dev/resolved",
    ]
