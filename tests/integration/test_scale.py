"""One operator with some tens of MatchClusters on one Elasticsearch; `make scale` has a thousand."""

from collections.abc import Iterator

import pytest

import scale

pytestmark = [pytest.mark.cluster, pytest.mark.elastic]
COUNT, CHANGES = 20, 5
RESYNC = 1
"""Seconds: with it the looks of minutes happen in seconds, quick ones and full ones."""
MEBIBYTES = 300.0


@pytest.fixture(name="there", scope="module")
def _there() -> Iterator[scale.Place]:
    with scale.place(COUNT) as made:
        yield made


@pytest.fixture(name="operator", scope="module")
def _operator(there: scale.Place) -> Iterator[scale.Operator]:
    with scale.operator(there, MATCH_RESYNC_SECONDS=str(RESYNC)) as process:
        scale.make(there, process)
        yield process


def test_settled_matchclusters_cost_no_write_and_are_looked_at_all_the_same(
    there: scale.Place, operator: scale.Operator
) -> None:
    scale.settled(there, operator, 5)  # what came of making them is over
    found = scale.settled(there, operator, 10)
    assert found.writes == []
    assert found.reads > COUNT
    assert found.peak < MEBIBYTES


def test_each_change_reaches_its_deployment(there: scale.Place, operator: scale.Operator) -> None:
    times = list(scale.react(there, CHANGES))
    print(f"\n{max(times):.2f} s at the most")
    assert len(times) == CHANGES
    assert operator.process.poll() is None
