"""Snapshots by schedule and by request, and restores: one step at a time, from what is seen alone."""

import copy
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import jsonschema
import pytest
import yaml

import match_index
import world
from match_operator import names, plan, status
from match_operator.errors import InvalidSpecError
from match_operator.observed import Repository, Snapshot
from match_operator.plan import requests
from match_operator.plan.index_steps import (
    AbandonIndex,
    DropReplaced,
    DropSnapshots,
    MarkIndex,
    PutRepository,
    RestoreSnapshot,
    SwitchIndex,
    TakeSnapshot,
)
from world import kept as of

Json = dict[str, Any]
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ONE, TWO = match_index.backing_index("images", 1), match_index.backing_index("images", 2)
BODY = {
    "type": "fs",
    "settings": {"location": "/usr/share/elasticsearch/snapshots/photos", "readonly": "false"},
}


def spec(**fields: Any) -> Json:
    """A spec with a repository."""
    return {"snapshots": {"repository": {"claim": {"name": "backup"}}} | fields}


def snapshot(name: str, state: str = "SUCCESS", day: int = 1, **fields: Any) -> Snapshot:
    """A snapshot of ours in the repository, of the schedule unless that is denied."""
    time = f"2026-01-{day:02}T03:00:00Z"
    given = {
        "start": time,
        "end": time,
        "indices": (ONE,),
        "cluster": "lab/photos",
        "scheduled": True,
    } | fields
    return Snapshot(name, state, **given)


def nightly(day: int, state: str = "SUCCESS", **fields: Any) -> Snapshot:
    """The schedule's for a night of January."""
    return snapshot(f"images-202601{day:02}-030000", state, day, **fields)


def seen(
    cluster: Any, *snapshots: Snapshot, asked: tuple[Json, ...] = (), body: Json | None = BODY, **changes: Any
):
    """A settled cluster with these snapshots and requests."""
    repository = Repository("match-images", body, snapshots)
    elastic = replace(world.elastic(cluster), **({"repository": repository} | changes))
    return replace(world.seen(cluster, elastic=elastic), requests=asked, now=NOW)


def steps(cluster: Any, found: Any) -> tuple[Any, ...]:
    made = plan.make(cluster, world.objects(cluster, seen=found), found)
    return (*made.steps, *made.aside)


def test_a_claim_is_mounted_by_every_node_and_admitted_by_elasticsearch():
    objects = world.objects(of(spec()))
    config = next(i for i in objects if i["kind"] == "ConfigMap")["data"][names.CONFIG_KEY]
    assert yaml.safe_load(config)["path.repo"] == ["/usr/share/elasticsearch/snapshots"]
    pod = next(i for i in objects if i["kind"] == "StatefulSet")["spec"]["template"]["spec"]
    assert {"name": "snapshots", "persistentVolumeClaim": {"claimName": "backup"}} in pod["volumes"]
    assert {"name": "snapshots", "mountPath": "/usr/share/elasticsearch/snapshots"} in pod["containers"][0][
        "volumeMounts"
    ]


def test_the_repository_is_registered_and_registered_anew_when_it_differs():
    cluster = of(spec())
    assert steps(cluster, seen(cluster, body=None)) == (PutRepository("match-images", BODY),)
    assert steps(cluster, seen(cluster)) == ()
    other = {"type": "fs", "settings": {"location": "/elsewhere"}}
    assert steps(cluster, seen(cluster, body=other)) == (PutRepository("match-images", BODY),)


def test_nothing_is_registered_before_every_node_has_mounted_the_volume():
    found = seen(CLUSTER, body=None)
    pod = found.children["Pod", "photos-es-default-1"]
    pod["metadata"]["labels"][names.REVISION_LABEL] = "older"
    made = plan.make(CLUSTER, world.objects(CLUSTER, seen=found), found)
    assert made.steps, "the node is restarted first"
    assert made.aside == ()


def test_one_that_exists_already_is_used_as_it_is():
    cluster = of({"snapshots": {"repository": {"name": "s3"}, "schedule": "0 3 * * *"}})
    found = seen(cluster)
    theirs = Repository("s3", {"type": "s3", "settings": {"bucket": "b"}})
    [step] = steps(cluster, replace(found, elastic=replace(found.elastic, repository=theirs)))
    assert (type(step), step.repository) == (TakeSnapshot, "s3")
    absent = replace(found, elastic=replace(found.elastic, repository=Repository("s3", None)))
    assert steps(cluster, absent) == ()
    assert (
        condition(told(cluster, absent), "SnapshotsReady")["message"]
        == "Elasticsearch knows no repository s3"
    )


NIGHTLY = of(spec(schedule="0 3 * * *", keep=2))


