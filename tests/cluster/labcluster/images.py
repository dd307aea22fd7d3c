"""The images of the workload, built from this checkout, under tags made of what defines them."""

import concurrent.futures
import functools
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from labcluster import base, builds, containers, distribution, paths, progress
from labcluster.nodes import Node

PREFIX = "localhost/match-lab"
KEPT = 6
CACHED_STEPS = 20


@dataclass(frozen=True)
class Image:
    """What `buildah build` is given; `key` tells two contents apart."""

    name: str
    dockerfile: Path
    context: Callable[[], Path]
    key: str
    expected: str
    prefix: str = PREFIX

    @property
    def reference(self) -> str:
        """Repository and tag."""
        return f"{self.prefix}/match-{self.name}:{self.key}"


COPIED: Final = ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE", "operator", "service")
"""What the Dockerfiles of both copy."""


def _base_key() -> str:
    return base.archive().parent.name


def ours(name: str, base_key: str) -> Image:
    """`operator` or `service`, from the checkout's Dockerfile.<name>, on the base of that key."""
    root = paths.REPOSITORY
    dockerfile = root / f"Dockerfile.{name}"
    parts = [dockerfile, root / f"requirements/{name}.txt"]
    parts += [root / part for part in COPIED]
    made = (".egg-info", ".so")
    files = [path for path in builds.files_under(*parts) if not any(each in str(path) for each in made)]
    key = builds.key(files, root, base_key)
    return Image(name, dockerfile, lambda: root, key, "about 1 min, 15 s when only our code has changed")


def elasticsearch(version: str = distribution.VERSION) -> Image:
    """A server from Maven artifacts that honours the official image's contract."""
    key = builds.key(*distribution.defined_by(), _base_key(), version)
    file, context = distribution.SOURCES / "Dockerfile", functools.partial(distribution.path, version)
    return Image("elasticsearch", file, context, key, "about 2 min")


def _all() -> list[Image]:
    return [elasticsearch(), *(ours(name, _base_key()) for name in ("operator", "service"))]


def build_ahead() -> None:
    """Build what buildah does not have, before there is a node to load it into."""
    for image in _all():
        with builds.locked("images"):
            if _build(image):
                _archive(image)


def ensure(nodes: Sequence[Node]) -> dict[str, str]:
    """Build and load what a node does not have; references of `elasticsearch`, `operator`, `service`."""
    return _ensure(_all(), nodes)


def ensure_older(nodes: Sequence[Node]) -> tuple[str, str]:
    """Version and reference of an Elasticsearch that can be upgraded to the one of `ensure`."""
    return distribution.OLDER, *_ensure([elasticsearch(distribution.OLDER)], nodes).values()


def _ensure(images: Sequence[Image], nodes: Sequence[Node]) -> dict[str, str]:
    for image, lacking in _lacking(images, nodes).items():
        with builds.locked("images"):
            _build(image)
            _load(lacking, image)
    return {image.name: image.reference for image in images}


def _lacking(images: Sequence[Image], nodes: Sequence[Node]) -> dict[Image, list[Node]]:
    """The nodes that lack an image, for each image that any of them lacks."""
    known = {node: containers.references(node) for node in nodes}
    lacking = {image: [node for node in nodes if image.reference not in known[node]] for image in images}
    return {image: those for image, those in lacking.items() if those}


def _build(image: Image) -> bool:
    """Whether it had to be built."""
    if _known(image.reference):
        return False
    reference = ensure_base()
    with progress.stage(f"image {image.name}", image.expected):
        build(image, ["--build-arg", f"BASE_IMAGE={reference}"])
    return True


def _archive(image: Image) -> Path:
    """The image as one file; half a file is never taken."""
    file = paths.lab() / f"{image.name}-{image.key}.tar"
    if not file.exists():
        part = file.with_suffix(".part")
        part.unlink(missing_ok=True)
        progress.run(
            [*buildah(), "push", image.reference, f"docker-archive:{part}:{image.reference}"], "images"
        )
        part.rename(file)
    return file


def _load(nodes: Sequence[Node], image: Image) -> None:
    """Write the archive once and bring it to every node that has not got it meanwhile, at the same time."""
    nodes = _lacking([image], nodes).get(image, [])
    if not nodes:
        return
    with progress.stage(f"load {image.name}"):
        file = _archive(image)
        with concurrent.futures.ThreadPoolExecutor(len(nodes)) as pool:
            list(pool.map(lambda node: containers.load(node, file), nodes))
        for old in paths.lab().glob(f"{image.name}-*.tar"):
            old.unlink()
    _forget_older(nodes, image)


def build(image: Image, options: list[str]) -> None:
    """Run the Dockerfile; unchanged steps are taken from earlier builds."""
    mounts = base.build_mounts(paths.lab() / "settings")
    how = ["--isolation", "chroot", "--network", "host", "--layers", *mounts, *options]
    target = ["--tag", image.reference, "--file", image.dockerfile, image.context()]
    progress.run([*buildah(), "build", *how, *target], "images")


def ensure_base() -> str:
    """Reference of the base image in buildah's own storage."""
    rootfs = base.archive()
    reference = f"{PREFIX}/base:{rootfs.parent.name.removeprefix('base-')}"
    if _known(reference):
        return reference
    with progress.stage("base image"):
        name = "match-lab-base"
        subprocess.run([*buildah(), "rm", name], capture_output=True, check=False)
        progress.run([*buildah(), "from", "--name", name, "scratch"], "images")
        progress.run([*buildah(), "add", name, rootfs, "/"], "images")
        progress.run([*buildah(), "config", "--env", "LANG=C.UTF-8", "--cmd", "/bin/bash", name], "images")
        progress.run([*buildah(), "commit", "--rm", name, reference], "images")
    return reference


def _known(reference: str) -> bool:
    asked = subprocess.run(
        [*buildah(), "inspect", "--type", "image", reference], capture_output=True, check=False
    )
    return asked.returncode == 0


def buildah() -> list[str]:
    """buildah with a storage of the lab's own, which `down --purge` can remove."""
    storage = ["--root", str(paths.lab() / "buildah"), "--runroot", str(paths.run() / "buildah")]
    return ["buildah", *storage, "--storage-driver", "overlay"]


def _forget_older(nodes: Sequence[Node], image: Image) -> None:
    """Keep the last few builds of an image: pods of an earlier checkout may still run them."""
    for node in nodes:
        for name in containers.older(node, f"{PREFIX}/match-{image.name}", KEPT):
            containers.remove(node, name)
            subprocess.run([*buildah(), "rmi", name], capture_output=True, check=False)
    # Untagged images are the cached steps of builds; they go all at once when there are many.
    cached = progress.output([*buildah(), "images", "--filter", "dangling=true", "--quiet"]).split()
    if len(cached) > CACHED_STEPS:
        subprocess.run([*buildah(), "rmi", "--prune"], capture_output=True, check=False)
