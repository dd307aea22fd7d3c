"""Under load, at overload and while Elasticsearch restarts, for seconds: what docs/load.md promises."""

import pytest

import load


@pytest.mark.parametrize("store", ["embedded", pytest.param("elasticsearch", marks=pytest.mark.elastic)])
def test_load_and_overload_are_answered_and_nothing_acknowledged_is_lost(store: str) -> None:
    made = load.run(store, steady=8, overload=6)
    print(load.report([made], 8 / 60))
    assert made.broken == []
    assert min(made.steady.rate, made.overload.rate, made.recovery.rate) > 0
