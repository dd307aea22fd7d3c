"""Losing a node of the local cluster as by a power cut, and bringing it back."""

import shutil
import subprocess

from labcluster import cgroups, processes
from labcluster.nodes import Node


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
