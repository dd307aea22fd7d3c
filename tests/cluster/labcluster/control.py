"""The control plane: etcd, API server, controllers, scheduler, volumes and DNS, as processes of the host."""

import json
import ssl
import urllib.error
import urllib.request
from pathlib import Path

from labcluster import certificates, network, paths, processes, progress, tools

ETCD = "http://127.0.0.1:12379"
ETCD_PEER = "http://127.0.0.1:12380"
# Metadata of every request but the lab's own health checks: tests count an operator's reads and writes here.
AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "None", "nonResourceURLs": ["/healthz*", "/readyz*", "/livez*"]},
        {"level": "Metadata"},
    ],
}
COREFILE = """.:53 {{
  bind {address}
  errors
  health {address}:8080
  ready {address}:8181
  kubernetes cluster.local in-addr.arpa ip6.arpa {{
    kubeconfig {kubeconfig}
    pods insecure
  }}
  cache 5
}}
"""


def audit_log() -> Path:
    """One JSON event on each line, as the API server writes them."""
    return paths.logs() / "audit.log"


def ensure() -> None:
    """Start what does not run and wait until the API server is ready (3 s)."""
    settings = paths.lab() / "settings"
    audit = {settings / "audit.json": json.dumps(AUDIT_POLICY)}
    processes.ensure("etcd", _etcd())
    processes.ensure("kube-apiserver", _apiserver(settings), audit)
    progress.until(_ready, 120, "a ready API server", lambda: processes.log_tail("kube-apiserver"))
    processes.ensure("kube-controller-manager", _controllers())
    processes.ensure("kube-scheduler", _scheduler())
    volumes = paths.lab() / "volumes"
    volumes.mkdir(exist_ok=True)
    given = ["--kubeconfig", certificates.kubeconfig("volumes"), "--root", volumes]
    processes.ensure("volumes", [tools.kube() / "volumes", *given])
    corefile = settings / "Corefile"
    text = COREFILE.format(address=network.GATEWAY, kubeconfig=certificates.kubeconfig("coredns"))
    processes.ensure("coredns", [tools.coredns() / "coredns", "-conf", corefile], {corefile: text})


def _etcd() -> list[object]:
    """Nothing is flushed to disk at each write: twice as quick, and only a power cut can lose anything."""
    return [
        "etcd",
        f"--data-dir={paths.lab() / 'etcd'}",
        f"--listen-client-urls={ETCD}",
        f"--advertise-client-urls={ETCD}",
        f"--listen-peer-urls={ETCD_PEER}",
        f"--initial-advertise-peer-urls={ETCD_PEER}",
        f"--initial-cluster=default={ETCD_PEER}",
        "--unsafe-no-fsync",
        "--auto-compaction-mode=periodic",
        "--auto-compaction-retention=5m",
        "--quota-backend-bytes=4294967296",
    ]


def _apiserver(settings: Path) -> list[object]:
    pki = certificates.folder()
    return [
        tools.kube() / "kube-apiserver",
        f"--etcd-servers={ETCD}",
        f"--bind-address={network.GATEWAY}",
        f"--advertise-address={network.GATEWAY}",
        "--secure-port=6443",
        f"--service-cluster-ip-range={network.SERVICES}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        f"--client-ca-file={pki / 'ca.crt'}",
        f"--tls-cert-file={pki / 'apiserver.crt'}",
        f"--tls-private-key-file={pki / 'apiserver.key'}",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        f"--service-account-key-file={pki / 'tokens.pub'}",
        f"--service-account-signing-key-file={pki / 'tokens.key'}",
        f"--kubelet-certificate-authority={pki / 'ca.crt'}",
        f"--kubelet-client-certificate={pki / 'apiserver-to-kubelet.crt'}",
        f"--kubelet-client-key={pki / 'apiserver-to-kubelet.key'}",
        # By name it would be looked up in the host's DNS, which does not know it.
        "--kubelet-preferred-address-types=InternalIP",
        # A pod leaves a lost node after half a minute, not after the usual five.
        "--default-not-ready-toleration-seconds=30",
        "--default-unreachable-toleration-seconds=30",
        f"--audit-policy-file={settings / 'audit.json'}",
        f"--audit-log-path={audit_log()}",
        "--audit-log-maxsize=200",
        "--audit-log-maxbackup=2",
        "--profiling=false",
    ]


def _controllers() -> list[object]:
    pki = certificates.folder()
    return [
        tools.kube() / "kube-controller-manager",
        f"--kubeconfig={certificates.kubeconfig('kube-controller-manager')}",
        "--bind-address=127.0.0.1",
        f"--root-ca-file={pki / 'ca.crt'}",
        f"--service-account-private-key-file={pki / 'tokens.key'}",
        f"--cluster-signing-cert-file={pki / 'ca.crt'}",
        f"--cluster-signing-key-file={pki / 'ca.key'}",
        "--use-service-account-credentials=true",
        "--leader-elect=false",
        "--profiling=false",
    ]


def _scheduler() -> list[object]:
    return [
        tools.kube() / "kube-scheduler",
        f"--kubeconfig={certificates.kubeconfig('kube-scheduler')}",
        "--bind-address=127.0.0.1",
        "--leader-elect=false",
        "--profiling=false",
    ]


def _ready() -> bool:
    if not processes.running("kube-apiserver") or not processes.running("etcd"):
        failed = "kube-apiserver" if processes.running("etcd") else "etcd"
        raise progress.LabError(f"{failed} stopped:\n{processes.log_tail(failed)}")
    return answers("/readyz")


def answers(path: str) -> bool:
    """Whether the API server says 200 to the administrator for that path."""
    pki = certificates.folder()
    trust = ssl.create_default_context(cafile=str(pki / "ca.crt"))
    trust.load_cert_chain(pki / "admin.crt", pki / "admin.key")
    try:
        with urllib.request.urlopen(network.API_SERVER + path, timeout=5, context=trust) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
