"""The programs of the cluster, built from Go modules: nothing here needs a container registry."""

import shutil
from pathlib import Path

from labcluster import builds, paths, progress

KUBERNETES = "1.34.4"
HELM = "3.18.6"
PROMETHEUS = "0.316.0"
"""Its Go module's number for 3.16."""
NAMES = (
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kube-proxy",
    "kubelet",
    "kubectl",
    "volumes",
)
STAMP = "-X k8s.io/component-base/version."
FLAGS = {
    "kube": f"{STAMP}gitVersion=v{KUBERNETES} {STAMP}gitMajor=1 {STAMP}gitMinor=34",
    "coredns": "",
}


def kube() -> Path:
    """Folder with the Kubernetes programs and kubectl: one binary under several names."""
    return _built("kube", "about 5 min on 4 cores, 8 min on 2", NAMES)


def coredns() -> Path:
    """Folder with coredns."""
    return _built("coredns", "about 1 min", ())


def pause() -> Path:
    """Folder with the static `pause` that holds a pod's namespaces."""
    sources = paths.DEFINITIONS / "pause"
    command = ["cc", "-static", "-O2", "-s", "-o"]

    def build(out: Path) -> None:
        progress.run([*command, out / "pause", sources / "pause.c"], "pause")

    return builds.built("pause", builds.key(builds.files_under(sources), sources, *command), "", build)


def kubectl() -> Path:
    """The kubectl of the cluster's own version."""
    return kube() / "kubectl"


def helm() -> Path:
    """The helm program."""

    def build(out: Path) -> None:
        module = f"helm.sh/helm/v3/cmd/helm@v{HELM}"
        settings = {"GOBIN": str(out), "CGO_ENABLED": "0"}
        progress.run([_go(), "install", "-trimpath", "-ldflags", "-s -w", module], "helm", env=settings)

    return builds.built("helm", builds.key([], paths.DEFINITIONS, HELM), "about 2 min", build) / "helm"


def promtool() -> Path:
    """Prometheus' checker of alert rules, without the clients of the clouds it knows."""

    def build(out: Path) -> None:
        module = f"github.com/prometheus/prometheus/cmd/promtool@v{PROMETHEUS}"
        settings = {"GOBIN": str(out), "CGO_ENABLED": "0"}
        flags = ["-trimpath", "-tags", "remove_all_sd", "-ldflags", "-s -w"]
        progress.run([_go(), "install", *flags, module], "promtool", env=settings)

    key = builds.key([], paths.DEFINITIONS, PROMETHEUS)
    return builds.built("promtool", key, "several minutes", build) / "promtool"


def _go() -> str:
    found = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin:/usr/lib/go/bin")
    if not found:
        raise progress.LabError(
            "The cluster's programs are built from source: install Go 1.24 or newer (go.dev/dl)."
        )
    return found


def _built(name: str, expected: str, names: tuple[str, ...]) -> Path:
    sources = paths.DEFINITIONS / name
    flags = f"-s -w {FLAGS[name]}".strip()

    def build(out: Path) -> None:
        command = [_go(), "build", "-trimpath", "-ldflags", flags, "-o", out / name, "."]
        progress.run(command, name, cwd=sources, env={"CGO_ENABLED": "0"})
        for each in names:
            (out / each).symlink_to(name)

    return builds.built(
        name, builds.key(builds.files_under(sources), sources, flags, *names), expected, build
    )
