"""What tests and the demo hold in their hands: one object for the local cluster or the user's own."""

import contextlib
import functools
import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from labcluster import control, foreign, images, lab, progress, tools


class Cluster:
    """A running cluster; get one from `Cluster.up()`."""

    def __init__(self, kubeconfig: Path, target: foreign.Target | None = None) -> None:
        """Hold a cluster that already runs; `target` is None for the local one."""
        self.kubeconfig = kubeconfig
        self.target = target
        self.keep = bool(os.environ.get("KEEP"))
        """Whether what tests made is to stay for a look afterwards (`KEEP=1`)."""

    @classmethod
    def up(cls, images_too: bool = False) -> "Cluster":
        """Start or heal the local cluster (`LabError` says what is in the way), or take `CLUSTER`'s.

        `images_too` builds the images at the same time, which is quicker when nothing is built yet.
        """
        target = foreign.decide(os.environ)
        if target is None:
            return cls(lab.up(images_too))
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
        return foreign.ensure(self.target) if self.target else images.ensure(lab.node())

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
