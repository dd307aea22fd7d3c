"""Whatever the spec asks for and whenever the operator dies: it ends as asked, nothing is lost or left."""

import copy
import os

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from match_operator.plan import awareness, membership
from match_operator.plan.steps import ReplacePod
from simulated import BAD_IMAGE, World
from world import node_sets

EXAMPLES = int(os.environ.get("RELIABILITY", "20"))
"""`make reliability` tries more."""
SETTLED_WITHIN = 400
"""Looks; each is followed by one move of the rest of the world."""

QUIET = 10
"""Looks without anything to do, after which nothing more will come: a node may take this long to start."""

COUNTS = st.integers(1, 4)
ROLES = st.sampled_from([["master", "data"], ["master"], ["data"]])
ONE_SET = st.builds(lambda count: [("a", {"count": count})], COUNTS)
RENAMED = st.builds(lambda count: [("b", {"count": count})], COUNTS)
TWO_SETS = st.builds(
    lambda a, b, roles: [("a", {"count": a}), ("b", {"count": b, "roles": roles})], COUNTS, COUNTS, ROLES
)
EXTRAS = st.sampled_from([{}, {"config": {"x.y": 1}}, {"config": {"x.y": 2}}, {"storage": {"size": "30Gi"}}])


@st.composite
def specs(draw):
    """A spec that could be asked for."""
    extra = draw(EXTRAS)
    sets = [(name, fields | extra) for name, fields in draw(st.one_of(ONE_SET, RENAMED, TWO_SETS))]
    return node_sets(*sets) | {"index": {"replicas": draw(st.integers(0, 2))}}


PAUSES = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 6)), max_size=12)
"""For each look: after how many steps the operator dies, and how far the rest of the world moves on."""


def start(shutdown_api=False, hosts=3, **changes):
    there = World(node_sets(("a", {"count": 3}), **changes), shutdown_api, hosts)
    settle(there)
    return there


def settle(there):
    quiet = 0
    for _ in range(SETTLED_WITHIN):
        quiet = quiet + 1 if there.look() else 0
        there.tick()
        if quiet > QUIET:
            return
    pytest.fail(f"not settled after {SETTLED_WITHIN} looks, but: {there.plan()}")


def check(there):
    assert there.broken_promises == []
    assert there.leftovers == ({}, [], {}), there.plan()
    assert set(there.nodes) == set(membership.wanted(there.cluster))
    assert len(there.copies) == there.cluster.index_replicas + 1
    if awareness.SETTING in there.settings:
        hosts = {there.host(name) for name, node in there.nodes.items() if node.is_data}
        assert len({there.host(c.node) for c in there.copies}) == min(len(hosts), len(there.copies))


FOUNDED_BY = [
    [("masters", {"roles": ["master"]}), ("data", {"roles": ["data"]})],
    [("data", {"roles": ["data"]}), ("masters", {"roles": ["master"]})],
    [("a", {}), ("b", {"roles": ["master"]})],
    [("a", {}), ("b", {"count": 1})],
]
"""Node sets of a new MatchCluster, in the order in which they are made."""


@pytest.mark.parametrize("sets", FOUNDED_BY, ids=lambda sets: "-".join(name for name, _ in sets))
def test_a_crash_after_any_step_of_the_first_look_ends_as_asked(sets):
    for crash_after in range(len(World(node_sets(*sets)).plan().steps)):
        there = World(node_sets(*sets))
        there.look(crash_after)
        settle(there)
        check(there)


@pytest.mark.parametrize("sets", FOUNDED_BY, ids=lambda sets: "-".join(name for name, _ in sets))
@pytest.mark.parametrize("kind", ["ConfigMap", "StatefulSet"])
def test_a_first_try_that_was_refused_ends_as_asked_once_it_is_corrected(sets, kind):
    for name, _ in sets:
        there = World(node_sets(*sets), refused={(kind, f"photos-es-{name}")})
        for _ in range(5):
            there.look()
            there.tick()
        there.refused.clear()
        settle(there)
        check(there)


