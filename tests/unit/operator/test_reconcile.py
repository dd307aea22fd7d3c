"""Whole looks: what goes on, and what is told, when the API server refuses a part of what is to be done."""

from dataclasses import replace

import jsonschema
import pytest

import world
from match_operator import metrics
from match_operator.errors import ForbiddenError, InvalidSpecError, PermissionMissingError
from match_operator.observed import Shutdown
from match_operator.plan.restart import REASON
from toykube import KEY, Looks
from world import node_sets

REFUSED = InvalidSpecError("spec.template is invalid")
QUOTA = ForbiddenError("exceeded quota")
STATEFUL_SET = ("StatefulSet", "photos-es-default")
OTHER = node_sets(("default", {"config": {"x.y": 1}})) | {"api": {"replicas": 3}}
"""A change of the nodes and of the API."""


@pytest.fixture
def looks():
    made = Looks()
    assert made.status["phase"] == "Ready"
    return made


@pytest.mark.parametrize(
    ("error", "phase", "reason"),
    [
        (REFUSED, "Invalid", "InvalidSpec"),
        (QUOTA, "Stalled", "Forbidden"),
        (PermissionMissingError("cannot patch"), "Stalled", "PermissionMissing"),
    ],
)
def test_a_refused_apply_is_a_condition_and_the_others_are_taken(looks, error, phase, reason):
    looks.kube.refusals[STATEFUL_SET] = error
    looks.ask(OTHER)
    looks.look()
    stalled = looks.condition("Stalled")
    assert (looks.status["phase"], stalled["status"], stalled["reason"]) == (phase, "True", reason)
    assert str(error) in stalled["message"]
    assert looks.status["observedGeneration"] == 2
    assert looks.kube.children_["Deployment", "photos-api"]["spec"]["replicas"] == 3
    jsonschema.validate(looks.status, world.SCHEMA["properties"]["status"])
    assert metrics.CONDITION.labels(*KEY, "Stalled")._value.get() == 1
    del looks.kube.refusals[STATEFUL_SET]
    looks.look()
    assert looks.condition("Stalled")["status"] == "False"


def test_a_refusal_does_not_hide_how_it_is_now(looks):
    looks.kube.refusals[STATEFUL_SET] = REFUSED
    looks.ask(OTHER)
    looks.elastic.there = replace(looks.elastic.there, health="red")
    looks.look()
    assert looks.status["elasticsearch"]["health"] == "red"
    assert looks.condition("Ready")["status"] == "False"
    assert looks.condition("Stalled")["reason"] == "InvalidSpec"


def test_a_restart_under_way_ends_though_the_next_change_is_refused(looks):
    done = Shutdown("id-photos-es-default-0", f"{REASON}photos-es-default-0", complete=True)
    looks.elastic.there = replace(looks.elastic.there, shutdowns=(done,))
    looks.kube.refusals[STATEFUL_SET] = REFUSED
    looks.ask(OTHER)
    looks.look()
    assert looks.elastic.told == ["drop_shutdown('id-photos-es-default-0',)"]


def test_no_pod_is_restarted_by_a_revision_that_is_about_to_change(looks):
    done = Shutdown("id-photos-es-default-0", f"{REASON}photos-es-default-0", complete=True)
    looks.elastic.there = replace(looks.elastic.there, shutdowns=(done,))
    looks.ask(OTHER)
    looks.look()
    assert looks.elastic.told == []


@pytest.mark.parametrize("kind", ["ConfigMap", "NetworkPolicy"])
def test_pods_are_not_made_without_what_they_start_with(kind):
    looks = Looks()
    for ref in [ref for ref in looks.kube.children_ if ref[0] in (kind, "StatefulSet", "Deployment", "Pod")]:
        del looks.kube.children_[ref]
    looks.kube.refusals[kind] = QUOTA
    looks.look()
    assert not {k for k, _ in looks.kube.children_} & {"StatefulSet", "Deployment"}
    assert looks.condition("Stalled")["reason"] == "Forbidden"


def test_what_is_not_wanted_any_more_stays_while_something_may_still_use_it(looks):
    looks.ask({"api": {"autoscaling": {"max": 4}}})
    looks.look()
    looks.kube.refusals["Deployment", "photos-api"] = REFUSED
    looks.ask({"api": {"replicas": 3}})
    looks.look()
    assert ("HorizontalPodAutoscaler", "photos-api") in looks.kube.children_


