"""Argo CD, Flux and kubectl judge a MatchCluster rightly, and the examples for them are whole."""

import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from lupa.lua51 import LuaRuntime

import world
from labcluster import tools
from match_operator import status, unread
from match_operator.plan import Plan, Problem
from world import kept as of

Json = dict[str, Any]
EXAMPLES = Path(__file__).parents[2] / "examples"
NOW = datetime(2026, 1, 1, tzinfo=UTC)

READY = status.make(of(), world.seen(of()), Plan(), NOW)
SILENT = world.seen(of(), elastic=None, silence="it does not answer", status=READY)
LOST = world.seen(
    of(), without=[("Pod", "photos-es-default-0")], elastic=world.elastic(of(), health="yellow"), status=READY
)
REFUSED = Plan(problems=(Problem("VolumeShrinkUnsupported", "set storage.size back"),))
UNREADABLE = Problem("InvalidSpec", "remove x")
PAUSED = of({"paused": True})

SITUATIONS = {
    "not seen yet": (world.body() | {"status": {"observedGeneration": -1}}, "Progressing", "InProgress"),
    "new": (status.make(of(), world.seen(of(), elastic=None), Plan(), NOW), "Progressing", "InProgress"),
    "settled": (READY, "Healthy", "Current"),
    "changed": (world.body(generation=2) | {"status": READY}, "Progressing", "InProgress"),
    "rolling out": (
        status.make(of(), world.seen(of(), status=READY), Plan(waiting_for="a node"), NOW),
        "Progressing",
        "InProgress",
    ),
    "a node lost": (status.make(of(), LOST, Plan(), NOW), "Progressing", "InProgress"),
    "down": (status.make(of(), SILENT, Plan(), NOW), "Degraded", "InProgress"),
    "refused": (status.make(of(), world.seen(of(), status=READY), REFUSED, NOW), "Degraded", "Failed"),
    "invalid": (unread.make(world.body(), UNREADABLE, None, "", NOW), "Degraded", "Failed"),
    "paused": (
        status.make(PAUSED, world.seen(PAUSED, status=READY), Plan(), NOW),
        "Suspended",
        "Current",
    ),
    "deleted": (
        world.body(deletionTimestamp="2026-01-01T00:00:00Z") | {"status": READY},
        "Progressing",
        "Terminating",
    ),
}


def whole(found: Json) -> Json:
    """A MatchCluster with a status."""
    return found if "spec" in found else world.body() | {"status": found}


def argo(body: Json) -> Json:
    """What Argo CD makes of it: its Lua is 5.1, with the object as ``obj``."""
    lua = LuaRuntime(register_eval=False, register_builtins=False)
    lua.globals().obj = lua.table_from(body, recursive=True)
    return dict(lua.execute((EXAMPLES / "argocd/health.lua").read_text("utf-8")))


def kstatus(body: Json) -> str:
    """What Flux and `kubectl wait`-like tools make of it, by the rules of cli-utils' pkg/kstatus/status."""
    if body["metadata"].get("deletionTimestamp"):
        return "Terminating"
    there = body.get("status", {})
    if there.get("observedGeneration", body["metadata"]["generation"]) != body["metadata"]["generation"]:
        return "InProgress"
    conditions = [(c["type"], c["status"]) for c in there.get("conditions", [])]
    for condition in conditions:
        if condition == ("Reconciling", "True"):
            return "InProgress"
        if condition == ("Stalled", "True"):
            return "Failed"
    return (
        "InProgress" if ("Ready", "True") not in conditions and dict(conditions).get("Ready") else "Current"
    )


@pytest.mark.parametrize("situation", SITUATIONS)
def test_argo_cd_shows_how_it_is_and_why(situation: str) -> None:
    body, expected, _ = SITUATIONS[situation]
    health = argo(whole(body))
    assert health["status"] == expected
    assert health["message"]


@pytest.mark.parametrize("situation", SITUATIONS)
def test_flux_waits_for_what_is_not_finished_and_fails_for_what_needs_a_user(situation: str) -> None:
    body, _, expected = SITUATIONS[situation]
    assert kstatus(whole(body)) == expected


def test_an_object_nobody_has_seen_yet_is_not_taken_for_a_finished_one() -> None:
    """Without a status kstatus would call it Current; Flux' own kinds have the same default."""
    assert world.SCHEMA["properties"]["status"]["default"] == {"observedGeneration": -1}


def kustomized(folder: str) -> list[Json]:
    command = [str(tools.kubectl()), "kustomize", str(EXAMPLES / folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return list(yaml.safe_load_all(done.stdout))


@pytest.mark.parametrize("folder", ["kustomize/base", "kustomize/production"])
def test_a_kustomization_builds_a_matchcluster_that_can_be_built(folder: str) -> None:
    (made,) = kustomized(folder)
    jsonschema.validate(
        made.get("spec", {}), world.SCHEMA["properties"]["spec"] | {"additionalProperties": False}
    )
    assert world.objects(world.cluster(made.get("spec"), name=made["metadata"]["name"]))


def test_the_health_script_reaches_argo_cds_settings_and_touches_no_other() -> None:
    (settings,) = kustomized("argocd")
    script = (EXAMPLES / "argocd/health.lua").read_text("utf-8")
    assert settings["metadata"]["name"] == "argocd-cm"
    assert settings["data"] == {"resource.customizations.health.match.dev_MatchCluster": script}


def test_the_operator_comes_before_its_clusters() -> None:
    applications = yaml.safe_load_all((EXAMPLES / "argocd/applications.yaml").read_text("utf-8"))
    waves = {
        a["metadata"]["name"]: int(a["metadata"]["annotations"]["argocd.argoproj.io/sync-wave"])
        for a in applications
    }
    assert waves["match-operator"] < waves["photos"]


def test_paths_in_the_examples_exist() -> None:
    root = EXAMPLES.parent
    for file in ("argocd/applications.yaml", "flux/match.yaml"):
        text = (EXAMPLES / file).read_text("utf-8")
        for word in ("charts/match-operator", "examples/kustomize/production", "values-production.yaml"):
            assert word in text
    assert (root / "examples/helm/values-production.yaml").is_file()
