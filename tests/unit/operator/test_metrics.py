"""What Prometheus reads: the names and labels here are what dashboards and alerts are made of."""

from datetime import UTC, datetime

import pytest
from prometheus_client import REGISTRY

import world
from match_operator import metrics, status
from match_operator.errors import ConflictError, KubernetesError
from match_operator.plan import Plan
from world import kept as of

KEY = ("lab", "counted")
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _clean():
    metrics.forget(KEY)
    yield
    metrics.forget(KEY)


def value(name, **labels):
    return REGISTRY.get_sample_value(name, {"namespace": KEY[0], "name": KEY[1], **labels})


def look(error=None):
    with metrics.reconcile(KEY):
        if error:
            raise error


def test_looks_are_counted_by_how_they_end_and_the_last_good_one_is_remembered():
    before = REGISTRY.get_sample_value("match_operator_reconcile_duration_seconds_count")
    look()
    for error in (KubernetesError("refused"), ConflictError("changed")):
        with pytest.raises(type(error)):
            look(error)
    outcomes = ("success", "error", "conflict")
    assert [value("match_operator_reconciles_total", outcome=o) for o in outcomes] == [1, 1, 1]
    assert value("match_operator_last_success_timestamp_seconds") > 1.7e9
    assert REGISTRY.get_sample_value("match_operator_reconcile_duration_seconds_count") == before + 3


def test_a_status_is_shown_as_numbers():
    made = status.make(of(), world.seen(of(), elastic=world.elastic(of(), health="yellow")), Plan(), NOW)
    metrics.observe(KEY, made)
    assert value("match_operator_cluster_condition", condition="Ready") == 0
    assert value("match_operator_cluster_condition", condition="IndexReady") == 1
    assert value("match_operator_cluster_health", health="yellow") == 1
    assert value("match_operator_cluster_health", health="green") == 0
    numbers = ("nodes", "nodes_ready", "api_pods_ready", "images")
    assert [value(f"match_operator_cluster_{n}") for n in numbers] == [3, 3, 2, 7]


def test_what_is_not_known_yet_has_no_series():
    metrics.observe(KEY, {"conditions": [{"type": "Ready", "status": "False"}]})
    assert value("match_operator_cluster_condition", condition="Ready") == 0
    assert value("match_operator_cluster_nodes") is None
    assert value("match_operator_cluster_health", health="unknown") is None


def test_nothing_is_left_of_a_cluster_that_is_gone():
    look()
    metrics.decided(KEY, "Applying")
    metrics.observe(KEY, status.make(of(), world.seen(of()), Plan(), NOW))
    metrics.forget(KEY)
    left = [s for family in REGISTRY.collect() for s in family.samples if s.labels.get("name") == KEY[1]]
    assert left == []