def test_a_snapshot_of_the_schedule_is_made_once_and_named_after_its_time():
    [step] = steps(NIGHTLY, seen(NIGHTLY, nightly(1)))
    assert (step.name, step.index) == ("images-20260102-030000", ONE)
    assert step.metadata == {"match": {"cluster": "lab/photos", "uid": world.UID, "scheduled": True}}
    assert steps(NIGHTLY, seen(NIGHTLY, nightly(1), nightly(2))) == ()


def test_a_time_that_was_missed_is_made_up_for():
    late = replace(seen(NIGHTLY, nightly(1)), now=NOW + timedelta(hours=20))
    assert [s.name for s in steps(NIGHTLY, late)] == ["images-20260102-030000"]


def test_no_snapshot_is_begun_while_another_is_made():
    assert steps(NIGHTLY, seen(NIGHTLY, nightly(1, "IN_PROGRESS"))) == ()


def test_as_many_good_ones_are_kept_as_the_spec_says_and_failed_ones_until_a_good_one():
    found = seen(NIGHTLY, nightly(1), nightly(2), *(nightly(d, day=0) for d in ()))
    assert steps(NIGHTLY, found) == ()
    older = [snapshot(f"images-202512{d:02}-030000", start=f"2025-12-{d:02}T03:00:00Z") for d in (30, 31)]
    failed = snapshot("images-20251229-030000", "FAILED", start="2025-12-29T03:00:00Z")
    [step] = steps(NIGHTLY, seen(NIGHTLY, *older, failed, nightly(1), nightly(2)))
    assert step == DropSnapshots("match-images", (older[0].name, older[1].name, failed.name))


def test_only_the_schedules_own_snapshots_of_this_cluster_are_ever_deleted():
    asked = snapshot("images-before-upgrade-1234", scheduled=False, start="2025-01-01T00:00:00Z")
    theirs = [
        snapshot(f"images-2025010{d}-030000", cluster="press/photos", start=f"2025-01-0{d}T03:00:00Z")
        for d in range(1, 6)
    ]
    assert steps(NIGHTLY, seen(NIGHTLY, asked, *theirs, nightly(1), nightly(2))) == ()


def test_a_failed_snapshot_is_said_and_no_reason_to_stop_serving():
    made = told(NIGHTLY, seen(NIGHTLY, nightly(1), nightly(2, "FAILED", reason="disk full")))
    assert condition(made, "SnapshotsReady")["message"] == (
        "Elasticsearch calls images-20260102-030000 FAILED: disk full"
    )
    assert made["phase"] == "Ready"
    assert made["snapshots"]["last"] == "images-20260101-030000"
    assert made["snapshots"]["next"] == "2026-01-03T03:00:00Z"


def theirs(state: str) -> Snapshot:
    """Of another MatchCluster in the same repository, whose alias begins as ours does."""
    return snapshot("images-old-20260102-020000", state, 2, cluster="lab/archive", reason="disk full")


def test_a_failed_snapshot_of_another_cluster_is_none_of_ours():
    made = told(NIGHTLY, seen(NIGHTLY, nightly(1), theirs("FAILED")))
    assert condition(made, "SnapshotsReady")["reason"] == "Available"


def test_a_snapshot_of_another_cluster_does_not_hold_up_ours():
    [step] = steps(NIGHTLY, seen(NIGHTLY, nightly(1), theirs("IN_PROGRESS")))
    assert step.name == "images-20260102-030000"


@pytest.mark.parametrize("schedule", ["at three", "0 3 * *", "* * * * * *", "61 3 * * *"])
def test_a_schedule_that_cannot_be_says_so(schedule):
    with pytest.raises(InvalidSpecError, match=r"snapshots\.schedule"):
        of(spec(schedule=schedule))


def told(cluster: Any, found: Any) -> Json:
    made = status.make(cluster, found, plan.make(cluster, world.objects(cluster), found), NOW)
    jsonschema.validate(made, world.SCHEMA["properties"]["status"] | {"additionalProperties": False})
    return made


def condition(made: Json, kind: str) -> Json:
    found: Json = next(c for c in made["conditions"] if c["type"] == kind)
    return found


# --- requests ---------------------------------------------------------------------------------------------

CLUSTER = of(spec())
SAVED = snapshot("images-saved", scheduled=False)


def request(kind: str, said: Json | None = None, **fields: Any) -> Json:
    """A MatchSnapshot or MatchRestore, with what its status says."""
    body: Json = {
        "apiVersion": names.API_VERSION,
        "kind": kind,
        "metadata": {"name": "mine", "namespace": "lab", "uid": "0123456789", "generation": 1},
        "spec": {"cluster": "photos"} | fields,
    }
    return body | ({"status": said} if said else {})


