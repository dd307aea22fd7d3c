"""When a node may be restarted: one table of situations for each rule."""

import copy
from dataclasses import replace

import pytest

import world
from match_operator.observed import Shard, Shutdown
from match_operator.plan import restart
from match_operator.plan.steps import ChangeSettings, DropShutdown, Flush, PutShutdown, ReplacePod
from world import kept as of
from world import node_sets
from world import plan_for as make

BROKEN = {"status": {"conditions": [{"type": "Ready", "status": "False"}]}}
INDEX = "images-000001"


def outdated(cluster, **pods):
    """A settled cluster with a new revision; ``pods`` names those to be broken or already new."""
    seen = world.seen(cluster)
    for (kind, _), item in seen.children.items():
        if kind == "StatefulSet":
            item["status"]["updateRevision"] = "r2"
    for name, change in pods.items():
        seen.children["Pod", name.replace("_", "-")] |= copy.deepcopy(change)
    return seen


def with_elastic(cluster, seen, **changes):
    return replace(seen, elastic=world.elastic(cluster, **changes))


def without(cluster, *nodes):
    """The members, less some."""
    return {name: node for name, node in world.members(cluster).items() if name not in nodes}


def replaced(made):
    return [s.pod["metadata"]["name"] for s in made.steps if isinstance(s, ReplacePod)]


def updated(seen, *nodes):
    """Some pods are of the new revision."""
    for name in nodes:
        seen.children["Pod", name]["metadata"]["labels"]["controller-revision-hash"] = "r2"
    return seen


# --- order and number ------------------------------------------------------------------------------------


def test_working_nodes_are_replaced_one_at_a_time_from_the_highest():
    assert replaced(make(of(), outdated(of()))) == ["photos-es-default-2"]


def test_data_nodes_go_before_masters():
    spec = node_sets(("a", {"roles": ["master"]}), ("b", {"roles": ["data"]}))
    assert replaced(make(of(spec), outdated(of(spec)))) == ["photos-es-b-2"]


def test_the_elected_master_goes_last():
    seen = updated(outdated(of()), "photos-es-default-0")
    for elected, first in (
        ("photos-es-default-2", "photos-es-default-1"),
        ("photos-es-default-1", "photos-es-default-2"),
    ):
        assert replaced(make(of(), with_elastic(of(), seen, master=elected))) == [first]


def test_as_many_go_together_as_may_be_away_and_share_no_shard():
    spec = node_sets(
        ("m", {"roles": ["master"]}), ("d", {"count": 4, "roles": ["data"]}), update={"maxUnavailable": 2}
    )
    shards = world.copies(of(spec), ["photos-es-d-3", "photos-es-d-2"])
    seen = with_elastic(of(spec), outdated(of(spec)), shards=shards)
    made = make(of(spec), seen)
    assert replaced(made) == ["photos-es-d-3"]
    apart = world.copies(of(spec), ["photos-es-d-3", "photos-es-d-0"])
    assert replaced(make(of(spec), replace(seen, elastic=replace(seen.elastic, shards=apart)))) == [
        "photos-es-d-3",
        "photos-es-d-2",
    ]


def test_masters_go_one_at_a_time_however_many_may_be_away():
    spec = node_sets(("m", {"roles": ["master"]}), ("d", {"roles": ["data"]}), update={"maxUnavailable": 3})
    seen = updated(outdated(of(spec)), *(f"photos-es-d-{i}" for i in range(3)))
    assert replaced(make(of(spec), seen)) == ["photos-es-m-2"]


def test_a_node_that_does_not_work_counts_as_away():
    spec = node_sets(("default", {"count": 5}), update={"maxUnavailable": 2})
    seen = updated(outdated(of(spec), photos_es_default_0=BROKEN), "photos-es-default-0")
    seen = with_elastic(of(spec), seen, nodes=without(of(spec), "photos-es-default-0"), health="green")
    made = make(of(spec), seen)
    assert replaced(made) == []
    assert (
        made.waiting_for
        == "the master node photos-es-default-0 to come back before photos-es-default-4 is restarted"
    )


# --- a corrected spec always takes effect ----------------------------------------------------------------


def test_a_broken_outdated_node_is_replaced_whatever_the_health():
    seen = outdated(of(), photos_es_default_1=BROKEN)
    assert replaced(make(of(), replace(seen, elastic=None))) == ["photos-es-default-1"]
    red = with_elastic(of(), seen, health="red", nodes=without(of(), "photos-es-default-1"))
    assert replaced(make(of(), red)) == ["photos-es-default-1"]


def test_all_broken_outdated_nodes_are_replaced_together():
    seen = outdated(of(), **{f"photos_es_default_{i}": BROKEN for i in range(3)})
    assert len(replaced(make(of(), replace(seen, elastic=None)))) == 3


