from dataclasses import replace

import pytest

import match_index
import world
from match_operator import plan
from match_operator.observed import Rewritten, fingerprint
from match_operator.plan.index_steps import CreateIndex, PutTemplate, UpdateIndex
from match_operator.plan.steps import Apply, KeepResolved, Remove
from world import kept as of
from world import node_sets
from world import plan_for as make


def test_a_settled_cluster_has_nothing_to_do():
    assert make(of(), world.seen(of())) == plan.Plan()


def test_defaults_are_kept_before_anything_is_made():
    steps = make(world.cluster(), world.seen(world.cluster(), children={}, elastic=None)).steps
    assert isinstance(steps[0], KeepResolved)
    assert all(isinstance(step, Apply) and step.why == "missing" for step in steps[1:])


@pytest.mark.parametrize(
    "item", world.objects(world.cluster()), ids=lambda i: f"{i['kind']}-{i['metadata']['name']}"
)
def test_a_deleted_child_is_made_again(item):
    ref = (item["kind"], item["metadata"]["name"])
    steps = make(of(), world.seen(of(), without=[ref])).steps
    assert [(s.item["kind"], s.item["metadata"]["name"], s.why) for s in steps if isinstance(s, Apply)] == [
        (*ref, "missing")
    ]


def test_a_hand_edit_is_repaired_and_named():
    seen = world.seen(of())
    seen.children["Deployment", "photos-api"]["spec"]["replicas"] = 7
    assert [(s.item["kind"], s.why) for s in make(of(), seen).steps] == [("Deployment", "spec.replicas")]


def test_what_the_api_server_makes_of_an_apply_is_not_repaired_until_somebody_changes_it():
    cluster = of({"api": {"podTemplate": {"spec": {"hostNetwork": False}}}})
    live = world.seen(cluster).children["Deployment", "photos-api"]
    del live["spec"]["template"]["spec"]["hostNetwork"]
    values = {"spec.template.spec.hostNetwork": None}
    known = {("Deployment", "photos-api"): Rewritten(fingerprint(live), values)}
    seen = world.seen(cluster, rewritten=known)
    seen.children["Deployment", "photos-api"] = live
    assert make(cluster, seen).steps == ()
    live["spec"]["template"]["spec"]["hostNetwork"] = True
    assert [s.why for s in make(cluster, seen).steps] == ["spec.template.spec.hostNetwork"]


def test_a_changed_spec_is_applied():
    after = of({"api": {"allOrientations": False}})
    assert [(s.item["kind"], s.why) for s in make(after, world.seen(of())).steps] == [
        ("Deployment", "changed")
    ]


def test_what_is_no_longer_wanted_is_removed():
    seen = world.seen(of({"api": {"autoscaling": {"max": 4}}}))
    steps = make(of(), seen).steps
    assert [s.item["kind"] for s in steps if isinstance(s, Remove)] == ["HorizontalPodAutoscaler"]


def test_children_of_a_deleted_namesake_are_waited_for_and_not_touched():
    other = world.cluster(uid="other")
    made = make(of(), world.seen(other))
    assert made.steps == ()
    assert "deleted MatchCluster of the same name" in made.waiting_for


def test_what_another_controller_made_neither_holds_anything_up_nor_is_removed():
    seen = world.seen(of())
    metadata = {"name": "nightly-1", "labels": {"match.dev/cluster": "photos"}}
    owner = {"apiVersion": "batch/v1", "kind": "CronJob", "uid": "other", "controller": True}
    job = {"kind": "Job", "metadata": metadata | {"ownerReferences": [owner]}}
    seen.children["Job", "nightly-1"] = job
    assert make(of(), seen) == plan.Plan()


def test_children_that_lost_their_owner_are_adopted():
    seen = world.seen(of())
    for item in seen.children.values():
        item["metadata"].pop("ownerReferences", None)
    assert {s.why for s in make(of(), seen).steps} == {"metadata.ownerReferences"}


# --- node sets -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after", "reason", "way_out"),
    [
        ({"size": "2Gi"}, {"size": "1Gi"}, "VolumeShrinkUnsupported", "set storage.size to 2Gi or more"),
        ({"className": "x"}, {"className": "y"}, "StorageClassImmutable", "are of class x"),
        ({}, {"className": "y"}, "StorageClassImmutable", "are of class (default)"),
    ],
)  # fmt: skip
def test_a_change_of_volumes_that_cannot_be_is_refused_with_the_way_out(before, after, reason, way_out):
    made = make(
        of(node_sets(("a", {"storage": after}))), world.seen(of(node_sets(("a", {"storage": before}))))
    )
    assert [p.reason for p in made.problems] == [reason]
    assert way_out in made.problems[0].message
    assert "or rename the node set" in made.problems[0].message
    assert not [s for s in made.steps if isinstance(s, Apply) and s.item["kind"] == "StatefulSet"]


