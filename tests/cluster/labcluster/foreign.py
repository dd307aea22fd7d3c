"""A cluster of the user's own, used only when `CLUSTER` names its context: a KUBECONFIG alone is ignored.

So nobody's production is touched because a shell happened to point at it.
"""

import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from labcluster import images, paths, progress

OURS = ("operator", "service")


@dataclass(frozen=True)
class Target:
    """Which cluster, and how our images reach it.

    `loader` is `kind` or `k3d` (`name` is the cluster's), `registry` (`name` is its prefix), `given`
    (`images` has the references) or empty when nothing says how.
    """

    context: str
    loader: str
    name: str = ""
    images: tuple[tuple[str, str], ...] = ()


def decide(environment: Mapping[str, str]) -> Target | None:
    """The target that the environment asks for; None for the local cluster.

    Finished images (`MATCH_OPERATOR_IMAGE` and `MATCH_SERVICE_IMAGE`, with them `MATCH_ELASTICSEARCH_IMAGE`
    if wanted) come before `IMAGE_REGISTRY`, and that before the loaders of kind and k3d.
    """
    context = environment.get("CLUSTER", "").strip()
    if not context:
        return None
    given = {
        name: environment.get(f"MATCH_{name.upper()}_IMAGE", "").strip() for name in (*OURS, "elasticsearch")
    }
    if all(given[name] for name in OURS):
        return Target(context, "given", images=tuple((name, value) for name, value in given.items() if value))
    registry = environment.get("IMAGE_REGISTRY", "").strip().rstrip("/")
    if registry:
        return Target(context, "registry", registry)
    for kind in ("kind", "k3d"):
        if context.startswith(f"{kind}-"):
            return Target(context, kind, context.removeprefix(f"{kind}-"))
    return Target(context, "")


def program(name: str) -> str:
    """kubectl or helm as the user has it: building our own would take minutes."""
    found = shutil.which(name)
    if not found:
        raise progress.LabError(f"A cluster of yours is reached with {name}: install it.")
    return found


def kubeconfig(target: Target) -> Path:
    """A copy of kubectl's own settings that knows this one context, so that no other can be reached."""
    command = [program("kubectl"), "config", "view", "--minify", "--flatten", "--context", target.context]
    text = progress.output(command)
    file = paths.lab() / "foreign" / f"{target.context.replace('/', '_')}.kubeconfig"
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    file.touch(mode=0o600)
    file.write_text(text)
    return file


def ensure(target: Target) -> dict[str, str]:
    """Build our two images and bring them to the cluster; Elasticsearch's stays the official one."""
    if target.loader == "given":
        return dict(target.images)
    if not target.loader:
        raise progress.LabError(
            f"CLUSTER={target.context} is neither kind's nor k3d's: set IMAGE_REGISTRY to a "
            "registry that you can push to and its nodes can pull from."
        )
    prefix = target.name if target.loader == "registry" else images.PREFIX
    made = {}
    for name in OURS:
        image = replace(images.ours(name, ""), prefix=prefix)
        made[name] = image.reference
        with progress.stage(f"image {name} to {target.context}", image.expected):
            _bring(target, image)
    return made


def _engine() -> str:
    """docker where it is installed (kind and k3d read its images), else buildah."""
    for engine in ("docker", "buildah"):
        if shutil.which(engine):
            return engine
    raise progress.LabError("Images are built with docker or buildah: install one of them.")


def _bring(target: Target, image: images.Image) -> None:
    engine = _engine()
    if target.loader in ("kind", "k3d") and engine != "docker":
        raise progress.LabError(f"{target.loader} loads images from docker, which is not installed.")
    known = subprocess.run(
        [engine, "inspect", "--type", "image", image.reference], capture_output=True, check=False
    )
    if known.returncode:
        what = ["--tag", image.reference, "--file", image.dockerfile, image.context()]
        progress.run([engine, "build", *what], "images")
    load = {
        "registry": [engine, "push", image.reference],
        "kind": ["kind", "load", "docker-image", image.reference, "--name", target.name],
        "k3d": ["k3d", "image", "import", image.reference, "--cluster", target.name],
    }
    progress.run(load[target.loader], "images")
