"""How nodes leave: emptied, looked at again, without a vote, and with nothing left behind."""

from dataclasses import replace

import pytest

import world
from match_operator.observed import Disk, Shard
from match_operator.plan import drain
from match_operator.plan.index_steps import UpdateIndex
from match_operator.plan.steps import (
    AdmitVoters,
    Apply,
    ChangeSettings,
    DropVotes,
    ExcludeVoter,
    Remove,
    ReplacePod,
    Shrink,
)
from world import kept as of
from world import node_sets
from world import plan_for as make

THREE, TWO, ONE = (of(node_sets(("a", {"count": n}))) for n in (3, 2, 1))
LAST = "photos-es-a-2"
INDEX = "images-000001"
GIB = 2**30


def told(*nodes, others=()):
    """Settings that keep shards off some nodes."""
    listed = ",".join(sorted(nodes))
    return {drain.EXCLUDE: ",".join([*others, *sorted(nodes)]), drain.MARK: listed} if nodes else {}


def emptied(before, gone, **changes):
    """Seen of ``before`` when Elasticsearch has moved all shards off ``gone``."""
    staying = [name for name, node in world.members(before).items() if node.is_data and name not in gone]
    answers = {"shards": world.copies(before, staying), "settings": told(*gone)} | changes
    return world.seen(before, elastic=world.elastic(before, **answers))


def settings(made):
    return [dict(s.settings) for s in made.steps if isinstance(s, ChangeSettings)]


def removed(made):
    return [(s.item["metadata"]["name"], s.replicas) for s in made.steps if isinstance(s, Shrink)]


def voteless(before, *nodes):
    """Who may elect once some nodes gave up their votes."""
    return frozenset(node.id for name, node in world.members(before).items() if name not in nodes)


# --- emptying --------------------------------------------------------------------------------------------


def test_shards_are_moved_off_before_a_node_goes():
    made = make(TWO, world.seen(THREE))
    assert settings(made) == [told(LAST)]
    assert removed(made) == []
    assert not [s for s in made.steps if isinstance(s, Apply) and s.item["kind"] == "StatefulSet"]


def test_a_node_with_shards_stays_and_the_status_counts_them():
    full = world.copies(THREE, [LAST, "photos-es-a-0"])
    made = make(TWO, emptied(THREE, [LAST], shards=full))
    assert made.steps == ()
    assert made.waiting_for == f"1 shards (1.0 GiB) to leave {LAST}"


def test_a_shard_that_cannot_move_is_named_in_elasticsearchs_words():
    full = world.copies(THREE, [LAST, "photos-es-a-0"])
    made = make(
        TWO, emptied(THREE, [LAST], shards=full, stuck="node photos-es-a-1 does not take it: disk full")
    )
    assert made.waiting_for.endswith(f"to leave {LAST}; node photos-es-a-1 does not take it: disk full")


def test_a_node_is_looked_at_again_after_shards_are_kept_off_it():
    """Empty by chance is not enough: a shard may come at any moment until allocation is excluded."""
    before, after = (
        of(node_sets(("m", {"roles": ["master"]}), ("d", {"count": n, "roles": ["data"]}))) for n in (3, 2)
    )
    made = make(after, emptied(before, ["photos-es-d-2"], settings={}))
    assert (settings(made), removed(made)) == ([told("photos-es-d-2")], [])
    assert removed(make(after, emptied(before, ["photos-es-d-2"]))) == [("photos-es-d", 2)]


def test_a_replica_that_has_no_other_place_does_not_hold_up_its_node():
    theirs = (
        Shard("theirs", 0, True, True, "photos-es-a-0"),
        Shard("theirs", 0, False, True, LAST),
    )
    only_one = of(node_sets(("a", {"count": 1})))
    seen = emptied(THREE, [LAST, "photos-es-a-1"])
    seen = replace(
        seen, elastic=replace(seen.elastic, shards=(*world.copies(ONE, ["photos-es-a-0"]), *theirs))
    )
    assert ExcludeVoter(LAST) in make(only_one, seen).steps


def test_copies_are_given_up_only_once_nodes_begin_to_leave():
    def replicas(seen):
        return [s for s in make(ONE, seen).steps if isinstance(s, UpdateIndex)]

    assert replicas(world.seen(THREE)) == []
    assert replicas(emptied(THREE, [LAST, "photos-es-a-1"])) == [
        UpdateIndex(INDEX, {"number_of_replicas": "0"})
    ]


def test_nothing_leaves_before_those_who_stay_can_take_over():
    renamed = of(node_sets("b"))
    made = make(renamed, world.seen(THREE))
    assert settings(made) == removed(made) == []
    assert "2 more data nodes to join" in made.waiting_for


