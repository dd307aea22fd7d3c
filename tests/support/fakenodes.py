"""Nodes without machines, whose pods are ready as soon as they are bound: what kwok does, for the scale test.

Everything else is real: the API server, the scheduler and the controllers that make and bind the pods.
"""

import contextlib
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from queue import SimpleQueue
from typing import Any

import urllib3
from kubernetes import watch
from kubernetes.client import ApiClient, CoreV1Api, V1Pod
from kubernetes.client.exceptions import ApiException

from labcluster.cluster import Cluster

Json = dict[str, Any]

LABEL = "match.dev/fake-node"
BEAT_SECONDS = 10
WORKERS = 4


def selector() -> Json:
    """Fields of a podTemplate's spec that bring pods to fake nodes and nowhere else."""
    return {
        "nodeSelector": {LABEL: "true"},
        "tolerations": [{"key": LABEL, "operator": "Exists", "effect": "NoSchedule"}],
    }


@contextlib.contextmanager
def nodes(lab: Cluster, client: ApiClient, count: int) -> Iterator[None]:
    """So many nodes, with room for a thousand pods each, until the end of the block."""
    names = [f"fake-{number}" for number in range(count)]
    for name in names:
        lab.kubectl("apply", "-f", "-", input=json.dumps(_node(name)))
    stop = threading.Event()
    pods: SimpleQueue[V1Pod | None] = SimpleQueue()
    threads = [threading.Thread(target=_beat, args=(client, names, stop))]
    threads += [threading.Thread(target=_watch, args=(client, set(names), pods, stop), daemon=True)]
    threads += [threading.Thread(target=_run, args=(client, pods)) for _ in range(WORKERS)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for _ in range(WORKERS):
            pods.put(None)
        lab.kubectl("delete", "node", *names, "--ignore-not-found")
        for thread in threads:
            if not thread.daemon:
                thread.join()


def _node(name: str) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {LABEL: "true", "kubernetes.io/hostname": name}},
        "spec": {"taints": [{"key": LABEL, "value": "true", "effect": "NoSchedule"}]},
    }


def _status() -> Json:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    room = {"cpu": "1000", "memory": "4000Gi", "pods": "1000"}
    ready = {"type": "Ready", "status": "True", "reason": "Fake", "message": "it is no machine"}
    return {
        "status": {
            "capacity": room,
            "allocatable": room,
            "conditions": [ready | {"lastHeartbeatTime": now, "lastTransitionTime": now}],
        }
    }


def _beat(client: ApiClient, names: list[str], stop: threading.Event) -> None:
    """Say often enough that the nodes are there."""
    api = CoreV1Api(client)
    while True:
        for name in names:
            with contextlib.suppress(ApiException, urllib3.exceptions.HTTPError):
                api.patch_node_status(name, _status())
        if stop.wait(BEAT_SECONDS):
            return


def _watch(
    client: ApiClient, names: set[str], pods: "SimpleQueue[V1Pod | None]", stop: threading.Event
) -> None:
    while not stop.is_set():
        with contextlib.suppress(ApiException, urllib3.exceptions.HTTPError):
            for event in watch.Watch().stream(
                CoreV1Api(client).list_pod_for_all_namespaces,
                label_selector="app.kubernetes.io/component=api",
                timeout_seconds=600,
            ):
                if event["object"].spec.node_name in names and event["type"] != "DELETED":
                    pods.put(event["object"])


def _run(client: ApiClient, pods: "SimpleQueue[V1Pod | None]") -> None:
    """Make pods ready, and let those go that are to."""
    api = CoreV1Api(client)
    while pod := pods.get():
        name, namespace = pod.metadata.name, pod.metadata.namespace
        with contextlib.suppress(ApiException, urllib3.exceptions.HTTPError):
            if pod.metadata.deletion_timestamp:
                api.delete_namespaced_pod(name, namespace, grace_period_seconds=0)
            elif pod.status.phase == "Pending":
                api.patch_namespaced_pod_status(name, namespace, _running(pod))


def _running(pod: V1Pod) -> Json:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    conditions = [
        {"type": kind, "status": "True", "lastTransitionTime": now}
        for kind in ("Initialized", "ContainersReady", "Ready")
    ]
    started = [
        {
            "name": container.name,
            "ready": True,
            "started": True,
            "restartCount": 0,
            "image": container.image,
            "imageID": "fake",
            "state": {"running": {"startedAt": now}},
        }
        for container in pod.spec.containers
    ]
    return {
        "status": {
            "phase": "Running",
            "startTime": now,
            "podIP": "192.0.2.1",
            "podIPs": [{"ip": "192.0.2.1"}],
            "conditions": conditions,
            "containerStatuses": started,
        }
    }
