"""What tests and the demo hold in their hands: one object for the local cluster or the user's own."""

import contextlib
import functools
import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from labcluster import control, faults, foreign, images, lab, progress, tools


class Cluster:
    """A running cluster; get one from `Cluster.up()`."""

    def __init__(self, kubeconfig: Path, target: foreign.Target | None = None) -> None:
        """Hold a cluster that already runs; `target` is None for the local one."""
        self.kubeconfig = kubeconfig
        self.target = target
        self.keep = bool(os.environ.get("KEEP"))
        """Whether what tests made is to stay for a look afterwards (`KEEP=1`)."""

    @classmethod
    def up(cls, images_too: bool = False, nodes: int = lab.NODES) -> "Cluster":
        """Start or heal the local cluster (`LabError` says what is in the way), or take `CLUSTER`'s.

        `images_too` builds the images at the same time, which is quicker when nothing is built yet. The local
        cluster has at least `nodes` nodes (one that runs grows, none shrinks), each in a zone of its own.
        """
        target = foreign.decide(os.environ)
        if target is None:
            return cls(lab.up(images_too, nodes))
        progress.say(f"  using the cluster of context {target.context}, not the local one")
        return cls(foreign.kubeconfig(target), target)

    @property
    def local(self) -> bool:
        """Whether it is the local cluster, whose nodes and processes may be broken at will."""
        return self.target is None

    @property
    def context(self) -> str:
        """Its context in the kubeconfig."""
        return self.target.context if self.target else "match-operator-lab"

    @property
    def audit_log(self) -> Path | None:
        """The API server's audit events, one JSON object on each line; None for a user's own cluster."""
        return control.audit_log() if self.local else None

    @functools.cached_property
    def images(self) -> dict[str, str]:
        """References of `operator`, `service` and, locally, `elasticsearch`; built and loaded at first use.

        Where `elasticsearch` is missing the operator's default, the official image, is meant.
        """
        return foreign.ensure(self.target) if self.target else images.ensure(lab.living())

    @functools.cached_property
    def older_elasticsearch(self) -> tuple[str, str]:
        """Version and image of an Elasticsearch that can be upgraded to that of `images`. Local only."""
        self._ours("put another Elasticsearch on a node")
        return images.ensure_older(lab.living())

    @property
    def nodes(self) -> dict[str, str]:
        """The cluster's nodes and the zone of each (empty where it has none), lost ones among them."""
        items = json.loads(self.kubectl("get", "nodes", "-o", "json"))["items"]
        labels = {item["metadata"]["name"]: item["metadata"]["labels"] for item in items}
        return {name: labels[name].get("topology.kubernetes.io/zone", "") for name in sorted(labels)}

    def lose_node(self, name: str) -> None:
        """Take a node away as a power cut would: its pods fall silent, then all of it is killed.

        Kubernetes calls the node NotReady 50 s later and deletes its pods after 30 s more; they stay
        Terminating until the node is back or its object is deleted. Volumes are kept, for whichever node
        their pods run on next. Local cluster only.
        """
        self._ours("lose a node")
        lab.lose(name)

    def restore_node(self, name: str) -> None:
        """Start a lost node again and wait until it is ready; pods still bound to it start again after that.

        Images that were built while it was away are brought to it.
        """
        self._ours("restore a node")
        lab.restore(name)
        if "images" in vars(self):
            images.ensure(lab.living())

    def cut(self, port: int) -> contextlib.AbstractContextManager[None]:
        """Let no packet of a pod reach a TCP port of any pod for as long as the block runs. Local only."""
        self._ours("cut the network")
        return faults.cut(port)

    def cordon(self, name: str) -> None:
        """Let no new pod come to the node."""
        self.kubectl("cordon", name)

    def uncordon(self, name: str) -> None:
        """Let pods come to the node again."""
        self.kubectl("uncordon", name)

    def drain(self, name: str, selector: str = "", seconds: int = 120) -> None:
        """Cordon the node and evict its pods as disruption budgets allow, with `selector` only some of them.

        `LabError` when they are not gone after `seconds`.
        """
        flags = ["--ignore-daemonsets", "--delete-emptydir-data", "--force", f"--timeout={seconds}s"]
        self.kubectl("drain", name, *flags, *([f"--pod-selector={selector}"] if selector else []))

    def _ours(self, deed: str) -> None:
        if not self.local:
            raise progress.LabError(f"The nodes of {self.context} are not ours: cannot {deed} of it.")

    def kubectl(self, *words: str, input: str | None = None) -> str:  # noqa: A002  # subprocess's name for it
        """Standard output of kubectl; `LabError` with its standard error if it fails."""
        return progress.output([*self._kubectl, *words], None if input is None else input.encode())

    def helm(self, *words: str) -> str:
        """Standard output of helm; `LabError` with its standard error if it fails."""
        program = tools.helm() if self.local else foreign.program("helm")
        return progress.output([program, "--kubeconfig", self.kubeconfig, *words])

    @property
    def _kubectl(self) -> list[object]:
        program = tools.kubectl() if self.local else foreign.program("kubectl")
        return [program, "--kubeconfig", self.kubeconfig]

    @contextlib.contextmanager
    def reach(self, namespace: str, service: str, port: int) -> Iterator[str]:
        """URL of a Service from this machine: locally its own address, else a port-forward to a pod."""
        if self.local:
            found = json.loads(self.kubectl("-n", namespace, "get", "service", service, "-o", "json"))
            address = found["spec"]["clusterIP"]
            if address != "None":
                yield f"http://{address}:{port}"
                return
        forwarding = ("-n", namespace, "port-forward", f"service/{service}", f":{port}")
        words = [str(word) for word in (*self._kubectl, *forwarding)]
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as forward:
            try:
                line = forward.stdout.readline() if forward.stdout else ""
                local = re.search(r"127\.0\.0\.1:(\d+)", line)
                if not local:
                    reason = forward.stderr.read() if forward.stderr else ""
                    raise progress.LabError(
                        f"service {service} in {namespace} cannot be reached: {reason.strip()}"
                    )
                yield f"http://127.0.0.1:{local[1]}"
            finally:
                forward.terminate()
