"""Story: I lose an image and restore a snapshot; and a MatchCluster lives in another one's Elasticsearch."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from stories import Namespace, picture, small_nodes, wait

CLAIM = {
    "apiVersion": "v1",
    "kind": "PersistentVolumeClaim",
    "metadata": {"name": "safe-snapshots"},
    "spec": {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}},
}
SNAPSHOTS = {"snapshots": {"repository": {"claim": {"name": "safe-snapshots"}}}}


@pytest.fixture(scope="module")
def safe(stories: Namespace) -> Iterator[Namespace]:
    """One node, and a volume for snapshots that it is given only when it runs."""
    stories.kubectl("apply", "-f", "-", input=json.dumps(CLAIM))
    stories.apply("safe", small_nodes(1))
    stories.wait_ready("safe")
    stories.apply("safe", small_nodes(1) | SNAPSHOTS)
    stories.wait_ready("safe")
    yield stories
    if not stories.lab.keep:
        stories.kubectl("delete", "matchcluster", "safe", "guest", "--ignore-not-found", "--wait=true")


def ask(safe: Namespace, kind: str, name: str, **spec: Any) -> None:
    body = {"apiVersion": "match.dev/v1alpha1", "kind": kind, "metadata": {"name": name}}
    safe.kubectl("create", "-f", "-", input=json.dumps(body | {"spec": {"cluster": "safe"} | spec}))


def follow(safe: Namespace, kind: str, name: str, phase: str) -> Any:
    """Wait until a request is over; its status."""

    def said() -> Any:
        return safe.get(kind, name).get("status", {})

    wait(lambda: said().get("phase") == phase, 120, lambda: json.dumps(said()))
    return said()


def test_an_image_that_was_deleted_comes_back_from_a_snapshot(safe: Namespace):
    with safe.api("safe") as api:
        api.add("kept.jpg", picture(110))
        ask(safe, "MatchSnapshot", "before")
        snapshot = follow(safe, "matchsnapshot", "before", "Completed")["snapshot"]
        api.delete("kept.jpg")
        api.add("new.jpg", picture(111))
        ask(safe, "MatchRestore", "back", snapshot=snapshot)
        assert "which would be lost" in follow(safe, "matchrestore", "back", "Refused")["message"]
        safe.kubectl("patch", "matchrestore", "back", "--type=merge", "-p", '{"spec": {"overwrite": true}}')
        follow(safe, "matchrestore", "back", "Completed")
        wait(lambda: api.search(picture(110)) != [], 60, lambda: str(api.paths()))
        assert api.paths() == ["kept.jpg"]
    safe.wait_ready("safe")
    assert safe.condition("safe", "SnapshotsReady")["status"] == "True"


def test_a_second_matchcluster_lives_in_the_firsts_elasticsearch(safe: Namespace):
    external = {
        "urls": [f"https://safe-es-http.{safe.name}.svc:9200"],
        "secretRef": {"name": "safe-es-elastic-user"},
        "caSecretRef": {"name": "safe-es-certificates"},
    }
    spec = {
        "index": {"name": "guests"},
        "elasticsearch": {"external": external},
        "api": {"replicas": 1, "workers": 1},
    }
    safe.apply("guest", spec)
    safe.wait_ready("guest")
    with safe.api("guest") as api:
        api.add("guest.jpg", picture(112))
        assert api.search(picture(112))[0]["filepath"] == "guest.jpg"
    with safe.api("safe") as api:
        assert api.search(picture(112)) == []
    assert safe.pods("guest", "elasticsearch") == {}
    safe.wait_ready("safe")
