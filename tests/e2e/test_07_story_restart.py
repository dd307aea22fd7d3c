"""Story: I change Elasticsearch, think better of it, and make a mistake, while people search and add."""

from stories import Namespace, kill_operator, wait
from traffic import NOTHING, measured

LIMIT = {"indices.breaker.total.limit": "85%"}


def uids(photos: Namespace) -> dict[str, str]:
    return {name: pod["metadata"]["uid"] for name, pod in photos.pods("photos", "elasticsearch").items()}


def test_a_change_is_rolled_out_and_taken_back_half_way_though_the_operator_dies(photos: Namespace):
    photos.wait_ready("photos")
    before, asked = uids(photos), photos.node_sets("photos")
    with measured(photos, "photos", "a setting changed and taken back half way, the operator killed") as seen:
        photos.change_nodes("photos", config=LIMIT)
        wait(lambda: uids(photos) != before, 120, lambda: str(photos.status("photos")))
        kill_operator(photos.lab)
        photos.patch("photos", {"elasticsearch": {"nodeSets": asked}})
        photos.wait_ready("photos")
    after = uids(photos)
    assert any(after[name] == uid for name, uid in before.items()), (
        "what was reverted in time is not restarted"
    )
    assert seen.told() == NOTHING


def test_a_wrong_image_stops_at_the_first_node_and_a_corrected_one_goes_on(photos: Namespace):
    photos.wait_ready("photos")
    with measured(photos, "photos", "a wrong image, corrected") as seen:
        photos.patch("photos", {"elasticsearch": {"image": "localhost/match-operator/no-such-image:1"}})
        photos.wait_condition("photos", "ElasticsearchReady", "ErrImage", 120)
        assert photos.status("photos")["elasticsearch"]["readyNodes"] == 2
        photos.patch("photos", {"elasticsearch": {"image": ""}})
        photos.wait_ready("photos")
    assert seen.told() == NOTHING
