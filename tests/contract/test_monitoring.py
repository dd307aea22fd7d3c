"""Alerts and dashboard are made of metrics that exist, are all documented, and Prometheus takes the rules."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from prometheus_client import REGISTRY
from prometheus_client.metrics import MetricWrapperBase

from match_operator import metrics

ROOT = Path(__file__).resolve().parents[2]
FILES = ROOT / "charts/match-operator/files"
ALERTS = yaml.safe_load((FILES / "alerts.yaml").read_text("utf-8"))
DASHBOARD = json.loads((FILES / "dashboard.json").read_text("utf-8"))
PAGE = (ROOT / "docs/monitoring.md").read_text("utf-8")
RULES: list[dict[str, Any]] = [rule for group in ALERTS["groups"] for rule in group["rules"]]


def families() -> dict[str, MetricWrapperBase]:
    """The operator's metrics by the name without suffixes."""
    found = [m for m in vars(metrics).values() if isinstance(m, MetricWrapperBase)]
    return {family.name: metric for metric in found for family in metric.describe()}


def series() -> set[str]:
    """Every name under which Prometheus may ask for one of them."""
    suffixes = {"counter": ["_total"], "gauge": [""], "histogram": ["_bucket", "_sum", "_count"]}
    return {
        family.name + suffix
        for metric in families().values()
        for family in metric.describe()
        for suffix in suffixes[family.type]
    }


def expressions() -> Iterator[str]:
    yield from (rule["expr"] for rule in RULES)
    yield from (t["expr"] for panel in DASHBOARD["panels"] for t in panel["targets"])
    yield from (v["definition"] for v in DASHBOARD["templating"]["list"] if "definition" in v)


def test_alerts_and_panels_ask_for_metrics_that_exist() -> None:
    asked = {name for expr in expressions() for name in re.findall(r"match_operator_\w+", expr)}
    assert len(asked) > 8
    assert asked - series() == set()
    assert "process_resident_memory_bytes" in {m.name for m in REGISTRY.collect()}


def test_alerts_and_panels_ask_for_labels_that_exist() -> None:
    for expr in expressions():
        for name, inside in re.findall(r"(match_operator_\w+)\{([^}]*)\}", expr):
            base = re.sub(r"_(total|bucket|sum|count)$", "", name)
            metric = families().get(base) or families()[name]
            assert set(re.findall(r"(\w+)=", inside)) <= {*metric._labelnames, "le"}, expr


def test_every_metric_and_every_alert_is_explained() -> None:
    named = {name.removesuffix("_total") for name in re.findall(r"`(match_operator_\w+)`", PAGE)}
    assert named == set(families())
    assert set(re.findall(r"^\| (Match\w+) \|", PAGE, re.MULTILINE)) == {rule["alert"] for rule in RULES}


def test_every_alert_says_how_grave_it_is_and_what_to_do() -> None:
    for rule in RULES:
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert set(rule["annotations"]) == {"summary", "description"}
        assert rule["for"]


def test_the_dashboard_names_no_data_source_of_its_own() -> None:
    for panel in DASHBOARD["panels"]:
        assert {t["datasource"]["uid"] for t in panel["targets"]} == {"${datasource}"}
        assert len({t["refId"] for t in panel["targets"]}) == len(panel["targets"])
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