def test_a_refused_change_of_one_node_set_does_not_hold_up_the_rest():
    before = of(node_sets(("a", {"storage": {"size": "2Gi"}}), "b"))
    smaller, changed = ("a", {"storage": {"size": "1Gi"}}), ("b", {"config": {"x.y": 1}})
    made = make(of(node_sets(smaller, changed) | {"api": {"replicas": 5}}), world.seen(before))
    assert [s.item["metadata"]["name"] for s in made.steps if isinstance(s, Apply)] == [
        "photos-es-b",
        "photos-es-b",
        "photos-api",
    ]


def test_more_nodes_are_one_apply():
    made = make(of(node_sets(("default", {"count": 5}))), world.seen(of()))
    assert made.problems == ()
    assert [s.item["kind"] for s in made.steps if isinstance(s, Apply)] == ["StatefulSet"]


# --- versions --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("running", "asked", "reason"),
    [
        ("8.19.21", "8.19.21", None),
        ("8.9.0", "8.19.21", None),
        ("8.19.21", "9.1.0", None),
        ("8.17.0", "9.1.0", "VersionSkipUnsupported"),
        ("8.19.21", "8.19.20", "DowngradeUnsupported"),
        ("9.0.0", "8.19.21", "DowngradeUnsupported"),
    ],
)
def test_versions_only_go_up_and_one_major_at_a_time(running, asked, reason):
    cluster = of({"elasticsearch": {"version": asked}})
    seen = world.seen(cluster, elastic=world.elastic(cluster, nodes=world.members(cluster, running)))
    assert [p.reason for p in make(cluster, seen).problems] == ([reason] if reason else [])


def test_a_refused_version_reaches_no_pod():
    seen = world.seen(of({"elasticsearch": {"version": "8.19.21"}}))
    made = make(of({"elasticsearch": {"version": "8.1.0"}}), seen)
    assert not [s for s in made.steps if isinstance(s, Apply)]


def test_a_version_that_never_ran_can_be_taken_back():
    before, after = "8.19.21", "8.99.0"
    wrong = of({"elasticsearch": {"version": after}})
    seen = world.seen(wrong, elastic=world.elastic(wrong, nodes=world.members(wrong, before)))
    made = make(of({"elasticsearch": {"version": before}}), seen)
    assert made.problems == ()
    assert "StatefulSet" in [s.item["kind"] for s in made.steps if isinstance(s, Apply)]


def test_the_version_is_remembered_while_elasticsearch_does_not_answer():
    cluster = of({"elasticsearch": {"version": "8.1.0"}})
    seen = world.seen(cluster, elastic=None, status={"elasticsearch": {"version": "8.19.21"}})
    assert [p.reason for p in make(cluster, seen).problems] == ["DowngradeUnsupported"]


# --- index -----------------------------------------------------------------------------------------------


def test_an_empty_elasticsearch_gets_template_and_index():
    seen = world.seen(of(), elastic=world.elastic(of(), template=None, indices={}))
    steps = make(of(), seen).steps
    assert [type(s) for s in steps] == [PutTemplate, CreateIndex]
    assert steps[1].name == "images-000001"


def test_the_index_of_reviews_is_made_where_it_is_missing_and_nothing_else_with_it():
    seen = world.seen(of(), elastic=world.elastic(of(), review=False))
    [step] = make(of(), seen).steps
    assert step == CreateIndex("match-review-images", match_index.review_body())


def test_no_index_is_made_before_the_cluster_has_formed():
    seen = world.seen(of(), elastic=world.elastic(of(), uuid="", template=None, indices={}))
    assert make(of(), seen).steps == ()


def test_the_servers_own_additions_to_the_template_are_no_difference():
    answer = match_index.template_body("images", 1, 1) | {"composed_of": [], "data_stream": None}
    answer["template"] = answer["template"] | {"aliases": {}}
    assert make(of(), world.seen(of(), elastic=world.elastic(of(), template=answer))).steps == ()


def test_a_changed_replica_count_reaches_template_and_index():
    after = of({"index": {"replicas": 2}})
    steps = make(after, world.seen(of())).steps
    assert steps[0].body["template"]["settings"]["index"]["number_of_replicas"] == "2"
    assert steps[1:] == (UpdateIndex("images-000001", {"number_of_replicas": "2"}),)


def test_more_copies_are_asked_for_only_once_there_are_nodes_for_them():
    """A node that is yet to be restarted into the role data waits for green, which it would prevent."""
    after = of({"index": {"replicas": 2}})
    members = world.members(of())
    members["photos-es-default-2"] = replace(members["photos-es-default-2"], is_data=False)
    made = make(after, world.seen(of(), elastic=world.elastic(of(), nodes=members)))
    assert not [s for s in made.steps if isinstance(s, UpdateIndex)]


def test_an_index_somebody_else_made_is_never_taken():
    foreign = {"settings": {"index": {"number_of_shards": "1"}}, "mappings": {}}
    made = make(of(), world.seen(of(), elastic=world.elastic(of(), indices={"images": foreign})))
    assert [p.reason for p in made.problems] == ["IndexTaken"]
    assert not [s for s in made.steps if not isinstance(s, Apply)]
