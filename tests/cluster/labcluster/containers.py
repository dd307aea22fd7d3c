"""Small image archives made by hand, and the way of any archive into a node's containerd."""

import hashlib
import io
import json
import platform
import tarfile
from pathlib import Path

from labcluster import progress
from labcluster.nodes import Node

NAMESPACE = "k8s.io"


def archive(layer: Path, out: Path, reference: str, config: dict[str, object]) -> None:
    """Write an image of one file at its root (`/<name>`) in Docker's archive form."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        entry = tarfile.TarInfo(layer.name)
        entry.size, entry.mode = layer.stat().st_size, 0o755
        with layer.open("rb") as file:
            tar.addfile(entry, file)
    data = content.getvalue()
    digest = hashlib.sha256(data).hexdigest()
    image = {
        "architecture": architecture(),
        "os": "linux",
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [reference], "Layers": ["layer.tar"]}]
    members = {
        "layer.tar": data,
        "config.json": json.dumps(image).encode(),
        "manifest.json": json.dumps(manifest).encode(),
    }
    with tarfile.open(out, "w") as tar:
        for name, blob in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(blob)
            tar.addfile(entry, io.BytesIO(blob))


def architecture() -> str:
    """The machine's name in images: amd64 or arm64."""
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())


def references(node: Node) -> set[str]:
    """References of the images that the node has, unpacked."""
    return set(progress.output(_ctr(node, "images", "list", "--quiet")).split())


def load(node: Node, file: Path) -> None:
    """Bring an archive (OCI's or Docker's) into the node under the reference it carries."""
    progress.run([*_ctr(node, "images", "import"), file], "images")


def _ctr(node: Node, *words: str) -> list[object]:
    return ["ctr", "--address", node.socket, "--namespace", NAMESPACE, *words]


def older(node: Node, repository: str, kept: int) -> list[str]:
    """References of a repository beyond the `kept` newest, by the order in which they were loaded."""
    history = node.folder / "loaded.txt"
    known = references(node)
    order = history.read_text().split() if history.exists() else []
    order = [name for name in order if name in known] + sorted(known - set(order))
    history.write_text("\n".join(order) + "\n")
    return [name for name in order if name.rpartition(":")[0] == repository][:-kept]


def remove(node: Node, reference: str) -> None:
    """Forget an image; what running containers use of it stays."""
    progress.output(_ctr(node, "images", "remove", reference))