def test_a_member_that_is_only_not_ready_is_replaced_as_carefully_as_a_working_one():
    """A wrong readiness probe makes every node unready, while each holds shards that are in use."""
    seen = outdated(of(), photos_es_default_2=BROKEN)
    assert replaced(make(of(), seen)) == ["photos-es-default-2"]
    lonely = world.copies(of({"index": {"replicas": 1}}), ["photos-es-default-2", "photos-es-default-1"])
    lonely = tuple(replace(s, started=s.primary) for s in lonely)
    made = make(of(), with_elastic(of(), seen, shards=lonely))
    assert replaced(made) == []
    assert "second copy of shard 0 of index images-000001" in made.waiting_for


def test_a_node_already_going_is_not_deleted_again():
    seen = outdated(of(), photos_es_default_2=BROKEN)
    seen.children["Pod", "photos-es-default-2"]["metadata"]["deletionTimestamp"] = "now"
    assert replaced(make(of(), seen)) == []


# --- health ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"health": "yellow"}, "the health of Elasticsearch to become green; it is yellow"),
        ({"health": "red"}, "the health of Elasticsearch to become green; it is red"),
        ({"moving_shards": 3}, "3 shards to reach their nodes"),
        ({"nodes": without(of(), "photos-es-default-1")}, "node photos-es-default-1 to join the cluster"),
    ],
)
def test_a_working_node_waits_until_its_shards_are_safe(changes, sentence):
    made = make(of(), with_elastic(of(), outdated(of()), **changes))
    assert (replaced(made), made.waiting_for) == ([], sentence)


def test_a_working_node_waits_for_one_that_is_missing():
    seen = outdated(of())
    del seen.children["Pod", "photos-es-default-2"]
    made = make(of(), seen)
    assert (replaced(made), made.waiting_for) == ([], "1 of 3 Elasticsearch nodes to become ready")


@pytest.mark.parametrize("shutdowns", [None, ()], ids=["settings", "shutdown API"])
def test_a_node_that_is_ready_and_no_member_is_waited_for(shutdowns):
    there = without(of(), "photos-es-default-2")
    made = make(of(), with_elastic(of(), outdated(of()), nodes=there, shutdowns=shutdowns))
    assert replaced(made) == []
    assert made.waiting_for == "node photos-es-default-2 to join the cluster"


def test_a_working_node_waits_while_elasticsearch_is_silent():
    made = make(of(), replace(outdated(of()), elastic=None, silence="it does not answer"))
    assert (replaced(made), made.waiting_for) == ([], "Elasticsearch to answer: it does not answer")


def test_a_single_data_node_is_restarted_though_it_can_never_be_green():
    one = of(node_sets(("a", {"count": 1})))
    foreign = (Shard("theirs", 0, True, True, "photos-es-a-0"), Shard("theirs", 0, False, False, ""))
    seen = with_elastic(one, outdated(one), health="yellow", shards=foreign)
    assert replaced(make(one, seen)) == ["photos-es-a-0"]


def rising(cluster, *, sole_on="photos-es-default-2"):
    """Half way up to a new version: a copy of a primary on a newer node has no place to go."""
    nodes = world.members(cluster, "8.18.0") | {
        "photos-es-default-2": replace(world.members(cluster)["photos-es-default-2"], version="8.19.21")
    }
    shards = (
        Shard(INDEX, 0, True, True, sole_on),
        Shard(INDEX, 0, False, False, ""),
        Shard("other", 0, True, True, "photos-es-default-1"),
        Shard("other", 0, False, True, "photos-es-default-0"),
    )
    seen = updated(outdated(cluster), "photos-es-default-2")
    return with_elastic(cluster, seen, health="yellow", nodes=nodes, shards=shards)


def test_yellow_does_not_stop_a_rise_in_version_that_would_end_it():
    assert replaced(make(of(), rising(of()))) == ["photos-es-default-1"]


def test_yellow_stops_a_rise_in_version_where_the_node_has_the_only_copy():
    made = make(of(), rising(of(), sole_on="photos-es-default-1"))
    assert replaced(made) == []
    assert made.waiting_for == (
        "a second copy of shard 0 of index images-000001, whose only one is on photos-es-default-1"
    )


def test_an_index_without_copies_by_intent_does_not_stop_a_restart():
    spec = {"index": {"replicas": 0}}
    assert replaced(make(of(spec), outdated(of(spec)))) == ["photos-es-default-2"]


# --- revisions -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("started", "written", "replaced_pods"),
    [("10:00:00", "10:00:05", ["photos-es-default-2"]), ("10:00:05", "10:00:00", [])],
)
def test_a_node_with_the_roles_of_a_spec_that_was_taken_back_is_replaced(started, written, replaced_pods):
    members = world.members(of())
    members["photos-es-default-2"] = replace(members["photos-es-default-2"], is_master=False)
    seen = world.seen(of(), elastic=world.elastic(of(), nodes=members))
    config = seen.children["ConfigMap", "photos-es-default"]["metadata"]
    config["managedFields"] = [{"manager": "match-operator", "time": f"2026-01-01T{written}Z"}]
    seen.pod("photos-es-default-2")["status"]["startTime"] = f"2026-01-01T{started}Z"
    assert replaced(make(of(), seen)) == replaced_pods


