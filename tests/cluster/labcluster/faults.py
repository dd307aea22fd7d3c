"""Breaking the local cluster: a node lost as by a power cut, a port that no packet reaches."""

import contextlib
import shutil
import subprocess
from collections.abc import Iterator

from labcluster import cgroups, network, processes, progress
from labcluster.nodes import Node


@contextlib.contextmanager
def cut(port: int) -> Iterator[None]:
    """Drop every packet from pods to a TCP port of pods, as a lost network does; this machine still gets in.

    Connections that are open stay open and fall silent. Nodes need br_netfilter for that only where pods
    speak to each other's own addresses, not through a Service.
    """
    rule = f"ip saddr {network.PODS} tcp dport {port} drop"
    chain = f"chain forward {{ type filter hook forward priority filter; {rule}; }};"
    progress.output(["nft", "-f", "-"], f"table ip {network.CUT} {{ {chain} }}".encode())
    try:
        yield
    finally:
        progress.output(["nft", "delete", "table", "ip", network.CUT])


def lose(node: Node) -> None:
    """Silence its pods, then kill everything on it; nothing says good-bye and nothing is tidied up.

    The links go first, so that peers meet silence, as from a machine without power, and not the closed
    connections that the kernel of a living machine would send for a killed process. Volumes and images stay,
    what a machine forgets when it stops (mounts, network namespaces, addresses) goes. The cluster's objects
    still say what was true before; Kubernetes finds out by itself.
    """
    for namespace in node.state.glob("containerd/**/netns/*"):
        link = ["nsenter", f"--net={namespace}", "ip", "link", "set", "eth0", "down"]
        subprocess.run(link, capture_output=True, check=False)
    for name in (node.kubelet, node.containerd):
        processes.kill(name)
    cgroups.kill(lambda: cgroups.shims(node.state))
    cgroups.kill(lambda: cgroups.members(node.cgroup))
    cgroups.unmount(node.state, node.folder)
    shutil.rmtree(node.state, ignore_errors=True)