def test_a_volume_beyond_the_quota_holds_up_nothing_else(looks):
    for node in range(3):
        claim = world.claim(f"photos-es-default-{node}")
        looks.kube.children_["PersistentVolumeClaim", claim["metadata"]["name"]] = claim
    looks.kube.refusals["PersistentVolumeClaim", "data-photos-es-default-0"] = QUOTA
    looks.ask(node_sets(("default", {"storage": {"size": "30Gi"}})) | {"api": {"replicas": 3}})
    looks.look()
    assert looks.condition("Stalled")["reason"] == "VolumeGrowthRefused"
    asked = [looks.kube.children_["PersistentVolumeClaim", f"data-photos-es-default-{n}"] for n in range(3)]
    sizes = [claim["spec"]["resources"]["requests"]["storage"] for claim in asked]
    assert sizes == ["20Gi", "30Gi", "30Gi"]
    assert looks.kube.children_["Deployment", "photos-api"]["spec"]["replicas"] == 3


def test_a_refusal_is_looked_at_again_without_haste(looks):
    looks.kube.refusals[STATEFUL_SET] = QUOTA
    looks.ask(OTHER)
    looks.look()
    assert looks.look() == world.CONFIG.resync_seconds


def test_what_another_controller_made_with_our_label_counts_as_not_there(looks):
    owner = {"apiVersion": "other.example/v1", "kind": "ExternalSecret", "uid": "other", "controller": True}
    metadata = {"name": "other", "labels": {"match.dev/cluster": "photos"}, "ownerReferences": [owner]}
    foreign = {
        ref: {"kind": ref[0], "metadata": metadata} for ref in [("Secret", "other"), ("StatefulSet", "other")]
    }
    looks.kube.children_ |= foreign
    looks.ask(OTHER)
    looks.look()
    assert looks.kube.children_["Deployment", "photos-api"]["spec"]["replicas"] == 3
    assert foreign.items() <= looks.kube.children_.items()


# --- what cannot be read ---------------------------------------------------------------------------------

UNREADABLE = node_sets(("default", {"config": {"node.name": "mine"}}))


def test_a_spec_that_cannot_be_read_does_not_hide_how_it_is_now(looks):
    looks.ask(UNREADABLE)
    looks.look()
    assert (looks.status["phase"], looks.condition("Ready")["status"]) == ("Invalid", "True")
    assert looks.status["elasticsearch"]["health"] == "green"
    looks.elastic.there = replace(looks.elastic.there, health="red")
    looks.kube.children_["Pod", "photos-es-default-1"]["status"]["conditions"][0]["status"] = "False"
    looks.look()
    told = looks.status["elasticsearch"]
    assert (told["health"], told["readyNodes"], told["summary"]) == ("red", 2, "2/3")
    assert looks.condition("Ready")["status"] == "False"
    assert looks.condition("ElasticsearchReady")["status"] == "False"
    jsonschema.validate(looks.status, world.SCHEMA["properties"]["status"])


def test_an_elasticsearch_that_fell_silent_is_told_though_the_spec_cannot_be_read(looks):
    looks.ask(UNREADABLE)
    looks.elastic.there = None
    looks.look()
    assert looks.status["elasticsearch"]["health"] == "unknown"
    assert looks.condition("Ready")["status"] == "False"


def test_a_pod_template_that_cannot_be_merged_does_not_hide_how_it_is_now(looks):
    containers = {"spec": {"containers": [{"image": "nameless"}]}}
    looks.ask({"api": {"podTemplate": containers}})
    looks.elastic.there = replace(looks.elastic.there, health="yellow")
    looks.look()
    assert looks.condition("Stalled")["reason"] == "InvalidSpec"
    assert looks.status["elasticsearch"]["health"] == "yellow"


def test_children_that_may_not_be_listed_are_told_of(looks):
    looks.kube.refusals["list"] = PermissionMissingError("the operator may not list jobs")
    looks.look()
    assert looks.status["phase"] == "Stalled"
    assert looks.condition("Stalled")["reason"] == "PermissionMissing"
    assert looks.status["elasticsearch"]["summary"] == "3/3"