def test_what_cannot_fit_is_refused_with_both_sizes():
    disks = {n: Disk(total=10 * GIB, free=3 * GIB, shards=1) for n in world.members(THREE)}
    big = world.copies(of(node_sets(("a", {"count": 3}), ) | {"index": {"shards": 3, "replicas": 0}}),
                       [LAST, "photos-es-a-1", "photos-es-a-0"], size=4 * GIB)  # fmt: skip
    made = make(ONE, world.seen(THREE, elastic=world.elastic(THREE, disks=disks, shards=big)))
    assert [p.reason for p in made.problems] == ["NoRoomForShards"]
    assert "hold 8.0 GiB and the nodes that stay have room for 1.5 GiB" in made.problems[0].message
    assert settings(made) == []


# --- going -----------------------------------------------------------------------------------------------


def test_a_master_gives_up_its_vote_before_it_goes():
    assert make(TWO, emptied(THREE, [LAST])).steps == (ExcludeVoter(LAST),)
    asked = emptied(THREE, [LAST], excluded_voters=(LAST,))
    assert make(TWO, asked).steps == ()
    assert make(TWO, asked).waiting_for == f"{LAST} to give up its vote"
    given_up = emptied(THREE, [LAST], excluded_voters=(LAST,), voters=voteless(THREE, LAST))
    assert removed(make(TWO, given_up)) == [("photos-es-a", 2)]


def test_a_vote_taken_before_the_spec_changed_is_given_back_to_one_whose_turn_it_is_not():
    seen = emptied(THREE, [LAST, "photos-es-a-1"], excluded_voters=("photos-es-a-1",))
    assert AdmitVoters(("photos-es-a-1",)) in make(ONE, seen).steps


def test_no_vote_is_taken_that_the_others_need():
    members = world.members(THREE)
    del members["photos-es-a-0"]
    seen = emptied(THREE, [LAST], nodes=members)
    made = make(TWO, seen)
    assert ExcludeVoter(LAST) not in made.steps
    assert "without photos-es-a-2 there would be 1 of 2 votes" in made.waiting_for


def test_votes_of_masters_that_will_not_come_back_are_dropped():
    dead = {"voters": frozenset({"id-photos-es-a-0", "id-photos-es-a-1", "id-photos-es-a-2"})}
    assert make(TWO, emptied(TWO, [], **dead)).steps == (DropVotes(("id-photos-es-a-2",)),)
    one_is_away = {name: node for name, node in world.members(TWO).items() if name != "photos-es-a-1"}
    assert make(TWO, emptied(TWO, [], nodes=one_is_away, **dead)).steps == ()


def test_masters_go_one_at_a_time():
    before = of(node_sets(("a", {"count": 3}), ("b", {"count": 3})))
    after = of(node_sets(("a", {"count": 2}), ("b", {"count": 2})))
    going = ["photos-es-a-2", "photos-es-b-2"]
    made = make(after, emptied(before, going))
    assert [s.node for s in made.steps if isinstance(s, ExcludeVoter)] == ["photos-es-a-2"]


def test_data_nodes_without_a_vote_go_one_from_each_set():
    masters = ("m", {"roles": ["master"]})
    sets = [(name, {"count": 3, "roles": ["data"]}) for name in "ab"]
    fewer = [(name, {"count": 2, "roles": ["data"]}) for name in "ab"]
    made = make(
        of(node_sets(masters, *fewer)), emptied(of(node_sets(masters, *sets)), [LAST, "photos-es-b-2"])
    )
    assert removed(made) == [("photos-es-a", 2), ("photos-es-b", 2)]


def test_a_node_that_is_away_is_removed_unless_it_may_hold_the_only_copy():
    def away(health):
        members = world.members(THREE)
        del members[LAST]
        seen = emptied(THREE, [LAST], nodes=members, health=health)
        del seen.children["Pod", LAST]
        return make(TWO, seen)

    assert removed(away("yellow")) == [("photos-es-a", 2)]
    assert removed(away("red")) == []
    assert "which is red" in away("red").waiting_for


def test_a_node_that_went_after_health_was_read_stays_while_a_primary_shard_is_missing():
    members = world.members(THREE)
    del members[LAST]
    seen = emptied(THREE, [LAST], nodes=members, health="green")
    [first, *others] = seen.elastic.shards
    assert first.primary
    lost = replace(first, started=False, node="")
    seen = replace(seen, elastic=replace(seen.elastic, shards=(lost, *others)))

    made = make(TWO, seen)

    assert removed(made) == []
    assert made.waiting_for == f"1 primary shards to be started before the absent {LAST} is removed"


def test_nothing_is_removed_while_elasticsearch_is_silent():
    made = make(TWO, world.seen(THREE, elastic=None))
    assert made.steps == ()
    assert "Elasticsearch to answer before photos-es-a-2 can be removed" in made.waiting_for


