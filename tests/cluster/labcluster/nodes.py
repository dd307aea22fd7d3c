"""A node: containerd, kubelet and (once for the machine) kube-proxy. Several can live on one machine.

Nodes share the bridge and its address; each has its own containerd, sockets, ports and range of addresses.
"""

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import time
import urllib.request
from pathlib import Path

from labcluster import certificates, network, paths, processes, progress, tools

CGROUPS = Path("/sys/fs/cgroup")
PODS_PER_NODE = 110


@dataclasses.dataclass(frozen=True)
class Node:
    """The node of that index (0 to 15), and where its parts lie."""

    index: int
    pause_image: str

    @property
    def name(self) -> str:
        return f"lab-{self.index}"

    @property
    def folder(self) -> Path:
        return paths.lab() / self.name

    @property
    def state(self) -> Path:
        return paths.run() / self.name

    @property
    def socket(self) -> Path:
        return self.state / "containerd.sock"

    @property
    def cgroup(self) -> str:
        return f"{cgroup()}/{self.name}"

    @property
    def health_port(self) -> int:
        """Port of the kubelet's health on loopback."""
        return 10248 + 100 * self.index

    @property
    def addresses(self) -> dict[str, str]:
        """Range of pod addresses in the form of the CNI plugin host-local: 4,094 for each node."""
        prefix = network.PODS.rsplit(".", 2)[0]
        first = self.index * 16
        return {
            "subnet": network.PODS,
            "gateway": network.GATEWAY,
            "rangeStart": f"{prefix}.{first}.2",
            "rangeEnd": f"{prefix}.{first + 15}.254",
        }

    def ensure_containerd(self) -> None:
        """Start containerd and wait until it answers (under 1 s)."""
        self.state.mkdir(parents=True, exist_ok=True)
        config = self.folder / "containerd.toml"
        files = {config: self._containerd(), self.folder / "cni/10-lab.conflist": json.dumps(self._cni())}
        processes.ensure(f"containerd-{self.index}", ["containerd", "--config", config], files)
        answer = ["ctr", "--address", str(self.socket), "version"]
        progress.until(
            lambda: subprocess.run(answer, capture_output=True, check=False).returncode == 0,
            60,
            "an answer of containerd",
            lambda: processes.log_tail(f"containerd-{self.index}"),
        )

    def ensure_kubelet(self) -> None:
        """Start the kubelet; the node is ready some 5 s later."""
        make_cgroups(self.cgroup)
        config = self.folder / "kubelet.json"
        command = [
            tools.kube() / "kubelet",
            f"--config={config}",
            f"--kubeconfig={certificates.kubeconfig(f'kubelet-{self.name}')}",
            f"--root-dir={self.folder / 'kubelet'}",
            f"--hostname-override={self.name}",
            f"--node-ip={network.GATEWAY}",
            f"--node-labels=topology.kubernetes.io/zone=zone-{self.index}",
        ]
        processes.ensure(f"kubelet-{self.index}", command, {config: json.dumps(self._kubelet(), indent=1)})

    def kubelet_answers(self) -> bool:
        """Whether the kubelet says it is healthy."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.health_port}/healthz", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def _cni(self) -> dict[str, object]:
        ipam = {
            "type": "host-local",
            "ranges": [[self.addresses]],
            "routes": [{"dst": "0.0.0.0/0"}],
            "dataDir": str(self.state / "addresses"),
        }
        bridge = {
            "type": "bridge",
            "bridge": network.BRIDGE,
            "isGateway": True,
            "hairpinMode": True,
            "ipam": ipam,
        }
        return {"cniVersion": "1.0.0", "name": "lab", "plugins": [bridge]}

    def _containerd(self) -> str:
        return f"""version = 2
