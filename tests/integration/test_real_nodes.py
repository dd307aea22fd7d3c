"""The rules for nodes against a real Elasticsearch of several nodes; only Kubernetes is a toy."""

import os
import random
import time
from collections.abc import Iterator

import pytest

from realnodes import RealWorld, Writer, check, formed, settle
from world import node_sets

pytestmark = pytest.mark.elastic
CHAOS_MINUTES = float(os.environ.get("CHAOS_MINUTES", "0"))
CHAOS_SEED = int(os.environ.get("CHAOS_SEED", "1"))
LIMITS = ("80%", "85%", "90%")


@pytest.fixture(name="there")
def _there() -> Iterator[RealWorld]:
    with formed(node_sets(("a", {"count": 3})), RealWorld) as made:
        yield made


@pytest.mark.skipif(not CHAOS_MINUTES, reason="minutes long: `make reliability` sets CHAOS_MINUTES")
def test_nodes_leave_come_move_and_restart_and_no_document_is_lost(there: RealWorld):
    with Writer(there) as writer:
        there.ask(node_sets(("a", {"count": 1})))
        settle(there, crashes=[1, 0, 1, 1, 0, 1])
        check(there, writer)
        there.ask(node_sets(("b", {"count": 2})))
        settle(there, crashes=[2, 1, 1])
        check(there, writer)
        there.ask(node_sets(("b", {"count": 2, "config": {"indices.breaker.total.limit": "85%"}})))
        settle(there)
        check(there, writer)
    print(f"\n{writer.added} documents added, 0 lost, health {dict(writer.health)}")
    assert "red" not in writer.health


@pytest.mark.skipif(not CHAOS_MINUTES, reason="a minute long: `make reliability` sets CHAOS_MINUTES")
def test_a_voter_that_was_dead_when_it_was_removed_holds_up_neither_of_the_last_two(there: RealWorld):
    with Writer(there) as writer:
        there.ask(node_sets(("a", {"count": 2})))
        there.kill("photos-es-a-2")
        settle(there)
        check(there, writer)
        there.ask(node_sets(("a", {"count": 1})))
        settle(there)
        check(there, writer)


@pytest.mark.skipif(not CHAOS_MINUTES, reason="`make reliability` sets CHAOS_MINUTES")
@pytest.mark.timeout(CHAOS_MINUTES * 60 + 900)
def test_random_changes_and_kills_lose_no_document(there: RealWorld):
    """The same seed asks for and kills the same; what that meets differs with the machine."""
    chance, end, done = random.Random(CHAOS_SEED), time.monotonic() + CHAOS_MINUTES * 60, 0
    with Writer(there) as writer:
        while time.monotonic() < end:
            there.ask(any_spec(chance))
            for _ in range(chance.randrange(40)):
                there.look(chance.choice((None, None, 0, 1, 2)))
                there.tick()
                if chance.random() < 0.02:
                    there.kill(chance.choice(sorted(there.processes)))
            if chance.random() < 0.5:
                settle(there)
                check(there, writer)
            done += 1
        settle(there)
        check(there, writer)
    print(
        f"\nseed {CHAOS_SEED}: {done} changes, {writer.added} documents added, 0 lost, {dict(writer.health)}"
    )


def any_spec(chance: random.Random) -> dict:
    """Up to three nodes, in one set or another, with one setting or another."""
    fields = {"count": chance.randint(1, 3), "config": {"indices.breaker.total.limit": chance.choice(LIMITS)}}
    return node_sets((chance.choice("ab"), fields)) | {"index": {"replicas": chance.randint(0, 2)}}
