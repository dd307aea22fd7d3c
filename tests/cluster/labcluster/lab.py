"""The local cluster as a whole: up, down, what runs."""

import concurrent.futures
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from labcluster import (
    builds,
    certificates,
    cgroups,
    containers,
    control,
    faults,
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
NODES = 3
NODE_SECONDS = 90
CLASSES = {"lab": True, "lab-fixed": False}
"""The StorageClasses, and whether their volumes can grow; the first is the default."""


def node(index: int) -> nodes.Node:
    """The node of that index, whether it runs or not."""
    return nodes.Node(index, f"{PAUSE}:{tools.pause().name.removeprefix('pause-')}")


def started() -> list[nodes.Node]:
    """Every node that was started since the cluster was, lost ones among them."""
    names = set(processes.names())
    return [each for each in map(node, range(nodes.MOST)) if each.containerd in names]


def living() -> list[nodes.Node]:
    """Every node whose containerd runs, so that images can be brought to it."""
    return [each for each in started() if processes.running(each.containerd)]


def up(images_too: bool = False, count: int = NODES) -> Path:
    """Build, start or heal everything, with at least `count` nodes; the administrator's kubeconfig.

    With `images_too` the images of the workload are built beside the compilers, which leave the network idle.
    """
    host.prepare()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        beside = pool.submit(images.build_ahead) if images_too else None
        kubeconfig = _up(count)
        if beside:
            beside.result()
    return kubeconfig


def _up(count: int) -> Path:
    paths.lab().mkdir(parents=True, exist_ok=True)
    _marker().touch()
    with builds.locked("cluster"):
        _build()
        wanted = [node(index) for index in range(max([count, *(each.index + 1 for each in started())]))]
        with progress.stage("network and certificates"):
            network.ensure()
            certificates.ensure([each.name for each in wanted])
        with progress.stage("containerd"):
            _together(_ensure_containerd, wanted)
        with progress.stage("control plane"):
            control.ensure()
        with progress.stage("nodes ready"):
            nodes.ensure_proxy()
            for each in wanted:
                each.ensure_kubelet()
            _ensure_storage()
            _forget_others(wanted)
            wait_ready(wanted)
    return certificates.kubeconfig("admin")


def _together(do: Callable[[nodes.Node], None], those: Sequence[nodes.Node]) -> None:
    with concurrent.futures.ThreadPoolExecutor(len(those)) as pool:
        list(pool.map(do, those))


def lose(name: str) -> None:
    """Take a node away as a power cut would, see `faults`; `restore` or `up` brings it back."""
    faults.lose(_named(name))


def _named(name: str) -> nodes.Node:
    found = {each.name: each for each in started()}
    if name not in found:
        raise progress.LabError(f"There is no node {name}; the local cluster has {', '.join(found)}.")
    return found[name]


def restore(name: str) -> None:
    """Start a lost node again and wait until Kubernetes calls it ready; its pods then start by themselves."""
    back = _named(name)
    with builds.locked("cluster"):
        _ensure_containerd(back)
        back.ensure_kubelet()
        wait_ready([back])


def _build() -> None:
    """All that is compiled, one after the other: the Go builds use every core by themselves."""
    tools.kube()
    tools.coredns()
    tools.helm()
    tools.pause()


def _ensure_containerd(one: nodes.Node) -> None:
    one.ensure_containerd()
    if one.pause_image in containers.references(one):
        return
    file = one.folder / "pause.tar"
    containers.archive(tools.pause() / "pause", file, one.pause_image, {"Entrypoint": ["/pause"]})
    containers.load(one, file)
    file.unlink()


def kubectl(*words: str, given: str | None = None) -> str:
    """Standard output of this cluster's own kubectl, whatever KUBECONFIG says."""
    command = [tools.kubectl(), "--kubeconfig", certificates.kubeconfig("admin"), *words]
    return progress.output(command, None if given is None else given.encode())


def _ensure_storage() -> None:
    known = json.loads(kubectl("get", "storageclass", "-o", "json"))["items"]
    grows = {each["metadata"]["name"]: each.get("allowVolumeExpansion", False) for each in known}
    if any(grows.get(name) != growing for name, growing in CLASSES.items()):
        items = [_storage_class(name) for name in CLASSES]
        kubectl("apply", "-f", "-", given=json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))


def _storage_class(name: str) -> dict[str, Any]:
    default = str(name == next(iter(CLASSES))).lower()
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {
            "name": name,
            "annotations": {"storageclass.kubernetes.io/is-default-class": default},
        },
        "provisioner": "match.dev/lab-volumes",
        "reclaimPolicy": "Delete",
        "volumeBindingMode": "WaitForFirstConsumer",
        "allowVolumeExpansion": CLASSES[name],
    }


def _known_nodes() -> dict[str, bool]:
    """Every node that the API server knows, and whether it calls it ready."""
    items = json.loads(kubectl("get", "nodes", "-o", "json"))["items"]
    return {item["metadata"]["name"]: _says_ready(item["status"].get("conditions", [])) for item in items}


def _says_ready(conditions: list[dict[str, Any]]) -> bool:
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def _forget_others(wanted: Sequence[nodes.Node]) -> None:
    """Delete the objects of nodes that an earlier cluster of this machine had and this one has not."""
    others = set(_known_nodes()) - {each.name for each in wanted}
    if others:
        kubectl("delete", "node", *sorted(others))


def wait_ready(those: Sequence[nodes.Node]) -> None:
    """Wait until each kubelet answers (an earlier one's word holds for a while) and its node is ready."""

    def ready() -> bool:
        if not all(each.kubelet_answers() for each in those):
            return False
        known = _known_nodes()
        return all(known.get(each.name) for each in those)

    def explain() -> str:
        known = _known_nodes()
        late = [each for each in those if not known.get(each.name)]
        return "\n".join(processes.log_tail(each.kubelet) for each in late)

    names = ", ".join(each.name for each in those)
    progress.until(ready, NODE_SECONDS, f"{names} ready", explain)


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
        cgroups.remove()
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
