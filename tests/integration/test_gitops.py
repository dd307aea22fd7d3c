"""What Git says stays what Git says: nothing the API server or the operator does shows as a difference."""

import json
import subprocess
from pathlib import Path

import pytest
import yaml

from apiserver import Bench
from labcluster import tools
from match_operator import names
from match_operator.reconcile import Reconciler

pytestmark = pytest.mark.cluster

EXAMPLES = Path(__file__).parents[2] / "examples"
FILES = sorted(EXAMPLES.glob("*.yaml"))
FOLDERS = sorted(f.parent for f in (EXAMPLES / "kustomize").glob("*/kustomization.yaml"))
SERVER_SIDE = ("--server-side", "--field-manager=argocd-controller", "--force-conflicts")


def manifest(source: Path) -> str:
    """What a GitOps tool would apply of a file or a Kustomize folder."""
    if source.is_file():
        return source.read_text("utf-8")
    command = [str(tools.kubectl()), "kustomize", str(source)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def difference(bench: Bench, text: str, *flags: str) -> str:
    """What `kubectl diff` shows; empty without any."""
    command = [str(tools.kubectl()), "--kubeconfig", str(bench.lab.kubeconfig), "-n", bench.namespace]
    command += ["diff", *flags, "-f", "-"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    return done.stdout


@pytest.mark.parametrize("source", [*FILES, *FOLDERS], ids=lambda p: str(p.relative_to(EXAMPLES)))
@pytest.mark.parametrize("flags", [SERVER_SIDE, ()], ids=["server-side", "client-side"])
def test_an_example_applied_again_shows_no_difference(bench: Bench, source: Path, flags: tuple[str, ...]):
    text = manifest(source)
    name = yaml.safe_load(text)["metadata"]["name"]
    bench.kubectl("apply", *flags, "-f", "-", input=text)
    for _ in range(2):
        Reconciler(bench.config, bench.kube)((bench.namespace, name))
    assert names.RESOLVED_ANNOTATION in bench.get("matchcluster", name)["metadata"]["annotations"]
    before = bench.get("matchcluster", name)["metadata"]
    assert difference(bench, text, *flags) == ""
    bench.kubectl("apply", *flags, "-f", "-", input=text)
    after = bench.get("matchcluster", name)["metadata"]
    assert after["generation"] == before["generation"]
    assert after["resourceVersion"] == before["resourceVersion"]


def test_a_scaled_api_is_no_difference_where_git_names_no_number(bench: Bench):
    text = manifest(EXAMPLES / "kustomize/production")
    bench.kubectl("apply", *SERVER_SIDE, "-f", "-", input=text)
    bench.kubectl("scale", "matchcluster", "photos", "--replicas=7")
    assert difference(bench, text, *SERVER_SIDE) == ""


def test_an_object_that_no_operator_has_seen_says_so(bench: Bench):
    bench.apply()
    assert bench.status() == {"observedGeneration": -1}
    bench.reconcile()
    assert bench.status()["observedGeneration"] == 1
    assert json.dumps(bench.status())
