import json

import pytest

import world
from match_operator import names
from match_operator.config import Config
from match_operator.errors import InvalidSpecError


def test_a_cluster_with_only_a_name_is_complete():
    cluster = world.cluster()
    assert [(s.name, s.count, s.roles) for s in cluster.node_sets] == [("default", 3, ("master", "data"))]
    assert (cluster.api.replicas, cluster.index.name, cluster.index_replicas) == (2, "images", 1)
    resolved = cluster.resolved
    assert resolved.elasticsearch_version == "8.19.21"
    assert (resolved.elasticsearch_image, resolved.api_image) == ("elasticsearch:8.19.21", "match-service:1")


def test_the_default_node_set_is_what_the_schema_makes_of_a_name():
    explicit = world.cluster({"elasticsearch": {"nodeSets": [{"name": "default"}]}})
    assert world.cluster().node_sets == explicit.node_sets


def test_a_newer_operator_keeps_what_an_older_one_resolved():
    kept = world.cluster().resolved.annotation
    newer = Config(elasticsearch_version="9.9.9", elasticsearch_image="new:{version}", api_image="new:2")
    cluster = world.cluster(config=newer, annotations={names.RESOLVED_ANNOTATION: kept})
    assert cluster.resolved == world.cluster().resolved


def test_a_version_in_the_spec_moves_the_image_on():
    kept = world.cluster().resolved.annotation
    spec = {"elasticsearch": {"version": "8.20.0"}}
    cluster = world.cluster(spec, annotations={names.RESOLVED_ANNOTATION: kept})
    assert cluster.resolved.elasticsearch_image == "elasticsearch:8.20.0"
    assert cluster.resolved.api_image == "match-service:1"


def test_an_image_taken_out_of_the_spec_leaves_nothing_behind():
    wrong = world.cluster({"elasticsearch": {"image": "wrong:1"}, "api": {"image": "wrong:2"}})
    mended = world.cluster(annotations={names.RESOLVED_ANNOTATION: wrong.resolved.annotation})
    assert mended.resolved == world.cluster().resolved


def test_images_in_the_spec_win():
    spec = {"elasticsearch": {"image": "mine:1"}, "api": {"image": "mine:2"}}
    resolved = world.cluster(spec).resolved
    assert (resolved.elasticsearch_image, resolved.api_image) == ("mine:1", "mine:2")


def test_replicas_never_exceed_what_the_data_nodes_have_room_for():
    one = {"elasticsearch": {"nodeSets": [{"name": "a", "count": 1}]}, "index": {"replicas": 2}}
    assert world.cluster(one).index_replicas == 0


def test_heap_is_half_of_the_memory_limit_and_bounded():
    def heap(limit):
        nodes = [{"name": "a", "resources": {"limits": {"memory": limit}}}]
        return world.cluster({"elasticsearch": {"nodeSets": nodes}}).node_sets[0].heap_bytes

    assert heap("2Gi") == 2**30
    assert heap("128Gi") == 31 * 2**30


NODE = {"name": "a"}


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        (
            {"elasticsearch": {"nodeSets": [NODE | {"config": {"cluster.name": "x"}}]}},
            "config.cluster.name is set by",
        ),
        (
            {"elasticsearch": {"nodeSets": [NODE | {"config": {"network": {"host": "x"}}}]}},
            "config.network.host is",
        ),
        (
            {"elasticsearch": {"nodeSets": [NODE | {"podTemplate": {"kind": "Pod"}}]}},
            "metadata and spec only",
        ),
        (
            {"elasticsearch": {"nodeSets": [NODE | {"resources": {"limits": {"memory": "100Mi"}}}]}},
            "at least 512Mi",
        ),
        (
            {"api": {"podTemplate": {"metadata": {"labels": {names.CLUSTER_LABEL: "x"}}}}},
            "is set by the operator",
        ),
        (
            {"api": {"resources": {"limits": {"cpu": "fast"}}}},
            "api.resources.limits.cpu: 'fast' is not a quantity",
        ),
        (
            {"api": {"resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}}},
            "must not exceed the limit",
        ),
    ],
)
def test_a_mistake_the_schema_cannot_see_says_what_to_change(spec, sentence):
    with pytest.raises(InvalidSpecError, match=sentence):
        world.cluster(spec)


@pytest.mark.parametrize("annotation", ["{", "[]", json.dumps({"apiImage": 3})])
def test_a_broken_annotation_says_how_to_mend_it(annotation):
    with pytest.raises(InvalidSpecError, match="remove it"):
        world.cluster(annotations={names.RESOLVED_ANNOTATION: annotation})


@pytest.mark.parametrize(
    "env", [{"MATCH_RESYNC_SECONDS": "soon"}, {"MATCH_WORKERS": "0"}, {"MATCH_LOG_FORMAT": "x"}]
)
def test_a_bad_setting_of_the_operator_is_named(env):
    with pytest.raises(ValueError, match=next(iter(env))):
        Config.from_env(env)


def test_watched_namespaces_are_a_list():
    assert Config.from_env({"MATCH_WATCH_NAMESPACES": "b, a,"}).watch_namespaces == ("a", "b")