def test_nothing_is_replaced_in_the_same_breath_as_a_changed_stateful_set():
    after = of(node_sets(("default", {"config": {"indices.breaker.total.limit": "80%"}})))
    assert replaced(make(after, outdated(of()))) == []


def test_revisions_are_not_believed_before_the_controller_has_seen_the_change():
    seen = outdated(of())
    seen.children["StatefulSet", "photos-es-default"]["metadata"]["generation"] = 2
    made = make(of(), seen)
    assert replaced(made) == []
    assert "to take note of the new StatefulSet" in made.waiting_for


# --- what Elasticsearch is told --------------------------------------------------------------------------

LAST = "photos-es-default-2"
HELD = {restart.ENABLE: "primaries", restart.MARK: LAST}


def entry(name, *, complete=True, reason=restart.REASON):
    return Shutdown(f"id-{name}", reason + name, complete, "persistent tasks are moving")


def told(made):
    return [s for s in made.steps if not isinstance(s, ReplacePod)]


def test_without_the_shutdown_api_only_primaries_are_allocated_and_indices_are_flushed():
    steps = make(of(), outdated(of())).steps
    assert [type(s) for s in steps] == [ChangeSettings, Flush, ReplacePod]
    assert steps[0].settings == HELD


@pytest.mark.parametrize(
    ("entries", "steps", "waiting"),
    [
        ((), [PutShutdown(LAST, f"id-{LAST}")], ""),
        ((entry(LAST, complete=False),), [], f"Elasticsearch to let {LAST} go: persistent tasks are moving"),
        ((entry(LAST),), ["replaced"], ""),
    ],
)
def test_with_the_shutdown_api_a_node_goes_when_elasticsearch_lets_it(entries, steps, waiting):
    made = make(of(), with_elastic(of(), outdated(of()), shutdowns=entries))
    assert ["replaced" if isinstance(s, ReplacePod) else s for s in made.steps] == steps
    assert made.waiting_for == waiting


def test_the_only_node_is_never_announced_since_it_would_stay_unready_and_out_of_reach():
    one = of(node_sets(("a", {"count": 1})))
    made = make(one, with_elastic(one, outdated(one), shutdowns=()))
    assert [type(s) for s in made.steps] == [ChangeSettings, Flush, ReplacePod]


def test_what_was_told_stands_while_the_node_is_away():
    seen = outdated(of(), photos_es_default_2=BROKEN)
    seen.children["Pod", LAST]["metadata"]["deletionTimestamp"] = "now"
    for changes in ({"shutdowns": (entry(LAST),)}, {"settings": HELD}):
        assert make(of(), with_elastic(of(), seen, nodes=without(of(), LAST), **changes)).steps == ()


def test_a_shutdown_is_ended_before_its_node_is_ready_since_elasticsearch_keeps_it_unready_until_then():
    seen = updated(outdated(of(), photos_es_default_2=BROKEN), *world.members(of()))
    made = make(of(), with_elastic(of(), seen, shutdowns=(entry(LAST),)))
    assert made.steps == (DropShutdown(LAST, f"id-{LAST}"),)


@pytest.mark.parametrize("health", ["green", "yellow"])
def test_what_was_told_is_taken_back_when_the_node_is_back(health):
    seen = updated(outdated(of()), *world.members(of()))
    made = make(of(), with_elastic(of(), seen, health=health, shutdowns=(entry(LAST),)))
    assert made.steps == (DropShutdown(LAST, f"id-{LAST}"),)
    made = make(of(), with_elastic(of(), seen, health=health, settings=HELD))
    assert [s.settings for s in made.steps] == [{restart.ENABLE: None, restart.MARK: None}]


def test_what_was_told_is_taken_back_when_the_spec_was_reverted():
    assert make(of(), world.seen(of(), elastic=world.elastic(of(), shutdowns=(entry(LAST),)))).steps == (
        DropShutdown(LAST, f"id-{LAST}"),
    )


def test_a_node_that_cannot_come_back_does_not_keep_the_others_copies_waiting():
    seen = world.seen(of())
    waiting = {"state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}}
    seen.children["Pod", LAST]["status"] = {"containerStatuses": [waiting]}
    made = make(of(), with_elastic(of(), seen, nodes=without(of(), LAST), settings=HELD, health="yellow"))
    assert [s.settings for s in made.steps] == [{restart.ENABLE: None, restart.MARK: None}]


def test_what_somebody_else_told_elasticsearch_is_left_alone():
    foreign = (Shutdown("id-x", "maintenance by hand", True),)
    assert make(of(), world.seen(of(), elastic=world.elastic(of(), shutdowns=foreign))).steps == ()
    theirs = world.elastic(of(), settings={restart.ENABLE: "primaries"})
    assert make(of(), world.seen(of(), elastic=theirs)).steps == ()


@pytest.mark.parametrize("where", ["settings", "overrides"])
def test_no_node_is_restarted_while_somebody_else_holds_back_allocation(where):
    made = make(of(), with_elastic(of(), outdated(of()), **{where: {restart.ENABLE: "none"}}))
    assert made.steps == ()
    assert made.waiting_for.endswith("somebody set it to none")
