"""Measures one operator with many MatchClusters on one shared Elasticsearch; `make scale` runs it.

Real are the operator (a process of its own, with the rights that the chart gives), the API server with its
controllers and scheduler, and Elasticsearch. The API's pods are on nodes without machines (``fakenodes``),
since a thousand real ones fit on none of ours.
"""

import argparse
import contextlib
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml
from kubernetes import config as kubernetes_config
from kubernetes.client import ApiClient, AppsV1Api, CustomObjectsApi

import audit
import fakenodes
from labcluster import bare, elasticsearch, processes
from labcluster.cluster import Cluster
from labcluster.ports import free_ports
from match_operator import names

Json = dict[str, Any]

ROOT: Final = Path(__file__).parents[2]
PREFIX: Final = "match-scale"
PER_NAMESPACE: Final = 20
TICKS: Final = os.sysconf("SC_CLK_TCK")
CREATED_AT_ONCE: Final = 100
POLL_SECONDS: Final = 0.02


@dataclass(frozen=True)
class Place:
    """Where it all happens."""

    lab: Cluster
    client: ApiClient
    url: str
    count: int

    @property
    def namespaces(self) -> list[str]:
        """As many as the MatchClusters need."""
        return [f"{PREFIX}-{number}" for number in range(-(-self.count // PER_NAMESPACE))]

    def where(self, number: int) -> tuple[str, str]:
        """Namespace and name of a MatchCluster."""
        return f"{PREFIX}-{number // PER_NAMESPACE}", f"c{number}"

    def cluster(self, number: int) -> Json:
        """One MatchCluster with an index of its own."""
        namespace, name = self.where(number)
        return {
            "apiVersion": names.API_VERSION,
            "kind": names.KIND,
            "metadata": {"name": name, "namespace": namespace},
            "spec": {
                "index": {"name": f"scale-{number}", "replicas": 0},
                "elasticsearch": {"external": {"urls": [self.url]}},
                "api": {"replicas": 1, "podTemplate": {"spec": fakenodes.selector()}},
            },
        }


@dataclass(frozen=True)
class Operator:
    """The process that is measured, and where it writes."""

    process: "subprocess.Popen[bytes]"
    log: Path

    @property
    def busy(self) -> float:
        """Seconds of CPU that it has had."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(") ")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def mebibytes(self, name: str) -> float:
        """Memory: ``VmRSS`` is what it has now, ``VmHWM`` what it had at most."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024


@dataclass(frozen=True)
class Settled:
    """What an operator does while nothing happens."""

    seconds: float
    cpu_percent: float
    memory: float
    peak: float
    reads: int
    writes: list[str]

    def rows(self) -> Iterator[tuple[str, str]]:
        """For people."""
        yield "CPU, settled", f"{self.cpu_percent:.1f} % of a core"
        yield "memory, settled", f"{self.memory:.0f} MiB"
        yield "memory, at most", f"{self.peak:.0f} MiB"
        yield "reads of the API server, settled", f"{60 * self.reads / self.seconds:.0f} a minute"
        written = f"{60 * len(self.writes) / self.seconds:.1f} a minute"
        most = [call for call, _ in Counter(self.writes).most_common(3)]
        yield "writes, settled", f"{written}: {most}" if most else "0"


def main() -> None:
    """Make them, wait, measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--clusters", type=int, default=1000, help="default: 1000")
    parser.add_argument("--minutes", type=float, default=5, help="of measuring the settled state; default: 5")
    parser.add_argument("--pause", type=float, default=90, help="seconds before that; default: 90")
    parser.add_argument("--changes", type=int, default=200, help="specs to change in turn; default: 200")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended before it was done"))
    with place(options.clusters) as there, operator(there) as process:
        say("MatchClusters", str(options.clusters))
        say("all are ready after", f"{make(there, process):.0f} s")
        time.sleep(options.pause)  # more than one resync: what follows is the settled state
        for what, value in settled(there, process, options.minutes * 60).rows():
            say(what, value)
        times = sorted(react(there, options.changes))
        last = times[min(int(len(times) * 0.99), len(times) - 1)]
        say(f"reaction to {len(times)} changes", f"p50 {statistics.median(times):.2f} s, p99 {last:.2f} s")


def say(what: str, value: str) -> None:
    """One row of the table."""
    print(f"| {what} | {value} |", flush=True)


@contextlib.contextmanager
def place(count: int) -> Iterator[Place]:
    """A control plane, an Elasticsearch with room for so many indices, and nodes for the pods."""
    settings = {"cluster.max_shards_per_node": str(2 * count + 100)}
    with bare.control_plane() as lab, elasticsearch.node("1g", settings) as url:
        client = kubernetes_config.new_client_from_config(str(lab.kubeconfig), context=lab.context)
        lab.kubectl("apply", "--server-side", "-f", str(ROOT / "crds"))
        with fakenodes.nodes(lab, client, 1 + count // 500):
            yield Place(lab, client, url, count)
        client.close()


def make(there: Place, process: Operator) -> float:
    """Create them all; seconds until every one is ready."""
    since = time.monotonic()
    for namespace in there.namespaces:
        there.lab.kubectl("create", "namespace", namespace)
    for first in range(0, there.count, CREATED_AT_ONCE):
        items = [there.cluster(n) for n in range(first, min(first + CREATED_AT_ONCE, there.count))]
        body = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
        there.lab.kubectl("create", "-f", "-", input=body)
    while True:
        phases = Counter(_phases(there))
        if phases["Ready"] == there.count:
            return time.monotonic() - since
        if time.monotonic() - since > 60 + 3 * there.count or process.process.poll() is not None:
            raise AssertionError(f"not ready in time: {phases}\n{process.log.read_text()[-4000:]}")
        time.sleep(1)


def _phases(there: Place) -> Iterator[str]:
    found = CustomObjectsApi(there.client).list_cluster_custom_object(
        names.GROUP, names.VERSION, names.PLURAL
    )
    for item in found["items"]:
        yield item.get("status", {}).get("phase", "unseen")


def settled(there: Place, process: Operator, seconds: float) -> Settled:
    """What it costs to do nothing for so long."""
    log = there.lab.audit_log
    assert log is not None
    start, cpu, since = audit.now(log), process.busy, time.monotonic()
    time.sleep(seconds)
    took, cpu = time.monotonic() - since, process.busy - cpu
    reads, writes = calls(log, start)
    memory = process.mebibytes("VmRSS"), process.mebibytes("VmHWM")
    return Settled(took, 100 * cpu / took, *memory, reads, writes)


def react(there: Place, changes: int) -> Iterator[float]:
    """Change one field of one spec after another; seconds until its Deployment says so."""
    api, apps = CustomObjectsApi(there.client), AppsV1Api(there.client)
    chance = random.Random(1)
    for turn in range(changes):
        namespace, name = there.where(chance.randrange(there.count))
        workers = 3 + turn % 50
        body = {"spec": {"api": {"workers": workers}}}
        since = time.monotonic()
        api.patch_namespaced_custom_object(names.GROUP, names.VERSION, namespace, names.PLURAL, name, body)
        while _workers(apps, namespace, names.api(name)) != str(workers):
            if time.monotonic() - since > 60:
                raise AssertionError(f"{namespace}/{name} was not changed within a minute")
            time.sleep(POLL_SECONDS)
        yield time.monotonic() - since


def _workers(apps: AppsV1Api, namespace: str, name: str) -> str:
    (container,) = apps.read_namespaced_deployment(name, namespace).spec.template.spec.containers
    return next(str(item.value) for item in container.env if item.name == "WORKER_COUNT")


@contextlib.contextmanager
def operator(there: Place, **env: str) -> Iterator[Operator]:
    """The operator as a user of its own, so that the audit log tells its calls from ours."""
    there.lab.kubectl("create", "namespace", PREFIX)
    there.lab.kubectl("-n", PREFIX, "create", "serviceaccount", "operator")
    roles = _roles(there.lab)
    there.lab.kubectl(
        "apply", "-f", "-", input=json.dumps({"kind": "List", "apiVersion": "v1", "items": roles})
    )
    for role in roles:
        binding = f"{PREFIX}-{role['metadata']['name']}"
        account = f"--serviceaccount={PREFIX}:operator"
        there.lab.kubectl(
            "create", "clusterrolebinding", binding, f"--clusterrole={role['metadata']['name']}", account
        )
    token = there.lab.kubectl("-n", PREFIX, "create", "token", "operator", "--duration=6h").strip()
    config = yaml.safe_load(there.lab.kubeconfig.read_text())
    for user in config["users"]:
        user["user"] = {"token": token}
    with tempfile.TemporaryDirectory(prefix="match-scale-") as folder:
        path, log = Path(folder) / "kubeconfig", Path(folder) / "log"
        path.write_text(yaml.safe_dump(config))
        health, metrics = free_ports(2)
        settings = {"MATCH_HEALTH_PORT": str(health), "MATCH_METRICS_PORT": str(metrics)}
        with log.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "match_operator"],
                env=os.environ | {"KUBECONFIG": str(path)} | settings | env,
                stdout=out,
                stderr=out,
            )
        try:
            yield Operator(process, log)
        finally:
            processes.end(process)


def _roles(lab: Cluster) -> list[Json]:
    """The chart's rights for an operator that watches every namespace."""
    chart = str(ROOT / "charts" / "match-operator")
    text = lab.helm("template", "match-operator", chart, "-n", PREFIX, "--kube-version", "v1.34.0")
    return [item for item in yaml.safe_load_all(text) if item and item["kind"] == "ClusterRole"]


def calls(log: Path, start: int) -> tuple[int, list[str]]:
    """Reads, and writes in words, of the operator since a place in the audit log; Leases aside."""
    reads, writes = 0, []
    for call in audit.events(log, start):
        if call["stage"] != "ResponseComplete" or f":{PREFIX}:operator" not in call["user"]["username"]:
            continue
        if call["verb"] in audit.WRITES and "/leases" not in call["requestURI"]:
            writes.append(f"{call['verb']} {call['requestURI'].partition('?')[0]}")
        reads += call["verb"] in ("get", "list")
    return reads, writes


if __name__ == "__main__":
    main()
