"""Story: I change the number of shards, while people search and add, and the operator dies."""

import os

import pytest

from stories import Namespace, kill_operator, wait
from traffic import measured

pytestmark = pytest.mark.skipif(
    "RELIABILITY" not in os.environ, reason="minutes long: `make reliability` tells it"
)


def backing(photos: Namespace) -> str:
    """The index behind the alias."""
    name: str = photos.status("photos")["index"]["backing"]
    return name


def check_moved(photos: Namespace, before: str) -> None:
    assert backing(photos) > before
    assert photos.get("job", "", "-l", "match.dev/cluster=photos")["items"] == []


def test_a_collection_moves_to_more_shards_though_the_operator_dies(photos: Namespace):
    photos.wait_ready("photos")
    before = backing(photos)
    with measured(photos, "photos", "1 shard becomes 3, the operator killed"):
        photos.patch("photos", {"index": {"shards": 3}})
        wait(
            lambda: "migration" in photos.status("photos")["index"],
            60,
            lambda: str(photos.status("photos")),
        )
        kill_operator(photos.lab)
        photos.wait_ready("photos")
    check_moved(photos, before)


def test_a_collection_moves_to_fewer_shards(photos: Namespace):
    asked = photos.get("matchcluster", "photos")["spec"]["index"]["shards"]
    if asked != 3:
        photos.patch("photos", {"index": {"shards": 3}})
    photos.wait_ready("photos")
    before = backing(photos)
    with measured(photos, "photos", "3 shards become 1"):
        photos.patch("photos", {"index": {"shards": 1}})
        photos.wait_ready("photos")
    check_moved(photos, before)
