"""Story: I change the number of shards, while people search and add, and the operator dies."""

import os

import pytest

from stories import Namespace, kill_operator, wait
from traffic import measured

pytestmark = pytest.mark.skipif(
    "RELIABILITY" not in os.environ, reason="minutes long: `make reliability` tells it"
)


def test_a_collection_moves_to_more_shards_and_back_though_the_operator_dies(photos: Namespace):
    photos.wait_ready("photos")
    first = photos.status("photos")["index"]["backing"]
    with measured(photos, "photos", "1 shard becomes 3, the operator killed"):
        photos.patch("photos", {"index": {"shards": 3}})
        wait(
            lambda: "migration" in photos.status("photos")["index"],
            60,
            lambda: str(photos.status("photos")),
        )
        kill_operator(photos.lab)
        photos.wait_ready("photos")
    second = photos.status("photos")["index"]["backing"]
    assert second > first
    with measured(photos, "photos", "3 shards become 1"):
        photos.patch("photos", {"index": {"shards": 1}})
        photos.wait_ready("photos")
    assert photos.status("photos")["index"]["backing"] > second
    assert photos.get("job", "", "-l", "match.dev/cluster=photos")["items"] == []
