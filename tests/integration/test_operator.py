"""The operator as a process of its own, against a real API server."""

import json
import os
import signal
import time
from datetime import datetime
from typing import Any
from urllib.parse import unquote

import pytest

from apiserver import Bench
from match_operator import names
from match_operator.leadership import DURATION
from operators import Operators
from stories import wait

pytestmark = pytest.mark.cluster

TAKEN_OVER_WITHIN = 20.0
"""Seconds from the loss of the operator that acts, as docs/operations.md promises."""


THOROUGH = pytest.mark.skipif("RELIABILITY" not in os.environ, reason="slow: `make reliability` does it")


@pytest.fixture(name="operators")
def _operators(bench: Bench, tmp_path: Any) -> Any:
    if bench.lab.audit_log is None:
        pytest.skip("a cluster of one's own shows no audit log")
    with Operators(bench, tmp_path) as made:
        yield made


def test_only_its_own_objects_are_asked_for(bench: Bench, operators: Operators):
    """All it ever holds is what the API server sends, so what is selected there bounds its memory."""
    bench.apply()
    operators.start("one")
    operators.wait_seen("photos")
    lists = [c for c in operators.calls("one") if c["verb"] in ("list", "watch")]
    own = ("matchclusters", *names.REQUESTS.values())  # which people write, without labels of ours
    children = [c for c in lists if c["objectRef"]["resource"] not in own]
    assert {c["objectRef"]["resource"] for c in children} >= {"pods", "configmaps", "statefulsets"}
    asked = [unquote(c["requestURI"]) for c in children]
    assert [uri for uri in asked if "labelSelector=match.dev/cluster" not in uri] == []


def test_no_matchcluster_gets_a_finalizer(bench: Bench, operators: Operators):
    bench.apply()
    operators.start("one")
    operators.wait_seen("photos")
    metadata = bench.get("matchcluster", "photos")["metadata"]
    assert "finalizers" not in metadata
    assert list(json.loads(json.dumps(metadata.get("annotations", {})))) == [
        "kubectl.kubernetes.io/last-applied-configuration",
        "match.dev/resolved",
    ]


def test_the_log_can_be_read_by_machines(bench: Bench, operators: Operators):
    bench.apply()
    operator = operators.start("one", MATCH_LOG_FORMAT="json")
    operators.wait_seen("photos")
    lines = [json.loads(line) for line in operator.log.read_text("utf-8").splitlines()]
    steps = [line for line in lines if line.get("cluster") == f"{bench.namespace}/photos"]
    assert {"Resolving", "Applying"} <= {line.get("reason") for line in steps}
    assert all(set(line) >= {"time", "level", "logger", "message"} for line in lines)


@THOROUGH
def test_a_namespace_that_may_not_be_watched_takes_nobody_the_others_care(bench: Bench, operators: Operators):
    operator = operators.start("one", MATCH_WATCH_NAMESPACES=f"{bench.namespace},kube-public")
    refused = "kube-public/matchclusters"
    wait(
        lambda: sum(refused in line for line in operator.log.read_text().splitlines()) > 9,
        150,
        operators.logs,
    )
    bench.apply()
    operators.wait_seen("photos")
    assert operator.get("/healthz", operator.health_port)[0] == 200


# --- who acts -------------------------------------------------------------------------------------------


def lease_of(bench: Bench) -> str:
    """Setting that names the Lease the chart's rights are for."""
    return f"{bench.namespace}/match-operator"


def acts(operators: Operators, name: str) -> bool:
    return operators.running[name].metric("match_operator_leading") == 1


def holder(bench: Bench) -> str:
    spec = bench.get("lease", "match-operator")["spec"]
    return str(spec.get("holderIdentity", ""))


