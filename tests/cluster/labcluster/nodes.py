"""A node: containerd, kubelet and (once for the machine) kube-proxy. Several can live on one machine.

Nodes share the bridge and its address; each has its own containerd, sockets, ports and range of addresses.
"""

import dataclasses
import json
import subprocess
import urllib.request
from pathlib import Path

from labcluster import certificates, cgroups, network, paths, processes, progress, tools

MOST = 16
PODS_PER_NODE = 110
ZONES = "abc"


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
        return f"{cgroups.name()}/{self.name}"

    @property
    def zone(self) -> str:
        """Its `topology.kubernetes.io/zone`: three zones in turn."""
        return ZONES[self.index % len(ZONES)]

    @property
    def containerd(self) -> str:
        """Name of its containerd among the lab's processes."""
        return f"containerd-{self.index}"

    @property
    def kubelet(self) -> str:
        """Name of its kubelet among the lab's processes."""
        return f"kubelet-{self.index}"

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
        processes.ensure(self.containerd, ["containerd", "--config", config], files)
        answer = ["ctr", "--address", str(self.socket), "version"]
        progress.until(
            lambda: subprocess.run(answer, capture_output=True, check=False).returncode == 0,
            60,
            "an answer of containerd",
            lambda: processes.log_tail(self.containerd),
        )

    def ensure_kubelet(self) -> None:
        """Start the kubelet; the node is ready some 5 s later."""
        cgroups.make(self.cgroup)
        config = self.folder / "kubelet.json"
        command = [
            tools.kube() / "kubelet",
            f"--config={config}",
            f"--kubeconfig={certificates.kubeconfig(f'kubelet-{self.name}')}",
            f"--root-dir={self.folder / 'kubelet'}",
            f"--hostname-override={self.name}",
            f"--node-ip={network.GATEWAY}",
            f"--node-labels=topology.kubernetes.io/zone={self.zone},topology.kubernetes.io/region=lab",
        ]
        processes.ensure(self.kubelet, command, {config: json.dumps(self._kubelet(), indent=1)})

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
            # Shared, one node's kubelet would clear away the logs of the others' pods.
            "podLogsDir": str(self.folder / "pod-logs"),
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