@st.composite
def founded(draw):
    """Specs that follow one another before anything is founded, and one that asks for all of their nodes."""
    sets = draw(st.permutations(draw(st.sampled_from(FOUNDED_BY))))
    counts = draw(st.lists(st.lists(COUNTS, min_size=len(sets), max_size=len(sets)), min_size=1, max_size=3))
    return [
        node_sets(
            *((name, fields | {"count": count}) for (name, fields), count in zip(sets, each, strict=True))
        )
        for each in [*counts, [max(of) for of in zip(*counts, strict=True)]]
    ]


MISHAPS = st.lists(
    st.tuples(
        st.sets(st.tuples(st.sampled_from(["ConfigMap", "StatefulSet"]), st.sampled_from("ab")), max_size=2),
        st.integers(0, 12),
        st.integers(0, 3),
    ),
    max_size=6,
)
"""For each look: what is refused, of the first or second node set; when the operator dies; moves."""


@given(founded(), MISHAPS)
@settings(max_examples=EXAMPLES, deadline=None, phases=[Phase.generate])
def test_any_mishaps_before_it_is_founded_end_as_asked(specs, mishaps):
    *specs, last = specs
    there = World(specs[0])
    for number, (refused, crash_after, moves) in enumerate(mishaps):
        there.ask(specs[number % len(specs)])
        called = dict(zip("ab", [s["name"] for s in there.spec["elasticsearch"]["nodeSets"]], strict=True))
        there.refused = {(kind, f"photos-es-{called[which]}") for kind, which in refused}
        there.look(crash_after)
        for _ in range(moves):
            there.tick()
    there.refused.clear()
    there.ask(last)
    settle(there)
    check(there)


def test_a_voter_that_was_away_when_it_was_removed_holds_up_neither_of_the_last_two():
    there = start()
    there.ask(node_sets(("a", {"count": 3, "config": {"x.y": 1}})))
    while len(there.nodes) == 3:
        there.look()
        there.tick()
    there.ask(node_sets(("a", {"count": 2, "config": {"x.y": 1}})))
    settle(there)
    check(there)
    there.ask(node_sets(("a", {"count": 1, "config": {"x.y": 1}})))
    settle(there)
    check(there)


def test_a_node_that_started_between_two_writes_has_the_roles_of_a_spec_that_was_taken_back():
    masters, data = (("b", {"count": 2, "roles": [role]}) for role in ("master", "data"))
    all_roles = node_sets(("a", {"count": 2}), ("b", {"count": 2}))
    for fewer in (masters, data):
        there = World(all_roles)
        settle(there)
        there.ask(node_sets(("a", {"count": 2}), fewer))
        there.look(crash_after=1)
        there.take(ReplacePod(there.children["Pod", "photos-es-b-1"], "somebody deletes it"))
        for _ in range(3):
            there.tick()
        there.ask(all_roles)
        settle(there)
        check(there)
        assert there.nodes["photos-es-b-1"].is_master
        assert there.nodes["photos-es-b-1"].is_data


CHANGES = st.lists(st.tuples(specs(), st.booleans(), PAUSES), min_size=1, max_size=4)
"""A spec, whether it names an image that does not exist until it is corrected, and what happens meanwhile."""


@given(CHANGES, st.booleans(), st.integers(1, 3))
@settings(max_examples=EXAMPLES, deadline=None, phases=[Phase.generate])
def test_any_changes_with_crashes_at_any_step_end_as_asked(changes, shutdown_api, hosts):
    there = start(shutdown_api, hosts)
    for spec, mistaken, pauses in changes:
        if mistaken:
            wrong = copy.deepcopy(spec)
            wrong["elasticsearch"]["image"] = BAD_IMAGE
            go_on(there, wrong, pauses)
        go_on(there, spec, pauses)
    settle(there)
    check(there)


def go_on(there, spec, pauses):
    there.ask(spec)
    for crash_after, moves in pauses:
        there.look(crash_after)
        for _ in range(moves):
            there.tick()