def pair(bench: Bench, operators: Operators) -> None:
    """Two operators, of which the one called one acts."""
    for name in ("one", "two"):
        operators.start(name, MATCH_LEASE=lease_of(bench), MATCH_IDENTITY=name)
        wait(lambda: operators.running["one"].metric("match_operator_leading") == 1, 60, operators.logs)
    two = operators.running["two"]
    wait(lambda: two.get("/healthz", two.health_port)[0] == 200, 60, operators.logs)


def when(call: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(call["requestReceivedTimestamp"])


def test_the_other_acts_soon_after_the_first_was_killed_and_never_beside_it(
    bench: Bench, operators: Operators
):
    bench.apply()
    pair(bench, operators)
    operators.wait_seen("photos")
    assert operators.writes("two") == []
    operators.running["one"].send(signal.SIGKILL)
    killed = time.monotonic()
    bench.apply({"api": {"replicas": 4}})
    operators.wait_seen("photos")
    took = time.monotonic() - killed
    print(f"\ntaken over, and a change written, {took:.1f} s after the kill")
    assert took < TAKEN_OVER_WITHIN
    assert bench.get("deployment", "photos-api")["spec"]["replicas"] == 4
    first, second = operators.writes("one"), operators.writes("two")
    assert first
    assert max(map(when, first)) < min(map(when, second))
    assert holder(bench) == "two"


def test_the_other_acts_at_once_after_the_first_was_stopped(bench: Bench, operators: Operators):
    bench.apply()
    pair(bench, operators)
    operators.wait_seen("photos")
    stopped = time.monotonic()
    operators.running["one"].send(signal.SIGTERM)
    wait(lambda: acts(operators, "two"), 30, operators.logs)
    took = time.monotonic() - stopped
    print(f"\ntaken over {took:.1f} s after the first was told to stop")
    assert operators.running["one"].process.returncode == 0
    assert took < DURATION


@THOROUGH
def test_losing_the_one_that_stands_by_is_not_noticed(bench: Bench, operators: Operators):
    bench.apply()
    pair(bench, operators)
    operators.running["two"].send(signal.SIGTERM)
    assert operators.running["two"].process.returncode == 0
    bench.apply({"api": {"replicas": 3}})
    operators.wait_seen("photos", 20)
    assert holder(bench) == "one"


@THOROUGH
def test_one_that_stood_still_writes_nothing_when_it_wakes(bench: Bench, operators: Operators):
    bench.apply()
    pair(bench, operators)
    operators.wait_seen("photos")
    one = operators.running["one"]
    one.send(signal.SIGSTOP)
    wait(lambda: acts(operators, "two"), 60, operators.logs)
    before = len(operators.writes("one")), len(operators.writes("one", lease=True))
    bench.apply({"api": {"replicas": 4}})
    one.send(signal.SIGCONT)
    assert one.process.wait(30) == 1
    operators.wait_seen("photos")
    assert len(operators.writes("one")) == before[0]
    renewals = operators.writes("one", lease=True)[before[1] :]
    assert [c["responseStatus"]["code"] for c in renewals if c["responseStatus"]["code"] != 409] == []
    assert "could not be renewed" in one.log.read_text("utf-8")


@THOROUGH
def test_two_that_are_settled_write_nothing_but_the_lease(bench: Bench, operators: Operators):
    bench.apply()
    pair(bench, operators)
    operators.wait_seen("photos")

    def settled() -> bool:
        count = len(operators.writes("one"))
        time.sleep(5)  # the quantity is per time
        return len(operators.writes("one")) == count

    wait(settled, 60, operators.logs)
    before = len(operators.calls("one")), len(operators.calls("two"))
    time.sleep(20)  # likewise
    added = operators.calls("one")[before[0] :], operators.calls("two")[before[1] :]
    writes = [[c for c in calls if c["verb"] not in ("get", "list", "watch")] for calls in added]
    assert {c["objectRef"]["resource"] for c in writes[0]} == {"leases"}
    assert 5 <= len(writes[0]) <= 15
    assert writes[1] == []