def restore(said: Json | None = None, **fields: Any) -> Json:
    return request(names.RESTORE_KIND, said, **{"snapshot": "images-saved", "overwrite": False} | fields)


def answer(cluster: Any, found: Any) -> requests.Answer:
    [made] = requests.answers(cluster, found)
    kind = made.item["kind"]
    schema = world.request_schema(kind)["properties"]["status"] | {"additionalProperties": False}
    jsonschema.validate(status.of_request(made, NOW), schema)
    return made


def test_a_matchsnapshot_is_made_once_and_followed_to_its_end():
    asked = (request(names.SNAPSHOT_KIND),)
    begun = answer(CLUSTER, seen(CLUSTER, asked=asked))
    [step] = begun.steps
    assert (begun.phase, step.name, step.index) == ("Running", "images-mine-01234567", ONE)
    assert step.metadata["match"]["request"] == "mine"
    running = answer(CLUSTER, seen(CLUSTER, snapshot(step.name, "IN_PROGRESS", scheduled=False), asked=asked))
    assert (running.phase, running.steps) == ("Running", ())
    done = answer(CLUSTER, seen(CLUSTER, snapshot(step.name, scheduled=False), asked=asked))
    assert (done.phase, done.facts["snapshot"]) == ("Completed", step.name)
    failed = snapshot(step.name, "PARTIAL", scheduled=False, reason="a shard was away")
    assert answer(CLUSTER, seen(CLUSTER, failed, asked=asked)).phase == "Failed"


def test_what_is_over_is_not_looked_at_again():
    asked = (request(names.SNAPSHOT_KIND, {"phase": "Completed"}), restore({"phase": "Failed"}))
    assert list(requests.answers(CLUSTER, seen(CLUSTER, asked=asked))) == []


@pytest.mark.parametrize(
    ("cluster", "changes", "sentence"),
    [
        (of(), {}, "waiting for spec.snapshots of MatchCluster photos"),
        (of(spec() | {"paused": True}), {}, "waiting for the MatchCluster to be no longer paused"),
        (CLUSTER, {"body": None}, "waiting for the snapshot repository match-images"),
        (CLUSTER, {"indices": {}}, "waiting for the index images"),
    ],
)
def test_a_request_says_what_it_waits_for(cluster, changes, sentence):
    made = answer(cluster, seen(cluster, asked=(restore(),), **changes))
    assert made.phase == "Pending"
    assert made.message.startswith(sentence)
    assert made.steps == ()


def test_a_restore_over_images_is_refused_unless_they_may_be_lost():
    refused = answer(CLUSTER, seen(CLUSTER, SAVED, asked=(restore(),)))
    assert refused.phase == "Refused"
    assert "has 7 images, which would be lost; set spec.overwrite to true" in refused.message
    assert refused.steps == ()
    assert answer(CLUSTER, seen(CLUSTER, SAVED, asked=(restore(overwrite=True),))).phase == "Restoring"
    assert answer(CLUSTER, seen(CLUSTER, SAVED, asked=(restore(),), documents=0)).phase == "Restoring"


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        ((), "the repository match-images has no snapshot images-saved"),
        ((replace(SAVED, state="PARTIAL"),), "is not whole: Elasticsearch calls it PARTIAL"),
        ((replace(SAVED, indices=("a", "b")),), "holds 2 indices instead of one of images"),
    ],
)
def test_a_snapshot_that_cannot_be_restored_is_refused(found, sentence):
    refused = answer(CLUSTER, seen(CLUSTER, *found, asked=(restore(overwrite=True),)))
    assert (refused.phase, refused.steps) == ("Refused", ())
    assert sentence in refused.message


BEGUN = {"phase": "Restoring", "index": TWO, "replaced": ONE}
ASKED = (restore(BEGUN, overwrite=True),)


def spare(**changes: Any) -> Json:
    return {TWO: world.live_index(CLUSTER) | changes}


def test_the_name_of_the_new_index_is_said_before_it_is_made():
    made = answer(CLUSTER, seen(CLUSTER, SAVED, asked=(restore(overwrite=True),)))
    assert made.steps == ()
    assert made.facts == {"index": TWO, "replaced": ONE}
    begun = answer(CLUSTER, seen(CLUSTER, SAVED, asked=ASKED))
    settings = {"index": {"number_of_replicas": "1", "refresh_interval": "1s"}}
    assert begun.steps == (RestoreSnapshot("match-images", "images-saved", ONE, TWO, settings),)


def test_a_new_index_takes_a_name_that_no_index_has():
    left = {match_index.backing_index("images", 4): world.live_index(CLUSTER)}
    made = answer(CLUSTER, seen(CLUSTER, SAVED, asked=(restore(overwrite=True),), spare=left))
    assert made.facts["index"] == match_index.backing_index("images", 5)


