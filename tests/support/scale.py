"""Measures one operator with many MatchClusters on one shared Elasticsearch; run as a program, yet to be run.

Real are the operator (a process of its own), the API server with its controllers, and Elasticsearch.
The API's pods are on nodes without machines (``fakenodes``), since a thousand real ones fit on none of ours.
"""

import argparse
import contextlib
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from kubernetes import config as kubernetes_config
from kubernetes.client import ApiClient, AppsV1Api, CustomObjectsApi

import fakenodes
from labcluster import elasticsearch
from labcluster.cluster import Cluster
from match_operator import names

Json = dict[str, Any]

ROOT = Path(__file__).parents[2]
PREFIX = "match-scale"
PER_NAMESPACE = 20
WRITES = ("create", "update", "patch", "delete", "deletecollection")
TICKS = os.sysconf("SC_CLK_TCK")


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


def main() -> None:
    """Make them, wait, measure, print, and clear all away."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--clusters", type=int, default=1000, help="default: 1000")
    parser.add_argument("--minutes", type=float, default=5, help="of measuring the settled state; default: 5")
    parser.add_argument(
        "--changes", type=int, default=200, help="specs to change, one at a time; default: 200"
    )
    options = parser.parse_args()
    lab = Cluster.up()
    client = kubernetes_config.new_client_from_config(str(lab.kubeconfig), context=lab.context)
    lab.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(ROOT / "crds"))
    settings = {"cluster.max_shards_per_node": str(2 * options.clusters + 100)}
    with (
        elasticsearch.node("1g", settings) as url,
        fakenodes.nodes(lab, client, 1 + options.clusters // 500),
        tempfile.TemporaryDirectory() as folder,
    ):
        place = Place(lab, client, url, options.clusters)
        try:
            with operator(place, Path(folder)) as process:
                measure(place, process, options)
        finally:
            lab.kubectl(
                "delete", "namespace", *place.namespaces, PREFIX, "--ignore-not-found", "--wait=false"
            )
            lab.kubectl("delete", "clusterrolebinding", PREFIX, "--ignore-not-found")


def measure(place: Place, process: "subprocess.Popen[bytes]", options: argparse.Namespace) -> None:
    """Everything that is printed."""
    took = make(place)
    print(
        f"{place.count} MatchClusters ready after {took:.0f} s, operator {resident(process):.0f} MiB",
        flush=True,
    )
    time.sleep(90)  # more than one resync: the numbers are those of the settled state
    log = place.lab.audit_log
    start, cpu, since = (log.stat().st_size if log else 0), busy(process), time.monotonic()
    time.sleep(options.minutes * 60)
    seconds = time.monotonic() - since
    print(f"settled, over {seconds:.0f} s:")
    print(f"  CPU      {100 * (busy(process) - cpu) / seconds:.1f} % of a core")
    print(f"  memory   {resident(process):.0f} MiB resident, {peak(process):.0f} MiB at most")
    if log:
        reads, writes = calls(log, start)
        print(f"  reads    {60 * reads / seconds:.0f} a minute")
        print(f"  writes   {60 * len(writes) / seconds:.1f} a minute {sorted(set(writes))[:5]}", flush=True)
    times = sorted(react(place, options.changes))
    last = times[min(int(len(times) * 0.99), len(times) - 1)]
    print(f"reaction to {len(times)} changes: p50 {statistics.median(times):.2f} s, p99 {last:.2f} s")


def make(place: Place) -> float:
    """Create them all; seconds until every one is ready."""
    since = time.monotonic()
    for namespace in place.namespaces:
        place.lab.kubectl("create", "namespace", namespace)
    for first in range(0, place.count, 100):
        items = [place.cluster(n) for n in range(first, min(first + 100, place.count))]
        place.lab.kubectl(
            "create", "-f", "-", input=json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
        )
    while True:
        time.sleep(2)
        found = CustomObjectsApi(place.client).list_cluster_custom_object(
            names.GROUP, names.VERSION, names.PLURAL
        )
        phases = [
            item.get("status", {}).get("phase", "unseen")
            for item in found["items"]
            if item["metadata"]["namespace"].startswith(PREFIX)
        ]
        if phases.count("Ready") == place.count:
            return time.monotonic() - since
        if time.monotonic() - since > 60 + 3 * place.count:
            sys.exit(f"not ready in time: {[(p, phases.count(p)) for p in sorted(set(phases))]}")


def react(place: Place, changes: int) -> Iterator[float]:
    """Change one field of one spec after another; seconds until its Deployment says so."""
    api, apps = CustomObjectsApi(place.client), AppsV1Api(place.client)
    for turn in range(changes):
        namespace, name = place.where(random.randrange(place.count))
        since = time.monotonic()
        body = {"spec": {"api": {"workers": 3 + turn % 50}}}
        api.patch_namespaced_custom_object(names.GROUP, names.VERSION, namespace, names.PLURAL, name, body)
        while True:
            [container] = apps.read_namespaced_deployment(
                names.api(name), namespace
            ).spec.template.spec.containers
            env = {item.name: item.value for item in container.env}
            if env["WORKER_COUNT"] == str(3 + turn % 50):
                break
            time.sleep(0.02)
        yield time.monotonic() - since


@contextlib.contextmanager
def operator(place: Place, folder: Path) -> "Iterator[subprocess.Popen[bytes]]":
    """The operator as a process, as a user of its own so that the audit log tells its calls from ours."""
    place.lab.kubectl("create", "namespace", PREFIX)
    place.lab.kubectl("-n", PREFIX, "create", "serviceaccount", "operator")
    account = f"--serviceaccount={PREFIX}:operator"
    place.lab.kubectl("create", "clusterrolebinding", PREFIX, "--clusterrole=cluster-admin", account)
    token = place.lab.kubectl("-n", PREFIX, "create", "token", "operator", "--duration=6h").strip()
    config = yaml.safe_load(place.lab.kubeconfig.read_text())
    for user in config["users"]:
        user["user"] = {"token": token}
    (folder / "kubeconfig").write_text(yaml.safe_dump(config))
    env = os.environ | {
        "KUBECONFIG": str(folder / "kubeconfig"),
        "MATCH_HEALTH_PORT": "18080",
        "MATCH_METRICS_PORT": "18081",
    }
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-m", "match_operator"], env=env, stdout=log, stderr=log)
        try:
            yield process
        finally:
            process.terminate()
            process.wait(30)
            print((folder / "log").read_text()[-2000:], file=sys.stderr)


def calls(log: Path, start: int) -> tuple[int, list[str]]:
    """Reads, and writes in words, of the operator since a place in the audit log; Leases aside."""
    reads, writes = 0, []
    with log.open("rb") as lines:
        lines.seek(start)
        for line in lines:
            call = json.loads(line) if line.endswith(b"\n") else {"stage": ""}
            if call["stage"] != "ResponseComplete" or f":{PREFIX}:operator" not in call["user"]["username"]:
                continue
            if call["verb"] in WRITES and "/leases" not in call["requestURI"]:
                writes.append(f"{call['verb']} {call['requestURI'].partition('?')[0]}")
            reads += call["verb"] in ("get", "list")
    return reads, writes


def busy(process: "subprocess.Popen[bytes]") -> float:
    """Seconds of CPU that a process has had."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def resident(process: "subprocess.Popen[bytes]") -> float:
    """MiB of memory that a process has now."""
    return _memory(process, "VmRSS")


def peak(process: "subprocess.Popen[bytes]") -> float:
    """MiB of memory that a process had at most."""
    return _memory(process, "VmHWM")


def _memory(process: "subprocess.Popen[bytes]", name: str) -> float:
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024


if __name__ == "__main__":
    main()
