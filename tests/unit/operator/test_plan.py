import copy
from dataclasses import replace

import pytest

import match_index
import world
from match_operator import names, plan
from match_operator.plan import Apply, CreateIndex, KeepResolved, PutTemplate, Remove, ReplacePod, UpdateIndex


def of(spec=None, **metadata):
    """A cluster whose resolved defaults are kept already."""
    kept = world.cluster(spec).resolved.annotation
    return world.cluster(spec, annotations={names.RESOLVED_ANNOTATION: kept}, **metadata)


def make(cluster, seen, *, formed=True):
    return plan.make(cluster, world.objects(cluster, formed=formed), seen)


def nodes(*sets):
    return {"elasticsearch": {"nodeSets": [{"name": name} | fields for name, fields in sets]}}


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


def test_children_that_lost_their_owner_are_adopted():
    seen = world.seen(of())
    for item in seen.children.values():
        item["metadata"].pop("ownerReferences", None)
    assert {s.why for s in make(of(), seen).steps} == {"metadata.ownerReferences"}


# --- node sets -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after", "reason", "way_out"),
    [
        (nodes(("a", {"count": 3})), nodes(("a", {"count": 1})), "ScaleDownUnsupported", "to 3 or more"),
        (nodes(("a", {}), ("b", {})), nodes(("a", {})), "NodeSetRemovalUnsupported", "put it back"),
        (nodes(("a", {"storage": {"size": "2Gi"}})), nodes(("a", {"storage": {"size": "1Gi"}})),
         "StorageImmutable", "set it back to 2Gi of class (default)"),
        (nodes(("a", {"storage": {"className": "x"}})), nodes(("a", {"storage": {"className": "y"}})),
         "StorageImmutable", "of class x"),
    ],
)  # fmt: skip
def test_a_change_that_would_lose_data_is_refused_with_the_way_out(before, after, reason, way_out):
    made = make(of(after), world.seen(of(before)))
    assert [p.reason for p in made.problems] == [reason]
    assert way_out in made.problems[0].message
    assert not [s for s in made.steps if isinstance(s, Apply) and s.item["kind"] == "StatefulSet"]


def test_nodes_that_somebody_added_by_hand_are_not_dropped():
    seen = world.seen(of())
    seen.children["StatefulSet", "photos-es-default"]["spec"]["replicas"] = 5
    made = make(of(), seen)
    assert [p.reason for p in made.problems] == ["ScaleDownUnsupported"]
    assert made.steps == ()


def test_a_refused_change_of_nodes_does_not_hold_up_the_rest():
    after = of(nodes(("default", {"count": 1})) | {"api": {"replicas": 5}})
    made = make(after, world.seen(of()))
    assert "Deployment" in [s.item["kind"] for s in made.steps if isinstance(s, Apply)]


def test_more_nodes_are_one_apply():
    made = make(of(nodes(("default", {"count": 5}))), world.seen(of()))
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
    nodes_by_version = dict.fromkeys(world.elastic(cluster).nodes, running)
    seen = world.seen(cluster, elastic=world.elastic(cluster, nodes=nodes_by_version))
    assert [p.reason for p in make(cluster, seen).problems] == ([reason] if reason else [])


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


def test_an_index_somebody_else_made_is_never_taken():
    foreign = {"settings": {"index": {"number_of_shards": "1"}}, "mappings": {}}
    made = make(of(), world.seen(of(), elastic=world.elastic(of(), indices={"images": foreign})))
    assert [p.reason for p in made.problems] == ["IndexTaken"]
    assert not [s for s in made.steps if not isinstance(s, Apply)]


# --- rollout ---------------------------------------------------------------------------------------------


def outdated(cluster, **pods):
    """A settled cluster with a new revision; ``pods`` names those to be broken or already new."""
    seen = world.seen(cluster)
    for (kind, _), item in seen.children.items():
        if kind == "StatefulSet":
            item["status"]["updateRevision"] = "r2"
    for name, change in pods.items():
        seen.children["Pod", name.replace("_", "-")] |= copy.deepcopy(change)
    return seen


BROKEN = {"status": {"conditions": [{"type": "Ready", "status": "False"}]}}


def replaced(made):
    return [s.pod["metadata"]["name"] for s in made.steps if isinstance(s, ReplacePod)]


def test_working_nodes_are_replaced_one_at_a_time_from_the_highest():
    assert replaced(make(of(), outdated(of()))) == ["photos-es-default-2"]


def test_data_nodes_go_before_masters():
    spec = nodes(("a", {"roles": ["master"]}), ("b", {"roles": ["data"]}))
    assert replaced(make(of(spec), outdated(of(spec)))) == ["photos-es-b-2"]


def test_a_broken_outdated_node_is_replaced_whatever_the_health():
    seen = outdated(of(), photos_es_default_1=BROKEN)
    seen = replace(seen, elastic=None)
    assert replaced(make(of(), seen)) == ["photos-es-default-1"]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"health": "yellow"}, "the health of Elasticsearch to become green; it is yellow"),
        ({"moving_shards": 3}, "3 shards to reach their nodes"),
        ({"nodes": {"photos-es-default-0": "8.19.21"}}, "node photos-es-default-1 to join the cluster"),
    ],
)
def test_a_working_node_waits_until_its_shards_are_safe(changes, sentence):
    seen = replace(outdated(of()), elastic=world.elastic(of(), **changes))
    made = make(of(), seen)
    assert replaced(made) == []
    assert made.waiting_for == sentence


def test_a_working_node_waits_for_one_that_is_missing():
    seen = outdated(of())
    del seen.children["Pod", "photos-es-default-2"]
    made = make(of(), seen)
    assert (replaced(made), made.waiting_for) == ([], "1 of 3 Elasticsearch nodes to become ready")


def test_a_working_node_waits_while_elasticsearch_is_silent():
    made = make(of(), replace(outdated(of()), elastic=None, silence="it does not answer"))
    assert (replaced(made), made.waiting_for) == ([], "Elasticsearch to answer: it does not answer")


def test_nothing_is_replaced_in_the_same_breath_as_a_changed_stateful_set():
    after = of(nodes(("default", {"config": {"indices.breaker.total.limit": "80%"}})))
    assert replaced(make(after, outdated(of()))) == []


def test_revisions_are_not_believed_before_the_controller_has_seen_the_change():
    seen = outdated(of())
    seen.children["StatefulSet", "photos-es-default"]["metadata"]["generation"] = 2
    made = make(of(), seen)
    assert replaced(made) == []
    assert "to take note of the new StatefulSet" in made.waiting_for


def test_a_node_already_going_is_not_deleted_again():
    seen = outdated(of(), photos_es_default_2=BROKEN)
    seen.children["Pod", "photos-es-default-2"]["metadata"]["deletionTimestamp"] = "now"
    assert replaced(make(of(), seen)) == []
