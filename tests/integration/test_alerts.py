"""The chart's alerts fire when they should and not before, by Prometheus' own evaluation."""

import os
import subprocess
from pathlib import Path

import pytest
import yaml

from labcluster import tools

ROOT = Path(__file__).parents[2]
RULES = ROOT / "charts/match-operator/files/alerts.yaml"
SITUATIONS = ROOT / "tests/support/alerts.yaml"

pytestmark = pytest.mark.skipif(
    "RELIABILITY" not in os.environ, reason="Prometheus takes minutes to build: `make reliability` does it"
)


def promtool(*words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([str(tools.promtool()), *words], capture_output=True, text=True, check=False)


def test_prometheus_takes_the_rules() -> None:
    done = promtool("check", "rules", "--lint-fatal", str(RULES))
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_fires_when_it_should_and_not_before(tmp_path: Path) -> None:
    rules = yaml.safe_load(RULES.read_text("utf-8"))
    for group in rules["groups"]:
        for rule in group["rules"]:
            rule.pop("annotations")  # promtool would have every word of them repeated
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rules))
    text = SITUATIONS.read_text("utf-8").replace("[RULES]", "[rules.yaml]")
    (tmp_path / "situations.yaml").write_text(text)
    done = promtool("test", "rules", str(tmp_path / "situations.yaml"))
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_alert_is_without_a_situation() -> None:
    rules = {
        rule["alert"] for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]
    }
    tests = yaml.safe_load(SITUATIONS.read_text("utf-8"))["tests"]
    fired = {a["alertname"] for t in tests for a in t["alert_rule_test"] if a.get("exp_alerts")}
    quiet = {a["alertname"] for t in tests for a in t["alert_rule_test"] if not a.get("exp_alerts")}
    assert fired == rules
    assert len(quiet) >= 5
