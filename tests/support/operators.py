"""Operators as processes beside a real API server, each under an account of its own with the chart's rights.

They exist to show what only a process can: what it asks the API server for, that it dies, and who acts then.
"""

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import yaml

import audit
from apiserver import Bench
from labcluster import tools
from labcluster.ports import free_ports
from stories import ROOT, wait

Json = dict[str, Any]


@dataclass
class Operator:
    """One process and where it answers."""

    process: "subprocess.Popen[bytes]"
    health_port: int
    metrics_port: int
    log: Path

    def send(self, number: signal.Signals) -> None:
        """Send it a signal; after one that ends it, wait until it has ended."""
        self.process.send_signal(number)
        if number in (signal.SIGKILL, signal.SIGTERM):
            self.process.wait(60)

    def get(self, path: str, port: int) -> tuple[int, str]:
        """Status and body of its answer; 0 while there is none."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def metric(self, series: str) -> float | None:
        """Value of a series, by its name with labels as /metrics writes it; None where it is not there."""
        lines = self.get("/metrics", self.metrics_port)[1].splitlines()
        found = [line.rpartition(" ")[2] for line in lines if line.rpartition(" ")[0] == series]
        return float(found[0]) if found else None


@dataclass
class Operators:
    """Those of one test; all are killed at its end."""

    bench: Bench
    folder: Path
    running: dict[str, Operator] = field(default_factory=dict)

    def __enter__(self) -> Self:
        self._since = audit_size(self.bench)
        objects = self._chart()
        self.bench.create({"apiVersion": "v1", "kind": "List", "items": objects})
        self._roles = [item["metadata"]["name"] for item in objects]
        return self

    def __exit__(self, *_: object) -> None:
        for operator in self.running.values():
            operator.process.kill()
            operator.process.wait()

    def start(self, name: str, **env: str) -> Operator:
        """Start one under an account called ``name``."""
        ports = free_ports(2)
        settings = {
            "KUBECONFIG": str(self._account(name)),
            "MATCH_WATCH_NAMESPACES": self.bench.namespace,
            "MATCH_HEALTH_PORT": str(ports[0]),
            "MATCH_METRICS_PORT": str(ports[1]),
        }
        log = self.folder / f"{name}.log"
        with log.open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "match_operator"],
                env=os.environ | settings | env,
                stdout=output,
                stderr=output,
            )
        self.running[name] = Operator(process, ports[0], ports[1], log)
        return self.running[name]

    def wait_seen(self, cluster: str, seconds: float = 60) -> None:
        """Wait until a MatchCluster's newest spec is in its status."""

        def seen() -> bool:
            found = self.bench.get("matchcluster", cluster)
            return bool(found.get("status", {}).get("observedGeneration") == found["metadata"]["generation"])

        wait(seen, seconds, self.logs)

    def logs(self) -> str:
        """What they wrote."""
        return "\n".join(f"{name}: {o.log.read_text('utf-8')}" for name, o in self.running.items())

    def calls(self, name: str) -> list[Json]:
        """Requests of one of them, as the API server's audit log has them, in order."""
        user = f"system:serviceaccount:{self.bench.namespace}:{name}"
        return [event for event in _audit(self.bench, self._since) if event["user"]["username"] == user]

    def writes(self, name: str, *, lease: bool = False) -> list[Json]:
        """Those of its requests that change something, its Lease (and events) left out unless asked for."""
        aside = () if lease else ("leases",)
        return [
            call
            for call in self.calls(name)
            if call["verb"] in audit.WRITES and call["objectRef"]["resource"] not in aside
        ]

    def _chart(self) -> list[Json]:
        """The roles of the chart, in the namespace of the test."""
        namespace = self.bench.namespace
        values = [f"--set-json=watchNamespaces={json.dumps([namespace])}"]
        chart = str(ROOT / "charts" / "match-operator")
        target = ("-n", namespace, "--kube-version", f"v{tools.KUBERNETES}")
        text = self.bench.lab.helm("template", "match-operator", chart, *target, *values)
        return [item for item in yaml.safe_load_all(text) if item and item["kind"] == "Role"]

    def _account(self, name: str) -> Path:
        """Kubeconfig of an account with the chart's rights and no other."""
        self.bench.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}})
        subject = {"kind": "ServiceAccount", "name": name, "namespace": self.bench.namespace}
        for role in self._roles:
            reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": role}
            self.bench.create(
                {
                    "apiVersion": "rbac.authorization.k8s.io/v1",
                    "kind": "RoleBinding",
                    "metadata": {"name": f"{name}-{role}"},
                    "roleRef": reference,
                    "subjects": [subject],
                }
            )
        token = self.bench.kubectl("create", "token", name, "--duration=1h").strip()
        view = self.bench.lab.kubectl("config", "view", "--raw", "--flatten", "-o", "yaml")
        found: Json = yaml.safe_load(view)
        contexts = {item["name"]: item["context"] for item in found["contexts"]}
        context = contexts[self.bench.lab.context] | {"user": name, "namespace": self.bench.namespace}
        found |= {
            "users": [{"name": name, "user": {"token": token}}],
            "contexts": [{"name": name, "context": context}],
            "current-context": name,
        }
        path = self.folder / f"{name}.kubeconfig"
        path.write_text(yaml.safe_dump(found))
        return path


def audit_size(bench: Bench) -> int:
    """Bytes of the audit log; 0 for a cluster that shows none."""
    return audit.now(bench.lab.audit_log) if bench.lab.audit_log else 0


def _audit(bench: Bench, since: int) -> Iterator[Json]:
    assert bench.lab.audit_log is not None
    for event in audit.events(bench.lab.audit_log, since):
        if event["stage"] in ("ResponseComplete", "ResponseStarted") and "objectRef" in event:
            yield event
