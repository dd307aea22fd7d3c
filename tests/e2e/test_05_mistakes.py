"""Story: I make a mistake, read one sentence, correct it, and it takes effect."""

import pytest

from labcluster.progress import LabError
from stories import Namespace, small_nodes


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ({"index": {"name": "other"}}, "the name of the index cannot be changed"),
        (
            {"elasticsearch": {"nodeSets": [{"name": "default", "storage": {"className": "other"}}]}},
            "the class of volumes cannot be changed",
        ),
        ({"elasticsearch": {"nodeSets": [{"name": "m", "roles": ["master"]}]}}, "needs the role data"),
        ({"api": {"autoscaling": {"min": 3, "max": 2}}}, "autoscaling.min must not exceed autoscaling.max"),
        ({"elasticsearch": {"version": "7.17.0"}}, "spec.elasticsearch.version"),
    ],
)
def test_the_api_server_refuses_with_a_sentence(photos: Namespace, spec: dict, sentence: str):
    with pytest.raises(LabError) as refusal:
        photos.patch("photos", spec)
    assert sentence in str(refusal.value)


def test_a_setting_the_operator_owns_is_a_condition_until_it_is_removed(photos: Namespace):
    nodes = small_nodes(3)["elasticsearch"]["nodeSets"][0]
    photos.patch("photos", {"elasticsearch": {"nodeSets": [nodes | {"config": {"cluster.name": "mine"}}]}})
    said = photos.wait_condition("photos", "Stalled", "config.cluster.name is set by the operator")
    assert said["reason"] == "InvalidSpec"
    assert photos.condition("photos", "Ready")["status"] == "True"
    photos.patch("photos", {"elasticsearch": {"nodeSets": [nodes]}})
    photos.wait_ready("photos")


def test_a_pod_template_the_api_server_refuses_is_a_condition_until_it_is_removed(photos: Namespace):
    photos.patch("photos", {"api": {"podTemplate": {"spec": {"restartPolicy": "Sometimes"}}}})
    photos.wait_condition("photos", "Stalled", "Sometimes")
    photos.patch("photos", {"api": {"podTemplate": None}})
    photos.wait_ready("photos")


def test_a_cluster_that_never_started_starts_once_its_image_is_corrected(stories: Namespace):
    wrong = small_nodes(1)
    wrong["elasticsearch"]["image"] = "localhost/match-operator/no-such-image:1"
    stories.apply("mended", wrong)
    said = stories.wait_condition("mended", "ElasticsearchReady", "ErrImage")
    assert said["status"] == "False"
    stories.apply("mended", small_nodes(1))
    stories.wait_ready("mended")
    stories.kubectl("delete", "matchcluster", "mended", "--wait=true")