root = "{self.folder / "containerd"}"
state = "{self.state / "containerd"}"
[grpc]
  address = "{self.socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{self.pause_image}"
  restrict_oom_score_adj = true
  disable_apparmor = true
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{self.folder / "cni"}"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
"""

    def _kubelet(self) -> dict[str, object]:
        pki = certificates.folder()
        return {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": str(pki / "ca.crt")},
            },
            "authorization": {"mode": "Webhook"},
            "address": network.GATEWAY,
            "port": 10250 + 100 * self.index,
            "healthzPort": self.health_port,
            "readOnlyPort": 0,
            "tlsCertFile": str(pki / f"kubelet-{self.name}.crt"),
            "tlsPrivateKeyFile": str(pki / f"kubelet-{self.name}.key"),
            "containerRuntimeEndpoint": f"unix://{self.socket}",
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": f"/{self.cgroup}",
            "enforceNodeAllocatable": [],
            "failSwapOn": False,
            "clusterDomain": "cluster.local",
            "clusterDNS": [network.GATEWAY],
            "maxPods": PODS_PER_NODE,
            # kube-proxy speaks nftables; iptables chains would only be left behind.
            "makeIPTablesUtilChains": False,
            # A test machine is often nearly full: neither evict pods nor throw the lab's images away for it.
            "evictionHard": {},
            "imageGCHighThresholdPercent": 100,
            "localStorageCapacityIsolation": False,
        }


def ensure_proxy() -> None:
    """Start kube-proxy: ClusterIPs then work from pods and from the host."""
    config = paths.lab() / "settings/proxy.json"
    settings = {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": str(certificates.kubeconfig("kube-proxy"))},
        "mode": "nftables",
        "clusterCIDR": network.PODS,
        "healthzBindAddress": "127.0.0.1:10256",
        "metricsBindAddress": "127.0.0.1:10249",
        # Zero leaves the kernel's values alone, which a container may not change.
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
    }
    command = [tools.kube() / "kube-proxy", f"--config={config}", "--hostname-override=lab-0"]
    processes.ensure("kube-proxy", command, {config: json.dumps(settings)})


def _hierarchies() -> list[Path]:
    """The roots of the machine's cgroup trees: one with cgroup v2, one for each controller with v1."""
    if (CGROUPS / "cgroup.controllers").exists():
        return [CGROUPS]
    return [path for path in sorted(CGROUPS.iterdir()) if path.is_dir() and not path.is_symlink()]


def cgroup() -> str:
    """The lab's own cgroup below the root; a lab in another folder has another."""
    chosen = os.environ.get("MATCH_LAB_DIR")
    return f"match-operator-lab{chosen.replace('/', '-') if chosen else ''}"


def make_cgroups(name: str) -> None:
    """Make the cgroup in every tree; the kubelet wants its root to exist, with its controllers on."""
    for root in _hierarchies():
        folder = root
        for part in Path(name).parts:
            _open_to_children(folder)
            folder /= part
            folder.mkdir(exist_ok=True)
        _open_to_children(folder)


def _open_to_children(folder: Path) -> None:
    """Hand the controllers down (v2), copy the processors and memory nodes (v1 cpuset, else empty)."""
    control = folder / "cgroup.subtree_control"
    if control.exists() and (folder / "cgroup.controllers").read_text().strip():
        with contextlib.suppress(OSError):
            names = (folder / "cgroup.controllers").read_text().split()
            control.write_text(" ".join(f"+{name}" for name in names))
    for file in ("cpuset.cpus", "cpuset.mems"):
        mine, above = folder / file, folder.parent / file
        if mine.exists() and above.exists() and not mine.read_text().strip() and not control.exists():
            mine.write_text(above.read_text())


def _members() -> set[int]:
    """Every process in the lab's cgroups."""
    pids: set[int] = set()
    for root in _hierarchies():
        for file in (root / cgroup()).rglob("cgroup.procs"):
            with contextlib.suppress(OSError):
                pids.update(int(word) for word in file.read_text().split())
    return pids


def _shims() -> set[int]:
    """containerd's shims: they outlive containerd and hold its address in their arguments."""
    ours: set[int] = set()
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = file.read_bytes().split(b"\0")
            if b"containerd-shim" in words[0] and any(str(paths.run()).encode() in word for word in words):
                ours.add(int(file.parent.name))
    return ours


def remove() -> None:
    """Kill every container and shim, unmount what they had mounted, and take the cgroups away."""
    for find in (_members, _shims):
        end = time.monotonic() + 20
        while (pids := find()) and time.monotonic() < end:
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.05)
    unmount()
    for root in _hierarchies():
        folders = [root / cgroup(), *(root / cgroup()).rglob("*")]
        for folder in sorted(folders, key=lambda path: len(path.parts), reverse=True):
            if folder.is_dir():
                with contextlib.suppress(OSError):
                    folder.rmdir()


def unmount() -> None:
    """Detach every mount below the lab's two folders, the innermost first."""
    roots = (f"{paths.lab()}/", f"{paths.run()}/")
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for point in sorted((point for point in points if point.startswith(roots)), key=len, reverse=True):
        subprocess.run(["umount", "--lazy", point], capture_output=True, check=False)
