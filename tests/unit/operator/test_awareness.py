"""Copies of a shard on different Kubernetes nodes: when Elasticsearch is asked for it, and when it is not."""

import json
from collections.abc import Iterable

import pytest

import world
from match_operator import names
from match_operator.observed import Node
from match_operator.plan import awareness

VARIABLE = {"env": [{"name": names.HOST_VARIABLE}]}
ON = {awareness.SETTING: "k8s_node_name", awareness.MARK: "k8s_node_name"}
OFF = {awareness.SETTING: None, awareness.MARK: None}


def look(spec, hosts, *, settings=None, leaving=(), unaware=(), replicas=None, annotations=None):
    """The settings that are changed where the nodes run on ``hosts``, in order; ``leaving`` on theirs."""
    cluster = world.cluster(spec, annotations=annotations)
    nodes = dict(zip(world.members(cluster), hosts, strict=True)) | dict(leaving)
    members = world.members(cluster) | {name: Node(f"id-{name}", "8.19.21") for name, _ in leaving}
    answers = {"nodes": members, "settings": settings or {}}
    if replicas is not None:
        shards = world.copies(world.cluster(spec | {"index": {"replicas": replicas}}), nodes)
        answers["shards"] = shards
    children = world.seen(cluster).children | {
        ("Pod", name): pod(name, host, unaware) for name, host in nodes.items()
    }
    seen = world.seen(cluster, elastic=world.elastic(cluster, **answers), children=children)
    return [step.settings for step in awareness.steps(cluster, seen)]


def pod(name: str, host: str | None, unaware: Iterable[str]):
    made = world.pod(name, names.ELASTICSEARCH)
    made["spec"] = {"containers": [{} if name in unaware else VARIABLE]}
    if host:
        made["spec"]["nodeName"] = host
    return made


THREE = world.node_sets(("a", {"count": 3}))


@pytest.mark.parametrize("hosts", ["ABC", "AAB", "AAA"])
def test_copies_are_kept_apart_once_every_node_says_where_it_is(hosts):
    assert look(THREE, hosts) == [ON]
    assert look(THREE, hosts, settings=ON) == []
    assert look(THREE, hosts, unaware=["photos-es-a-2"]) == []


def test_a_node_whose_place_is_not_known_changes_nothing():
    assert look(THREE, ["A", "B", None]) == []
    assert look(THREE, ["A", "B", None], settings=ON) == []


def test_copies_that_do_not_fit_so_are_let_anywhere_before_health_stays_yellow():
    spec = world.node_sets(("a", {"count": 4})) | {"index": {"replicas": 3}}
    assert look(spec, "ABBB", settings=ON) == [OFF]
    assert look(spec, "ABBB") == []
    assert look(spec, "AABB") == [ON]


def test_a_drain_to_one_kubernetes_node_is_not_held_up():
    spec = world.node_sets(("a", {"count": 2}))
    leaving = [("photos-es-a-2", "B"), ("photos-es-a-3", "C")]
    assert look(spec, "AA", leaving=leaving, settings=ON) == [OFF]
    assert look(spec, "AB", leaving=[("photos-es-a-2", "C")], settings=ON) == []


def test_copies_that_an_index_still_has_count_more_than_those_that_are_asked_for():
    spec = THREE | {"index": {"replicas": 0}}
    leaving = [("photos-es-a-3", "B"), ("photos-es-a-4", "C")]
    assert look(spec, "AAA", leaving=leaving, settings=ON) == []
    assert look(spec, "AAA", leaving=leaving, settings=ON, replicas=1) == [OFF]


@pytest.mark.parametrize("theirs", ["rack", "k8s_node_name", ""])
def test_what_somebody_else_set_is_left_alone(theirs):
    assert look(THREE, "ABC", settings={awareness.SETTING: theirs}) == []


def test_a_setting_of_ours_that_somebody_changed_is_theirs_from_then_on():
    assert look(THREE, "ABC", settings=ON | {awareness.SETTING: "rack"}) == [{awareness.MARK: None}]


def test_a_config_that_names_attributes_goes_before():
    spec = world.node_sets(("a", {"count": 3, "config": {awareness.SETTING: "rack"}}))
    assert look(spec, "ABC") == []


def test_zones_and_kubernetes_nodes_are_kept_apart_both():
    spec = world.node_sets(*((z, {"count": 1, "zone": z}) for z in "abc"))
    cluster = world.cluster(spec)
    pods = {("Pod", n): pod(n, "A", ()) for n in world.members(cluster)}
    for item, zone in zip(pods.values(), "abc", strict=True):
        item["spec"]["nodeSelector"] = {names.ZONE_LABEL: zone}
    seen = world.seen(cluster, children=world.seen(cluster).children | pods)
    assert [step.settings for step in awareness.steps(cluster, seen)] == [
        {awareness.SETTING: "k8s_node_name,zone", awareness.MARK: "k8s_node_name,zone"}
    ]


def test_a_zone_that_is_given_up_is_left_although_the_other_has_to_take_both_copies():
    spec = world.node_sets(("a", {"count": 2, "zone": "a"}), nodeAwareness="Disabled")
    cluster = world.cluster(spec)
    names_of = [*world.members(cluster), "photos-es-b-0"]
    pods = {("Pod", name): pod(name, name, ()) for name in names_of}
    for (_, name), item in pods.items():
        item["spec"]["nodeSelector"] = {names.ZONE_LABEL: name.split("-")[2]}
    nodes = world.members(cluster) | {"photos-es-b-0": Node("id-b", "8.19.21")}
    elastic = world.elastic(cluster, nodes=nodes)
    seen = world.seen(cluster, elastic=elastic, children=world.seen(cluster).children | pods)
    assert [s.settings for s in awareness.steps(cluster, seen)] == [
        {awareness.SETTING: "", awareness.MARK: ""}
    ]


def test_an_operator_alone_makes_no_older_cluster_aware_and_a_field_does():
    kept = json.loads(world.cluster(THREE).resolved.annotation)
    del kept["nodeAwareness"]
    older = {names.RESOLVED_ANNOTATION: json.dumps(kept)}
    assert look(THREE, "ABC", annotations=older) == []
    asked = {"elasticsearch": THREE["elasticsearch"] | {"nodeAwareness": "Enabled"}}
    assert look(asked, "ABC", annotations=older) == [ON]


def test_disabling_takes_the_setting_back():
    spec = world.node_sets(("a", {"count": 3}), nodeAwareness="Disabled")
    assert look(spec, "ABC", settings=ON) == [OFF]