def test_of_two_restores_asked_for_at_once_the_second_waits_for_the_first():
    other = restore(overwrite=True) | {"metadata": restore()["metadata"] | {"name": "second"}}
    found = seen(CLUSTER, SAVED, asked=(restore(overwrite=True), other))
    first, second = requests.answers(CLUSTER, found)
    assert (first.phase, first.facts["index"]) == ("Restoring", TWO)
    assert (second.phase, second.facts) == ("Pending", {})
    assert second.message == f"waiting for the restore into index {TWO} to end"


def test_the_alias_moves_only_when_all_shards_are_there():
    part = seen(CLUSTER, SAVED, asked=ASKED, spare=spare(), restored={TWO: False})
    assert answer(CLUSTER, part).steps == ()
    whole = seen(CLUSTER, SAVED, asked=ASKED, spare=spare(), restored={TWO: True})
    assert answer(CLUSTER, whole).steps == (SwitchIndex("images", ONE, TWO),)


def test_images_that_were_added_while_it_was_restored_are_not_lost():
    begun = (restore(BEGUN),)
    made = answer(CLUSTER, seen(CLUSTER, SAVED, asked=begun, spare=spare(), restored={TWO: True}))
    assert (made.phase, made.steps) == ("Refused", ())
    given_up = seen(CLUSTER, SAVED, asked=(restore({"phase": "Refused"}),), spare=spare())
    assert steps(CLUSTER, given_up) == (AbandonIndex("images", ONE, (TWO,)),)


def test_while_it_is_restored_nothing_else_is_done_with_the_new_index():
    found = seen(CLUSTER, SAVED, asked=ASKED, spare=spare())
    assert steps(CLUSTER, found) == ()
    three = of(spec() | {"index": {"shards": 3}})
    made = plan.make(three, world.objects(three, seen=found), found)
    assert not [s for s in made.steps if isinstance(s, AbandonIndex)]
    assert made.waiting_for == f"a snapshot to be restored into index {TWO}"


def switched(asked: tuple[Json, ...], old: bool, **changes: Any) -> Any:
    """The alias leads to the restored index."""
    left = {ONE: world.live_index(CLUSTER)} if old else {}
    return seen(CLUSTER, SAVED, asked=asked, indices=spare(), spare=left, **changes)


def test_the_index_that_was_replaced_goes_with_consent_or_when_it_is_empty():
    for asked, copied in ((ASKED, 9), ((restore(BEGUN),), 0)):
        made = answer(CLUSTER, switched(asked, old=True, copied=copied))
        assert (made.phase, [type(s) for s in made.steps]) == ("Restoring", [DropReplaced])
    assert answer(CLUSTER, switched(ASKED, old=False)).phase == "Completed"


def test_images_that_came_in_the_last_moment_are_kept_and_said():
    made = answer(CLUSTER, switched((restore(BEGUN),), old=True, copied=1))
    assert (made.phase, made.steps) == ("Completed", ())
    assert f"images were added to index {ONE} in the last moment, so it was kept" in made.message


def test_an_index_of_another_schema_is_not_let_in():
    foreign = spare(mappings={"_meta": {"match": {"schema": 1}}})
    made = answer(CLUSTER, seen(CLUSTER, SAVED, asked=ASKED, spare=foreign, restored={TWO: True}))
    assert (made.phase, made.steps) == ("Failed", ())


def test_in_an_external_elasticsearch_the_index_is_marked_before_the_alias_moves():
    cluster = of(world.external() | {"snapshots": {"repository": {"location": "/mnt/backup"}}})
    theirs = {"mappings": match_index.mappings({"cluster": "press/photos", "uid": "another"})}
    body = {"type": "fs", "settings": {"location": "/mnt/backup", "readonly": "false"}}
    made = answer(
        cluster, seen(cluster, SAVED, asked=ASKED, body=body, spare=spare(**theirs), restored={TWO: True})
    )
    [step] = made.steps
    assert (type(step), step.meta["match"]["owner"]["uid"]) == (MarkIndex, world.UID)


def test_a_crash_between_any_two_steps_of_a_restore_loses_nothing():
    """The same look again is the same step again, or the next one."""
    for found in (
        seen(CLUSTER, SAVED, asked=ASKED),
        seen(CLUSTER, SAVED, asked=ASKED, spare=spare(), restored={TWO: True}),
        switched(ASKED, old=True),
    ):
        assert answer(CLUSTER, found) == answer(CLUSTER, copy.deepcopy(found))


def test_a_request_for_a_cluster_that_is_not_there_says_so():
    made = requests.orphaned(restore())
    assert (made.phase, made.message) == ("Pending", "waiting for a MatchCluster photos in this namespace")
