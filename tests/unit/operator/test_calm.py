"""Which settled MatchClusters need no full look."""

from dataclasses import replace
from typing import Any

import pytest

import world
from match_operator.calm import QUICK_LOOKS, RARELY, Calm, long_rest
from match_operator.errors import ElasticsearchError
from match_operator.observed import Elastic, Glance

KEY = ("lab", "photos")
BODY = world.body(world.external(), resourceVersion="7")
AS_IT_WAS = world.elastic(world.kept(world.external()))


class Answering:
    """An Elasticsearch that says one thing."""

    def __init__(self, elastic: Elastic | None) -> None:
        self.elastic = elastic

    def glance(self, alias: str) -> Glance:
        assert alias == "images"
        if self.elastic is None:
            raise ElasticsearchError("it does not answer")
        return self.elastic.glance


SAME: Any = Answering(AS_IT_WAS)


@pytest.fixture
def calm() -> Calm:
    made = Calm()
    made.keep(KEY, BODY, "images", AS_IT_WAS, made.heard(KEY))
    return made


def test_what_is_as_it_was_left_is_calm(calm: Calm):
    assert calm.holds(KEY, BODY, SAME)
    assert calm.holds(KEY, BODY, SAME)


def test_what_was_never_settled_is_not(calm: Calm):
    assert not calm.holds(("lab", "other"), BODY, SAME)


def test_an_event_is_looked_into_and_until_it_is_settled_again(calm: Calm):
    calm.hear(KEY)
    assert not calm.holds(KEY, BODY, SAME)
    assert not calm.holds(KEY, BODY, SAME)


def test_an_event_during_a_look_is_looked_into_after_it(calm: Calm):
    before = calm.heard(KEY)
    calm.hear(KEY)
    calm.keep(KEY, BODY, "images", AS_IT_WAS, before)
    assert not calm.holds(KEY, BODY, SAME)


def test_a_changed_object_is_looked_into_even_without_an_event(calm: Calm):
    assert not calm.holds(KEY, world.body(world.external(), resourceVersion="8"), SAME)


@pytest.mark.parametrize(
    "now",
    [None, replace(AS_IT_WAS, documents=8), replace(AS_IT_WAS, indices={}), replace(AS_IT_WAS, health="red")],
    ids=["silent", "another image", "no index", "red"],
)
def test_an_elasticsearch_that_changed_or_is_silent_is_looked_into(calm: Calm, now: Elastic | None):
    there: Any = Answering(now)
    assert not calm.holds(KEY, BODY, there)


def test_now_and_then_the_look_is_full_all_the_same(calm: Calm):
    assert [calm.holds(KEY, BODY, SAME) for _ in range(QUICK_LOOKS + 1)] == [True] * QUICK_LOOKS + [False]


def test_one_that_is_gone_is_forgotten(calm: Calm):
    calm.forget(KEY)
    assert not calm.holds(KEY, BODY, SAME)


def test_those_made_together_are_not_looked_at_together():
    rests = sorted(long_rest(60) for _ in range(1000))
    busiest = max(sum(start <= r < start + 60 for r in rests) for start in rests)
    assert busiest < 400
    assert sum(rests) / len(rests) == pytest.approx(60 * RARELY, rel=0.1)
