"""Story: I make the cluster smaller and larger and rename its nodes, while people search and add."""

import os

import pytest

from stories import Namespace, kill_operator, small_nodes, wait
from traffic import NOTHING, measured

pytestmark = pytest.mark.skipif(
    "RELIABILITY" not in os.environ, reason="minutes long: `make reliability` tells it"
)


def test_three_nodes_become_one_though_the_operator_dies(photos: Namespace):
    photos.wait_ready("photos")
    with measured(photos, "photos", "3 nodes become 1, the operator killed") as seen:
        photos.change_nodes("photos", count=1)
        wait(
            lambda: len(photos.pods("photos", "elasticsearch")) < 3, 180, lambda: str(photos.status("photos"))
        )
        kill_operator(photos.lab)
        photos.wait_ready("photos")
        assert list(photos.pods("photos", "elasticsearch")) == ["photos-es-default-0"]
        assert seen.told() == NOTHING


def test_one_node_becomes_three(photos: Namespace):
    if photos.node_sets("photos")[0]["count"] != 1:
        photos.change_nodes("photos", count=1)
    photos.wait_ready("photos")
    with measured(photos, "photos", "1 node becomes 3") as seen:
        photos.change_nodes("photos", count=3)
        photos.wait_ready("photos")
    assert seen.told() == NOTHING


def test_a_renamed_node_set_is_a_move_to_new_volumes(stories: Namespace):
    spec = small_nodes(1, name="old")
    spec["elasticsearch"] |= {"volumes": {"onScaleDown": "Delete"}}
    stories.apply("moving", spec)
    stories.wait_ready("moving")
    with measured(stories, "moving", "a node set renamed") as seen:
        stories.change_nodes("moving", name="new")
        stories.wait_ready("moving")
    selector = ("-l", "match.dev/cluster=moving")
    assert [p["metadata"]["name"] for p in stories.get("pvc", "", *selector)["items"]] == [
        "data-moving-es-new-0"
    ]
    assert [s["metadata"]["name"] for s in stories.get("statefulset", "", *selector)["items"]] == [
        "moving-es-new"
    ]
    assert seen.told() == NOTHING
    stories.kubectl("delete", "matchcluster", "moving", "--wait=true")
