"""matchctl against a real API server."""

import json
from pathlib import Path
from typing import Any

import pytest

from apiserver import Bench
from match_operator import ctl, names

pytestmark = pytest.mark.cluster


def run(bench: Bench, *words: str) -> int:
    """Exit code of a command; 0 where it ends without one."""
    try:
        ctl.main(["--kubeconfig", str(bench.lab.kubeconfig), *words])
    except SystemExit as exit_:
        if isinstance(exit_.code, str):
            print(exit_.code)
            return 1
        return int(exit_.code or 0)
    return 0


def file(folder: Path, bench: Bench, spec: dict[str, Any]) -> str:
    """A file with the MatchCluster."""
    body = {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND,
        "metadata": {"name": "photos", "namespace": bench.namespace},
        "spec": spec,
    }
    path = folder / "photos.json"
    path.write_text(json.dumps(body))
    return str(path)


def test_diff_shows_what_an_apply_would_do_and_does_none_of_it(bench: Bench, tmp_path: Path, capsys: Any):
    bench.apply()
    bench.reconcile()
    before = bench.get("matchcluster", "photos")["metadata"]["resourceVersion"]
    assert run(bench, "diff", "-f", file(tmp_path, bench, {})) == 0
    assert "nothing would change" in capsys.readouterr().out
    assert run(bench, "diff", "-f", file(tmp_path, bench, {"api": {"replicas": 4}})) == 2
    assert "spec.replicas: 2 -> 4" in capsys.readouterr().out
    assert bench.get("matchcluster", "photos")["metadata"]["resourceVersion"] == before


def test_diff_says_what_the_api_server_or_the_operator_would_refuse(
    bench: Bench, tmp_path: Path, capsys: Any
):
    bench.apply()
    bench.reconcile()
    assert run(bench, "diff", "-f", file(tmp_path, bench, {"index": {"name": "other"}})) == 1
    assert "the name of the index cannot be changed" in capsys.readouterr().out
    smaller = {"elasticsearch": {"nodeSets": [{"name": "default", "storage": {"size": "1Gi"}}]}}
    assert run(bench, "diff", "-f", file(tmp_path, bench, smaller)) == 1
    assert "! VolumeShrinkUnsupported" in capsys.readouterr().out


def test_a_restart_that_is_asked_for_reaches_the_pods(bench: Bench):
    bench.apply()
    bench.reconcile()
    assert run(bench, "restart", "photos", "-n", bench.namespace, "--api") == 0
    bench.reconcile()
    for kind, name, restarted in (
        ("deployment", "photos-api", True),
        ("statefulset", "photos-es-default", False),
    ):
        template = bench.get(kind, name)["spec"]["template"]
        assert (names.RESTARTED_ANNOTATION in template["metadata"].get("annotations", {})) is restarted


def test_a_restart_of_what_is_not_there_is_said(bench: Bench, capsys: Any):
    assert run(bench, "restart", "nothing", "-n", bench.namespace) == 1
    assert '"nothing" not found' in capsys.readouterr().err


def test_the_doctor_finds_these_schemas(bench: Bench, capsys: Any):
    run(bench, "doctor")
    said = capsys.readouterr().out
    assert "ok Kubernetes v1." in said
    for kind in ("MatchCluster", "MatchSnapshot", "MatchRestore"):
        assert f"ok the schema of {kind}s" in said


def test_logs_of_a_cluster_without_pods_are_said(bench: Bench, capsys: Any):
    assert run(bench, "logs", "photos", "-n", bench.namespace) == 1
    assert "has no pod" in capsys.readouterr().err


def test_status_shows_the_tree(bench: Bench, capsys: Any):
    bench.apply()
    bench.reconcile()
    assert run(bench, "status", "photos", "-n", bench.namespace) == 1
    assert "StatefulSet photos-es-default: 0/3 ready" in capsys.readouterr().out


def test_a_pause_keeps_the_operator_from_changing_anything_until_it_ends(bench: Bench, capsys: Any):
    bench.apply()
    bench.reconcile()
    assert run(bench, "pause", "photos", "-n", bench.namespace) == 0
    bench.kubectl("delete", "service", "photos-api")
    bench.reconcile()
    assert bench.kubectl("get", "service", "photos-api", "--ignore-not-found") == ""
    assert bench.status()["phase"] == "Paused"
    assert run(bench, "resume", "photos", "-n", bench.namespace) == 0
    bench.reconcile()
    assert bench.get("service", "photos-api")
    assert run(bench, "pause", "nothing", "-n", bench.namespace) == 1
    assert '"nothing" not found' in capsys.readouterr().err


def test_a_forward_to_pods_that_are_not_there_is_said(bench: Bench, capsys: Any):
    assert run(bench, "port-forward", "photos", "-n", bench.namespace) == 1
    assert "no api pod of photos is ready" in capsys.readouterr().err
