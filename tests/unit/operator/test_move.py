"""Moving to an index of another shape: one step at a time, from what is seen alone."""

from datetime import UTC, datetime
from typing import Any

import pytest

import match_index
import world
from match_operator import names, plan, status
from match_operator.desired.migration import Move, job
from match_operator.plan import index
from match_operator.plan.index_steps import AbandonIndex, AllowWrites, CreateIndex, DropIndex
from match_operator.plan.steps import Apply, Remove
from world import kept as of

Json = dict[str, Any]
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ONE, TWO = match_index.backing_index("images", 1), match_index.backing_index("images", 2)
BEFORE, AFTER = of(), of({"index": {"shards": 3}})


def made_with(shards: int, uuid: str, moved: Json | None = None, **settings: Any) -> Json:
    """One of our indices as Elasticsearch describes it."""
    live = world.live_index(BEFORE)
    live["settings"]["index"] |= {"number_of_shards": str(shards), "uuid": uuid} | settings
    if moved:
        live["mappings"]["_meta"]["match"]["moved"] = moved
    return live


def seen(indices: Json, spare: Json | None = None, *, job_of: Move | None = None, copied: int = 0) -> Any:
    """A settled cluster but for its indices and the Job."""
    elastic = world.elastic(AFTER, indices=indices, spare=spare or {}, copied=copied)
    found = world.seen(AFTER, elastic=elastic)
    if job_of:
        found.children["Job", "photos-migration"] = live_job(job_of)
    return found


def live_job(move: Move) -> Json:
    return next(i for i in world.desired.build(AFTER, (), None, move) if i["kind"] == "Job")


def make(cluster: Any, found: Any) -> plan.Plan:
    return plan.make(cluster, world.desired.build(cluster, (), None, index.move(cluster, found)), found)


OLD, NEW = made_with(1, "u1"), made_with(3, "u2", {"from": "u1"})
MOVING = Move(ONE, TWO)
BADGE = "images.mover.1"


def test_another_number_of_shards_makes_an_index_and_a_job_that_moves_into_it():
    made = make(AFTER, seen({ONE: OLD}))
    assert made.problems == ()
    assert CreateIndex(TWO, match_index.target_body("u1")) in made.steps
    [applied] = [s for s in made.steps if isinstance(s, Apply)]
    assert applied.item["kind"] == "Job"
    [container] = applied.item["spec"]["template"]["spec"]["containers"]
    assert container["args"] == ["migrate", "--from", ONE, "--to", TWO]
    assert "command" not in container, "the image's entry point has a path that only the image knows"


def test_while_it_moves_nothing_is_written_and_the_status_says_how_far_it_is():
    found = seen({ONE: OLD}, {TWO: NEW}, job_of=MOVING, copied=3)
    made = make(AFTER, found)
    assert made.steps == ()
    assert made.waiting_for == f"images to move from index {ONE} to {TWO}, where 3 of 7 are"
    told = status.make(AFTER, found, made, NOW)
    assert told["index"]["migration"] == {"from": ONE, "to": TWO, "copied": 3}
    assert told["operation"]["waitingFor"] == f"waiting for {made.waiting_for}"


def test_after_the_move_the_job_goes_and_the_index_that_was_left():
    behind = made_with(3, "u2", {"from": "u1", "seen": [7], "verified": True})
    made = make(AFTER, seen({TWO: behind}, {ONE: OLD}, job_of=MOVING))
    assert [type(s) for s in made.steps] == [Remove, DropIndex]
    assert made.steps[1] == DropIndex(ONE, TWO)


def test_an_index_that_the_present_one_was_not_verified_against_is_left_alone():
    behind = made_with(3, "u2", {"from": "another", "seen": [7], "verified": True})
    assert make(AFTER, seen({TWO: behind}, {ONE: OLD})).steps == ()
    unverified = made_with(3, "u2", {"from": "u1", "seen": [7]})
    assert make(AFTER, seen({TWO: unverified}, {ONE: OLD})).steps == ()


def test_a_spec_set_back_in_the_middle_ends_the_job_first_and_then_gives_the_target_up():
    with_job = make(BEFORE, seen({ONE: OLD}, {TWO: NEW}, job_of=MOVING))
    assert [s.item["kind"] for s in with_job.steps if isinstance(s, Remove)] == ["Job"]
    assert not [s for s in with_job.steps if isinstance(s, AbandonIndex)]
    without = make(BEFORE, seen({ONE: OLD}, {TWO: NEW}))
    assert AbandonIndex("images", ONE, (TWO,)) in without.steps


