"""Story: I raise the version of Elasticsearch, while people search and add."""

import os

import pytest

from labcluster import distribution
from stories import Namespace, small_nodes
from traffic import NOTHING, measured

pytestmark = pytest.mark.skipif(
    "RELIABILITY" not in os.environ, reason="minutes long: `make reliability` tells it"
)
NAME = "upgrade"


def test_a_newer_version_is_rolled_out_node_by_node(room: Namespace):
    if not room.lab.local:
        pytest.skip("which versions a cluster of your own can pull is not known")
    version, image = room.lab.older_elasticsearch
    spec = small_nodes(3)
    spec["elasticsearch"] |= {"version": version, "image": image}
    room.apply(NAME, spec)
    room.wait_ready(NAME)
    assert room.status(NAME)["elasticsearch"]["version"] == version
    newer = {"version": distribution.VERSION, "image": room.lab.images["elasticsearch"]}
    with measured(room, NAME, "a newer version of Elasticsearch") as seen:
        room.patch(NAME, {"elasticsearch": newer})
        room.wait_ready(NAME)
    assert room.status(NAME)["elasticsearch"]["version"] == distribution.VERSION
    assert seen.told() == NOTHING
    if not room.lab.keep:
        room.kubectl("delete", "matchcluster", NAME, "--wait=true")
