"""The local cluster as a whole: up, down, what runs."""

import concurrent.futures
import json
import os
import shutil
import subprocess
from pathlib import Path

from labcluster import (
    builds,
    certificates,
    containers,
    control,
    host,
    images,
    network,
    nodes,
    paths,
    processes,
    progress,
    tools,
)

PAUSE = "localhost/match-lab/pause"
STORAGE_CLASS = {
    "apiVersion": "storage.k8s.io/v1",
    "kind": "StorageClass",
    "metadata": {
        "name": "lab",
        "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
    },
    "provisioner": "match.dev/lab-volumes",
    "reclaimPolicy": "Delete",
    "volumeBindingMode": "WaitForFirstConsumer",
    "allowVolumeExpansion": False,
}


def node() -> nodes.Node:
    """The one node that is started."""
    return nodes.Node(0, f"{PAUSE}:{tools.pause().name.removeprefix('pause-')}")


def up(images_too: bool = False) -> Path:
    """Build, start or heal everything; the administrator's kubeconfig.

    With `images_too` the images of the workload are built beside the compilers, which leave the network idle.
    """
    host.prepare()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        beside = pool.submit(images.build_ahead) if images_too else None
        kubeconfig = _up()
        if beside:
            beside.result()
    return kubeconfig


def _up() -> Path:
    paths.lab().mkdir(parents=True, exist_ok=True)
    _marker().touch()
    with builds.locked("cluster"):
        _build()
        first = node()
        with progress.stage("network and certificates"):
            network.ensure()
            certificates.ensure([first.name])
        with progress.stage("containerd"):
            first.ensure_containerd()
            _ensure_pause(first)
        with progress.stage("control plane"):
            control.ensure()
        with progress.stage("node ready"):
            nodes.ensure_proxy()
            first.ensure_kubelet()
            _ensure_storage()
            progress.until(lambda: _ready(first), 90, "a ready node", lambda: processes.log_tail("kubelet-0"))
    return certificates.kubeconfig("admin")


def _build() -> None:
    """All that is compiled, one after the other: the Go builds use every core by themselves."""
    tools.kube()
    tools.coredns()
    tools.helm()
    tools.pause()


def _ensure_pause(first: nodes.Node) -> None:
    if containers.present(first, first.pause_image):
        return
    file = paths.lab() / "pause.tar"
    containers.archive(tools.pause() / "pause", file, first.pause_image, {"Entrypoint": ["/pause"]})
    containers.load(first, file)
    file.unlink()


def kubectl(*words: str, given: str | None = None) -> str:
    """Standard output of this cluster's own kubectl, whatever KUBECONFIG says."""
    command = [tools.kubectl(), "--kubeconfig", certificates.kubeconfig("admin"), *words]
    return progress.output(command, None if given is None else given.encode())


def _ensure_storage() -> None:
    known = kubectl("get", "storageclass", "--ignore-not-found", "-o", "name")
    if "storageclass.storage.k8s.io/lab" not in known.split():
        kubectl("apply", "-f", "-", given=json.dumps(STORAGE_CLASS))


def _ready(first: nodes.Node) -> bool:
    """The kubelet answers (an earlier one's word holds for 40 s after it died) and calls the node ready."""
    if not first.kubelet_answers():
        return False
    path = "{.status.conditions[?(@.type=='Ready')].status}"
    return kubectl("get", "node", first.name, "--ignore-not-found", "-o", f"jsonpath={path}") == "True"


def _marker() -> Path:
    """Says that the folder is the lab's own and may be deleted."""
    return paths.lab() / "match-operator-lab"


def down(purge: bool = False) -> None:
    """Stop everything; images, volumes and the cluster's objects stay unless `purge`."""
    if os.geteuid() != 0:
        raise progress.LabError("The local cluster runs as root: stop it as root.")
    os.environ["PATH"] = host.search_path()
    with progress.stage("stop"):
        for name in sorted(processes.names(), key=_stop_rank):
            processes.stop(name)
        nodes.remove()
        network.remove()
        shutil.rmtree(paths.run(), ignore_errors=True)
    if purge:
        with progress.stage("purge"):
            if paths.lab().exists() and not _marker().exists():
                raise progress.LabError(f"{paths.lab()} was not made by this program: delete it yourself.")
            for folder in (paths.lab(), paths.cache()):
                subprocess.run(["rm", "-rf", "--one-file-system", str(folder)], check=True)


def _stop_rank(name: str) -> int:
    """Whoever calls others goes before them."""
    order = (
        "kubelet",
        "kube-proxy",
        "coredns",
        "volumes",
        "kube-scheduler",
        "kube-controller",
        "kube-api",
        "etcd",
    )
    return next((rank for rank, start in enumerate(order) if name.startswith(start)), len(order))


def status() -> str:
    """A line for each part with its pid, and where to look; readable by people."""
    lines = [f"{name:26} {_state(name)}" for name in processes.names()] or ["nothing runs"]
    if control_running():
        lines += [f"kubeconfig                 {certificates.kubeconfig('admin')}"]
        lines += [f"audit log                  {control.audit_log()}"]
    lines += [f"data                       {paths.lab()}", f"builds                     {paths.cache()}"]
    return "\n".join(lines)


def control_running() -> bool:
    """Whether the API server runs and says it is ready."""
    return processes.running("kube-apiserver") is not None and control.answers("/readyz")


def _state(name: str) -> str:
    pid = processes.running(name)
    return f"running, pid {pid}" if pid else f"STOPPED, see {paths.logs() / f'{name}.log'}"
