"""Story: I make the cluster smaller and larger and rename its nodes, while people search and add."""

import os

import pytest

from stories import Namespace, kill_operator, small_nodes, wait
from traffic import traffic

pytestmark = pytest.mark.skipif(
    "RELIABILITY" not in os.environ, reason="minutes long: `make reliability` tells it"
)


def nodes(count: int, **fields) -> dict:
    return {"elasticsearch": {"nodeSets": small_nodes(count, **fields)["elasticsearch"]["nodeSets"]}}


def test_three_nodes_become_one_and_three_again_though_the_operator_dies(photos: Namespace):
    photos.wait_ready("photos")
    with traffic(photos, "photos") as seen:
        photos.patch("photos", nodes(1))
        wait(
            lambda: len(photos.pods("photos", "elasticsearch")) < 3, 180, lambda: str(photos.status("photos"))
        )
        kill_operator(photos.lab)
        photos.wait_ready("photos")
        assert list(photos.pods("photos", "elasticsearch")) == ["photos-es-default-0"]
        assert seen.told() == {"settings": {}, "exclusions": []}
        photos.patch("photos", nodes(3))
        photos.wait_ready("photos")
    assert seen.told() == {"settings": {}, "exclusions": []}
    seen.check("3 -> 1 -> 3 nodes, the operator killed")


def test_a_renamed_node_set_is_a_move_to_new_volumes(stories: Namespace):
    volumes = {"volumes": {"onScaleDown": "Delete"}}
    before = small_nodes(1, name="old")
    before["elasticsearch"] |= volumes
    stories.apply("moving", before)
    stories.wait_ready("moving")
    with traffic(stories, "moving") as seen:
        after = small_nodes(1, name="new")
        after["elasticsearch"] |= volumes
        stories.apply("moving", after)
        stories.wait_ready("moving")
    selector = ("-l", "match.dev/cluster=moving")
    assert [p["metadata"]["name"] for p in stories.get("pvc", "", *selector)["items"]] == [
        "data-moving-es-new-0"
    ]
    assert [s["metadata"]["name"] for s in stories.get("statefulset", "", *selector)["items"]] == [
        "moving-es-new"
    ]
    assert seen.told() == {"settings": {}, "exclusions": []}
    seen.check("a renamed node set")
    stories.kubectl("delete", "matchcluster", "moving", "--wait=true")
