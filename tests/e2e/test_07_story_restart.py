"""Story: I change Elasticsearch, think better of it, and make a mistake, while people search and add."""

from stories import Namespace, kill_operator, small_nodes, wait
from traffic import traffic

LIMIT = {"indices.breaker.total.limit": "85%"}


def uids(photos: Namespace) -> dict[str, str]:
    return {name: pod["metadata"]["uid"] for name, pod in photos.pods("photos", "elasticsearch").items()}


def nodes(**fields) -> list[dict]:
    return small_nodes(3, **fields)["elasticsearch"]["nodeSets"]


def test_a_change_is_rolled_out_and_taken_back_half_way_though_the_operator_dies(photos: Namespace):
    photos.wait_ready("photos")
    before = uids(photos)
    asked = photos.get("matchcluster", "photos")["spec"]["elasticsearch"]["nodeSets"]
    with traffic(photos, "photos") as seen:
        photos.patch("photos", {"elasticsearch": {"nodeSets": nodes(config=LIMIT)}})
        wait(lambda: uids(photos) != before, 120, lambda: str(photos.status("photos")))
        kill_operator(photos.lab)
        photos.patch("photos", {"elasticsearch": {"nodeSets": asked}})
        photos.wait_ready("photos")
    after = uids(photos)
    assert any(after[name] == uid for name, uid in before.items()), (
        "what was reverted in time is not restarted"
    )
    assert seen.told() == {"settings": {}, "exclusions": []}
    seen.check("a change taken back half way, the operator killed")


def test_a_wrong_image_stops_at_the_first_node_and_a_corrected_one_goes_on(photos: Namespace):
    with traffic(photos, "photos") as seen:
        photos.patch("photos", {"elasticsearch": {"image": "localhost/match-operator/no-such-image:1"}})
        photos.wait_condition("photos", "ElasticsearchReady", "ErrImage", 120)
        assert photos.status("photos")["elasticsearch"]["readyNodes"] == 2
        photos.patch("photos", {"elasticsearch": {"image": ""}})
        photos.wait_ready("photos")
    assert seen.told() == {"settings": {}, "exclusions": []}
    seen.check("a wrong image, corrected")
