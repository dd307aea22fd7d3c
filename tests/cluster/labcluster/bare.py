"""A control plane without machines: etcd, API server, controllers and scheduler on loopback.

For what takes thousands of objects and not one container. It lives in a temporary folder, needs neither root
nor the local cluster, and any number may run beside each other.
"""

import contextlib
import functools
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from labcluster import certificates, control, host, progress, tools
from labcluster.cluster import Cluster
from labcluster.ports import free_ports

START_SECONDS = 120
CONTEXT = "match-operator-bare"


class ControlPlane(Cluster):
    """One that runs; what concerns nodes, images and Services' addresses cannot be had of it."""

    def __init__(self, kubeconfig: Path, audit_log: Path) -> None:
        """Hold one; get it from `control_plane`."""
        super().__init__(kubeconfig)
        self._audit_log = audit_log

    @property
    def context(self) -> str:
        """Its context in the kubeconfig."""
        return CONTEXT

    @property
    def audit_log(self) -> Path | None:
        """The API server's audit events, one JSON object on each line."""
        return self._audit_log

    def _ours(self, deed: str) -> None:
        raise progress.LabError(f"There are no machines behind {self.context}: cannot {deed} of it.")


@contextlib.contextmanager
def control_plane() -> Iterator[ControlPlane]:
    """Start it, wait until the API server is ready, stop it at the end of the block."""
    host.install({"etcd-server"} if not shutil.which("etcd", path=host.search_path()) else set())
    programs = tools.kube()
    with tempfile.TemporaryDirectory(prefix="match-bare-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        etcd, peer, secure = free_ports(3)
        _settings(folder, secure)
        run = functools.partial(_run, stack, folder)
        run("etcd", _etcd(folder, etcd, peer))
        server = run("kube-apiserver", [programs / "kube-apiserver", *_apiserver(folder, etcd, secure)])
        cluster = ControlPlane(folder / "kubeconfig", folder / "audit.log")
        progress.until(
            functools.partial(_ready, cluster, server, folder),
            START_SECONDS,
            "a ready API server",
            lambda: progress.tail(folder / "kube-apiserver.log"),
        )
        account = ["--kubeconfig", folder / "kubeconfig", "--bind-address=127.0.0.1", "--leader-elect=false"]
        tokens = f"--service-account-private-key-file={folder / 'tokens.key'}"
        trust = f"--root-ca-file={folder / 'ca.crt'}"
        ports = free_ports(2)
        manager = [programs / "kube-controller-manager", *account, tokens, trust, f"--secure-port={ports[0]}"]
        # A thousand MatchClusters come at once; what is measured is the operator's share of the time.
        run("kube-controller-manager", [*manager, "--kube-api-qps=500", "--kube-api-burst=1000"])
        run("kube-scheduler", [programs / "kube-scheduler", *account, f"--secure-port={ports[1]}"])
        yield cluster


def _run(
    stack: contextlib.ExitStack, folder: Path, name: str, command: list[object]
) -> "subprocess.Popen[bytes]":
    words = ["setpriv", "--pdeathsig", "KILL", *map(str, command)]
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            words, stdout=log, stderr=log, env=os.environ | {"PATH": host.search_path()}
        )
    stack.callback(_kill, process)
    return process


def _kill(process: "subprocess.Popen[bytes]") -> None:
    """At once: nothing that it keeps outlives it."""
    process.kill()
    process.wait()


def _ready(cluster: ControlPlane, server: "subprocess.Popen[bytes]", folder: Path) -> bool:
    if server.poll() is not None:
        raise progress.LabError(f"kube-apiserver stopped:\n{progress.tail(folder / 'kube-apiserver.log')}")
    with contextlib.suppress(progress.LabError):
        return cluster.kubectl("get", "--raw", "/readyz") == "ok"
    return False


def _etcd(folder: Path, port: int, peer: int) -> list[object]:
    urls = {"client": f"http://127.0.0.1:{port}", "peer": f"http://127.0.0.1:{peer}"}
    return [
        "etcd",
        f"--data-dir={folder / 'etcd'}",
        f"--listen-client-urls={urls['client']}",
        f"--advertise-client-urls={urls['client']}",
        f"--listen-peer-urls={urls['peer']}",
        f"--initial-advertise-peer-urls={urls['peer']}",
        f"--initial-cluster=default={urls['peer']}",
        "--unsafe-no-fsync",
    ]


def _apiserver(folder: Path, etcd: int, secure: int) -> list[object]:
    return [
        f"--etcd-servers=http://127.0.0.1:{etcd}",
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        "--endpoint-reconciler-type=none",
        f"--secure-port={secure}",
        "--service-cluster-ip-range=10.77.0.0/16",
        "--authorization-mode=RBAC",
        f"--client-ca-file={folder / 'ca.crt'}",
        f"--tls-cert-file={folder / 'apiserver.crt'}",
        f"--tls-private-key-file={folder / 'apiserver.key'}",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        f"--service-account-key-file={folder / 'tokens.pub'}",
        f"--service-account-signing-key-file={folder / 'tokens.key'}",
        f"--audit-policy-file={folder / 'audit.json'}",
        f"--audit-log-path={folder / 'audit.log'}",
        # One file to its end: who reads it remembers a place in it.
        "--audit-log-maxsize=100000",
        "--profiling=false",
    ]


def _settings(folder: Path, secure: int) -> None:
    """Keys, certificates, the policy of the audit log and the administrator's kubeconfig."""
    authority = certificates.Authority(folder)
    authority.ensure(CONTEXT)
    authority.sign("apiserver", "/CN=kube-apiserver", ["localhost"], ["127.0.0.1"])
    authority.sign("admin", "/O=system:masters/CN=admin", [], [])
    certificates.token_key(folder)
    (folder / "audit.json").write_text(json.dumps(control.AUDIT_POLICY))
    server = f"https://127.0.0.1:{secure}"
    config = certificates.config(folder, CONTEXT, server, "admin")
    (folder / "kubeconfig").write_text(json.dumps(config, indent=1))
