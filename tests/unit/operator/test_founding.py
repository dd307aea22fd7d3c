"""Who founds the Elasticsearch cluster; that it ends well from any crash is in test_any_order.py."""

import pytest

import world
from match_operator.observed import Observed
from match_operator.plan import founding, membership
from match_operator.plan.steps import Apply
from world import kept as of
from world import node_sets

MASTERS, DATA = ("m", {"roles": ["master"]}), ("d", {"roles": ["data"]})
BOTH = node_sets(MASTERS, DATA)


def silent(cluster, *, formed, without=()):
    """Children as they are while no Elasticsearch answers and no status says whether one ever did."""
    children = world.settled(cluster, world.objects(cluster, formed=formed))
    return Observed(
        {ref: item for ref, item in children.items() if ref[1] not in without and ref not in without}
    )


def founders(cluster, seen):
    return founding.first_masters(cluster, seen, membership.replicas(cluster, seen))


def nodes(name, count=3):
    return tuple(f"photos-es-{name}-{ordinal}" for ordinal in range(count))


def test_a_new_cluster_is_founded_by_all_that_may_vote():
    assert founders(of(BOTH), Observed({})) == nodes("m")


def test_founders_stay_those_that_were_told_when_more_are_asked_for():
    seen = silent(of(BOTH), formed=False)
    more = of(node_sets(("m", {"roles": ["master"], "count": 5}), ("d", {"roles": ["master", "data"]})))
    assert founders(more, seen) == nodes("m")


@pytest.mark.parametrize(
    ("spec", "stalled"),
    [
        (node_sets(("a", {"count": 2}), ("b", {"count": 2})), False),
        (node_sets(("a", {"count": 2})), True),
        (node_sets(("a", {"count": 2, "roles": ["data"]}), "b"), True),
        (node_sets(("a", {"count": 2}), ("b", {"count": 1, "roles": ["data"]})), True),
    ],
    ids=["corrected", "given up", "no master", "fewer"],
)
def test_a_spec_that_leaves_too_few_founders_is_refused_with_the_way_out(spec, stalled):
    """Node set b was refused, so its nodes were never made."""
    first = of(node_sets(("a", {"count": 2}), ("b", {"count": 2})))
    seen = silent(first, formed=False, without={("StatefulSet", "photos-es-b"), *nodes("b")})
    assert founders(of(spec), seen) == (*nodes("a", 2), *nodes("b", 2))
    problems = world.plan_for(of(spec), seen).problems
    assert [problem.reason for problem in problems] == (["FoundersMissing"] if stalled else [])


@pytest.mark.parametrize(
    "spec",
    [
        BOTH,
        node_sets(MASTERS, DATA, ("more", {"roles": ["master"]})),
        node_sets(MASTERS, ("d", {"roles": ["master", "data"]})),
        node_sets("renamed"),
    ],
    ids=["same", "another node set", "another role", "renamed"],
)  # fmt: skip
def test_a_founded_cluster_names_no_founders_again_though_its_status_is_lost(spec):
    assert founders(of(spec), silent(of(BOTH), formed=True)) == ()


def test_one_config_map_that_names_none_any_more_is_enough():
    seen = silent(of(node_sets("a", "b")), formed=False)
    formed = silent(of(node_sets("a", "b")), formed=True)
    seen.children["ConfigMap", "photos-es-b"] = formed.children["ConfigMap", "photos-es-b"]
    assert founders(of(node_sets("a", "b")), seen) == ()


def test_a_config_map_that_no_node_can_have_read_says_nothing():
    gone = {("StatefulSet", "photos-es-m"), *nodes("m")}
    assert founders(of(BOTH), silent(of(BOTH), formed=True, without=gone)) == nodes("m")


def test_founders_keep_their_vote_until_it_is_founded():
    seen = silent(of(node_sets("m")), formed=False)
    barred = of(node_sets(("m", {"roles": ["data"]}), ("n", {"roles": ["master"]})))
    made = world.plan_for(barred, seen)
    assert [problem.reason for problem in made.problems] == ["FoundersMissing"]
    assert "photos-es-m" not in [
        step.item["metadata"]["name"] for step in made.steps if isinstance(step, Apply)
    ]


def test_founders_that_leave_may_still_found_it():
    made = world.plan_for(of(node_sets("renamed")), silent(of(node_sets("m")), formed=False))
    assert made.problems == ()
    assert "Elasticsearch to answer before photos-es-m-2 can be removed" in made.waiting_for


def test_a_config_map_that_somebody_made_unreadable_is_no_obstacle():
    seen = silent(of(BOTH), formed=False)
    seen.children["ConfigMap", "photos-es-m"]["data"]["elasticsearch.yml"] = "{"
    assert founders(of(BOTH), seen) == nodes("m")