def test_a_third_number_of_shards_in_the_middle_begins_anew():
    five = of({"index": {"shards": 5}})
    with_job = make(five, seen({ONE: OLD}, {TWO: NEW}, job_of=MOVING))
    assert [s.item["kind"] for s in with_job.steps if isinstance(s, Remove)] == ["Job"]
    without = make(five, seen({ONE: OLD}, {TWO: NEW}))
    assert AbandonIndex("images", ONE, (TWO,)) in without.steps
    after = make(five, seen({ONE: OLD}))
    assert CreateIndex(TWO, match_index.target_body("u1")) in after.steps


@pytest.mark.parametrize(
    "fenced",
    [
        made_with(1, "u1", blocks={"write": "true"}),
        made_with(1, "u1") | {"aliases": {"images": {"is_write_index": False}}},
    ],
    ids=["blocked", "not the write index"],
)
def test_a_fence_that_nobody_will_lift_is_lifted(fenced):
    assert AllowWrites("images", ONE) in make(BEFORE, seen({ONE: fenced})).steps
    moving = make(AFTER, seen({ONE: fenced}, {TWO: NEW}, job_of=MOVING))
    assert not [s for s in moving.steps if isinstance(s, AllowWrites)], "the Job does it"


def test_the_fence_of_a_mover_that_outlives_its_job_goes_with_its_badge():
    fenced = made_with(1, "u1") | {"aliases": {"images": {"is_write_index": False}}}
    worn = NEW | {"aliases": {BADGE: {}, "their-own": {}}}
    made = make(AFTER, seen({ONE: fenced}, {TWO: worn}))
    assert [s for s in made.steps if isinstance(s, AllowWrites)] == [
        AllowWrites("images", ONE, TWO, (BADGE,))
    ]


def test_a_fence_over_a_target_without_a_badge_is_lifted_by_who_takes_it_over():
    fenced = made_with(1, "u1", blocks={"write": "true"})
    made = make(AFTER, seen({ONE: fenced}, {TWO: NEW}))
    assert not [s for s in made.steps if isinstance(s, AllowWrites)]
    assert [s.item["kind"] for s in made.steps if isinstance(s, Apply)] == ["Job"]


def test_a_move_is_given_up_before_its_source_takes_writes_and_all_its_targets_at_once():
    fenced = made_with(1, "u1", blocks={"write": "true"})
    three = match_index.backing_index("images", 3)
    worn = NEW | {"aliases": {BADGE: {}}}
    made = make(BEFORE, seen({ONE: fenced}, {TWO: worn, three: made_with(1, "u3")}))
    told = [s for s in made.steps if isinstance(s, AbandonIndex | AllowWrites)]
    assert told == [AbandonIndex("images", ONE, (TWO, three))]


def test_nothing_is_given_up_beside_a_move_since_that_would_allow_writes():
    three = match_index.backing_index("images", 3)
    made = make(AFTER, seen({ONE: OLD}, {TWO: NEW, three: made_with(1, "u3")}))
    assert not [s for s in made.steps if isinstance(s, AbandonIndex)]


@pytest.mark.parametrize(
    "said", [None, {"from": "another", "seen": [7]}], ids=["of a restore", "of another source"]
)
def test_an_index_that_was_not_made_for_this_move_is_removed_and_never_moved_into(said):
    stray = made_with(3, "u2", said)
    made = make(AFTER, seen({ONE: OLD}, {TWO: stray}))
    assert made.steps == (AbandonIndex("images", ONE, (TWO,)),)
    with_job = make(AFTER, seen({ONE: OLD}, {TWO: stray}, job_of=MOVING))
    assert [type(s) for s in with_job.steps] == [Remove], "a mover of an older operator goes first"


def test_a_target_made_while_an_earlier_mover_lives_tells_the_next_to_wait():
    found = seen({ONE: OLD})
    found.children["Pod", "photos-migration-x"] = world.pod("photos-migration-x", names.MIGRATION)
    [made] = [s for s in make(AFTER, found).steps if isinstance(s, CreateIndex)]
    assert made.body["aliases"] == {match_index.operators_badge("images"): {}}


def test_a_job_of_another_image_is_replaced_since_a_job_cannot_be_changed():
    found = seen({ONE: OLD}, {TWO: NEW}, job_of=MOVING)
    found.children["Job", "photos-migration"]["metadata"]["annotations"] = {"match.dev/applied": "old"}
    made = make(AFTER, found)
    assert [type(s) for s in made.steps] == [Remove]


def test_the_job_may_do_nothing_that_a_restricted_namespace_forbids():
    pod = job(AFTER, MOVING)["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["containers"][0]["securityContext"]["readOnlyRootFilesystem"]