def test_nodes_that_somebody_added_by_hand_are_emptied_first():
    seen = world.seen(THREE)
    seen.children["StatefulSet", "photos-es-a"]["spec"]["replicas"] = 5
    made = make(THREE, seen)
    assert settings(made) == [told("photos-es-a-3", "photos-es-a-4")]


# --- removed node sets -----------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["Retain", "Delete"])
def test_the_volumes_of_a_removed_node_set_go_as_those_of_a_smaller_one(policy):
    after = of(node_sets("a", volumes={"onScaleDown": policy, "onDelete": "Delete"}))
    before = of(node_sets("a", ("b", {"count": 1, "roles": ["data"]})))
    (shrink,) = [s for s in make(after, emptied(before, ["photos-es-b-0"])).steps if isinstance(s, Shrink)]
    assert (shrink.item["metadata"]["name"], shrink.replicas, shrink.policy) == ("photos-es-b", 0, policy)


def test_a_removed_node_set_goes_when_its_last_node_is_gone():
    before, after = of(node_sets("a", "b")), of(node_sets("a"))
    seen = world.seen(before, elastic=world.elastic(after))
    for name in [n for kind, n in seen.children if kind == "Pod" and "-b-" in n]:
        del seen.children["Pod", name]
    seen.children["StatefulSet", "photos-es-b"]["spec"]["replicas"] = 0
    assert [s.item["kind"] for s in make(after, seen).steps if isinstance(s, Remove)] == ["StatefulSet"]
    del seen.children["StatefulSet", "photos-es-b"]
    assert [s.item["kind"] for s in make(after, seen).steps if isinstance(s, Remove)] == ["ConfigMap"]


# --- roles -----------------------------------------------------------------------------------------------


def test_a_node_that_is_to_hold_no_data_is_emptied_before_it_is_restarted():
    before = of(node_sets(("a", {"count": 3}), ("d", {"count": 2, "roles": ["data"]})))
    after = of(node_sets(("a", {"count": 3, "roles": ["master"]}), ("d", {"count": 2, "roles": ["data"]})))
    members = [f"photos-es-a-{i}" for i in range(3)]
    seen = world.seen(after, elastic=world.elastic(before))
    seen.children["StatefulSet", "photos-es-a"]["status"]["updateRevision"] = "r2"
    made = make(after, seen)
    assert settings(made)[0] == told(*members)
    assert not [s for s in made.steps if isinstance(s, ReplacePod)]
    clear = world.copies(before, ["photos-es-d-0", "photos-es-d-1"])
    seen = replace(seen, elastic=world.elastic(before, shards=clear, settings=told(*members)))
    assert [s.pod["metadata"]["name"] for s in make(after, seen).steps if isinstance(s, ReplacePod)] == [LAST]


# --- nothing stays behind --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "left",
    [
        {"settings": told(LAST)},
        {"settings": told(LAST, "photos-es-gone-0")},
        {"settings": {drain.MARK: LAST}},
    ],
    ids=["after it left", "after others left", "after half of it was lost"],
)
def test_exclusions_are_lifted_once_nobody_is_to_leave(left):
    made = make(THREE, world.seen(THREE, elastic=world.elastic(THREE, **left)))
    assert settings(made) == [{drain.EXCLUDE: None, drain.MARK: None}]


def test_votes_are_given_back_once_a_node_is_gone_or_may_stay():
    for cluster, excluded in ((TWO, LAST), (THREE, LAST)):
        made = make(cluster, world.seen(cluster, elastic=world.elastic(cluster, excluded_voters=(excluded,))))
        assert made.steps == (AdmitVoters((excluded,)),)


def test_a_vote_is_not_given_back_while_its_node_is_still_stopping():
    seen = world.seen(THREE, elastic=world.elastic(THREE, excluded_voters=(LAST,), settings=told(LAST)))
    seen.children["StatefulSet", "photos-es-a"]["spec"]["replicas"] = 2
    made = make(TWO, seen)
    assert made.steps == ()
    assert (
        made.waiting_for == f"1 shards (1.0 GiB) to leave {LAST}" or f"{LAST} to be gone" in made.waiting_for
    )


def test_what_somebody_else_excluded_stays_excluded():
    theirs = {drain.EXCLUDE: "10-a,photos-es-a-0"}
    assert make(THREE, world.seen(THREE, elastic=world.elastic(THREE, settings=theirs))).steps == ()
    both = told(LAST, others=["photos-es-a-0"])
    made = make(THREE, world.seen(THREE, elastic=world.elastic(THREE, settings=both)))
    assert settings(made) == [{drain.EXCLUDE: "photos-es-a-0", drain.MARK: None}]
