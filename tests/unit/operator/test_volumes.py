"""Volumes grow at any time and whatever the health; nothing else about them changes."""

from dataclasses import replace

import pytest

import world
from match_operator import names
from match_operator.plan import drain
from match_operator.plan.steps import Apply, GrowVolume, Recreate, ReplacePod
from world import kept as of
from world import node_sets
from world import plan_for as make


def sized(size, **fields):
    return of(node_sets(("a", {"storage": {"size": size}} | fields)))


def seen_with_claims(cluster, requested, capacity=None, **changes):
    """A settled cluster whose claims ask for ``requested``."""
    seen = world.seen(cluster, **changes)
    for name in world.members(cluster):
        claim = world.claim(name, requested, capacity or requested)
        seen.children["PersistentVolumeClaim", claim["metadata"]["name"]] = claim
    return seen


def grown(made):
    return [(s.claim["metadata"]["name"], s.size) for s in made.steps if isinstance(s, GrowVolume)]


@pytest.mark.parametrize("elastic", ["green", "yellow", "red", None])
def test_every_claim_grows_whatever_the_health(elastic):
    seen = seen_with_claims(sized("1Gi"), "1Gi")
    answer = world.elastic(sized("1Gi"), health=elastic) if elastic else None
    seen = type(seen)(seen.children, answer)
    assert grown(make(sized("2Gi"), seen)) == [(f"data-photos-es-a-{i}", "2Gi") for i in range(3)]


def test_a_claim_without_a_volume_yet_is_waited_for():
    seen = seen_with_claims(sized("1Gi"), "1Gi")
    seen.children["PersistentVolumeClaim", "data-photos-es-a-1"]["status"] = {"phase": "Pending"}
    made = make(sized("2Gi"), seen)
    assert [name for name, _ in grown(made)] == ["data-photos-es-a-0", "data-photos-es-a-2"]
    assert made.waiting_for == "volume data-photos-es-a-1 to be there before it can grow"


def test_claims_grow_though_another_part_of_the_spec_is_refused():
    wrong = of(node_sets(("a", {"storage": {"size": "2Gi"}}), version="8.1.0"))
    made = make(wrong, seen_with_claims(sized("1Gi"), "1Gi"))
    assert [p.reason for p in made.problems] == ["DowngradeUnsupported"]
    assert len(grown(made)) == 3


def test_the_stateful_set_is_made_anew_around_its_pods_once_every_claim_asks_for_more():
    seen = seen_with_claims(sized("1Gi"), "2Gi")
    made = make(sized("2Gi"), seen)
    assert [type(s) for s in made.steps] == [Recreate]
    del seen.children["StatefulSet", "photos-es-a"]
    again = make(sized("2Gi"), seen)
    assert [(s.item["kind"], s.why) for s in again.steps] == [("StatefulSet", "missing")]


def test_a_stateful_set_is_not_made_anew_with_a_version_that_was_refused():
    wrong = of(node_sets(("a", {"storage": {"size": "2Gi"}}), version="8.1.0"))
    made = make(wrong, seen_with_claims(sized("1Gi"), "2Gi"))
    assert not [s for s in made.steps if isinstance(s, Recreate | Apply)]


def test_a_node_leaves_only_once_its_stateful_set_was_made_anew():
    smaller = of(node_sets(("a", {"count": 2, "storage": {"size": "2Gi"}})))
    seen = seen_with_claims(sized("1Gi"), "2Gi")
    last = "photos-es-a-2"
    told = {drain.EXCLUDE: last, drain.MARK: last}
    staying = world.copies(smaller, ["photos-es-a-0", "photos-es-a-1"])
    votes = frozenset({"id-photos-es-a-0", "id-photos-es-a-1"})
    answers = {"settings": told, "shards": staying, "voters": votes, "excluded_voters": (last,)}
    seen = replace(seen, elastic=world.elastic(sized("1Gi"), **answers))
    assert [type(s) for s in make(smaller, seen).steps] == [Recreate]


def test_no_node_is_lost_when_a_stateful_set_is_made_anew_for_a_smaller_spec():
    """Its pods are adopted; one replica less would delete a node that was never emptied."""
    before = sized("1Gi")
    seen = seen_with_claims(before, "2Gi")
    del seen.children["StatefulSet", "photos-es-a"]
    made = make(sized("2Gi", count=1), seen)
    (applied,) = [s.item for s in made.steps if isinstance(s, Apply) and s.item["kind"] == "StatefulSet"]
    assert applied["spec"]["replicas"] == 3


def test_a_cluster_made_anew_over_its_volumes_starts_every_node_that_has_one():
    seen = seen_with_claims(sized("1Gi"), "1Gi", elastic=None)
    seen = type(seen)({ref: c for ref, c in seen.children.items() if ref[0] == "PersistentVolumeClaim"})
    made = world.plan_for(sized("1Gi", count=1), seen, formed=False)
    (applied,) = [s.item for s in made.steps if isinstance(s, Apply) and s.item["kind"] == "StatefulSet"]
    assert applied["spec"]["replicas"] == 3
    assert "photos-es-a-2" in next(
        s.item["data"][names.CONFIG_KEY] for s in made.steps if s.item["kind"] == "ConfigMap"
    )


def test_a_volume_that_has_not_grown_yet_is_waited_for_in_the_drivers_words():
    cluster = sized("2Gi")
    seen = seen_with_claims(cluster, "2Gi", capacity="1Gi")
    claim = seen.children["PersistentVolumeClaim", "data-photos-es-a-0"]
    claim["status"]["conditions"] = [
        {"type": "FileSystemResizePending", "status": "True", "message": "waiting for the node"}
    ]
    made = make(cluster, seen)
    assert made.steps == ()
    assert made.waiting_for == (
        "volume data-photos-es-a-0 to grow from 1Gi to 2Gi (FileSystemResizePending: waiting for the node)"
    )


def test_a_larger_volume_than_asked_for_is_left_as_it_is():
    assert make(sized("1Gi"), seen_with_claims(sized("1Gi"), "5Gi")).steps == ()


def test_growing_restarts_no_node():
    made = make(sized("2Gi"), seen_with_claims(sized("1Gi"), "1Gi"))
    assert not [s for s in made.steps if isinstance(s, ReplacePod)]


def test_volumes_are_kept_unless_the_spec_says_otherwise():
    def policy(**elasticsearch):
        items = world.objects(of({"elasticsearch": elasticsearch}))
        (node_set,) = [i for i in items if i["kind"] == "StatefulSet"]
        return node_set["spec"]["persistentVolumeClaimRetentionPolicy"]

    assert policy() == {"whenDeleted": "Retain", "whenScaled": "Retain"}
    asked = {"onDelete": "Delete", "onScaleDown": "Delete"}
    assert policy(volumes=asked) == {"whenDeleted": "Delete", "whenScaled": "Delete"}
