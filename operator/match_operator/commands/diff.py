"""Show what the operator would change for a MatchCluster in a file, and what it would refuse.

The API server completes and checks the file (a dry run), so what it would refuse is said too.
"""

import argparse
import json
from collections.abc import Iterator
from typing import Any

from match_operator import api, desired, names, plan
from match_operator.commands import manifests
from match_operator.config import Config
from match_operator.errors import InvalidSpecError
from match_operator.observed import Observed
from match_operator.plan import membership

Json = dict[str, Any]
CHANGED = 2
"""Exit code where something would change, as `kubectl diff` has 1 for it and more for errors."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """What may be given."""
    parser.add_argument("-f", "--filename", required=True, help='the file, "-" for standard input')
    parser.add_argument("-n", "--namespace", help="for a MatchCluster that names none; default: default")


def run(options: argparse.Namespace, connection: Any) -> int:
    """Print the changes; exit code 0 without any, 2 with some, 1 where a part is refused."""
    code = 0
    for body in manifests.read(options.filename):
        namespace = body["metadata"].get("namespace") or options.namespace or "default"
        path = f"namespaces/{namespace}/{names.PLURAL}/{body['metadata']['name']}"
        live = connection.get(version=names.API_VERSION, url=path)
        before = live.json() if live.status_code == 200 else None
        after = _dry_run(connection, path, body)
        items = children(connection, namespace, body["metadata"]["name"]) if before else {}
        seen = Observed(items, status=(before or {}).get("status") or {})
        print(f"{names.KIND} {namespace}/{body['metadata']['name']}:")
        lines, refused = list(changes(before, after, seen)), list(problems(after, seen))
        print("\n".join(["  " + line for line in [*lines, *refused]] or ["  nothing would change"]))
        code = max(code, 1 if refused else 0) if refused or not lines else (code or CHANGED)
    return code


def _dry_run(connection: Any, path: str, body: Json) -> Json:
    answer = connection.patch(
        version=names.API_VERSION,
        url=path,
        params={
            "dryRun": "All",
            "fieldManager": "matchctl-diff",
            "force": "true",
            "fieldValidation": "Strict",
        },
        headers={"Content-Type": "application/apply-patch+yaml"},
        data=json.dumps(body),
    )
    said: Json = answer.json()
    if answer.status_code not in (200, 201):
        raise InvalidSpecError(said.get("message", str(answer.status_code)))
    return said


def children(connection: Any, namespace: str, name: str) -> dict[tuple[str, str], Json]:
    """What node sets consist of now."""
    found: dict[tuple[str, str], Json] = {}
    for version, plural, kind in (
        ("apps/v1", "statefulsets", "StatefulSet"),
        ("v1", "persistentvolumeclaims", "PersistentVolumeClaim"),
        ("v1", "pods", "Pod"),
    ):
        selector = {"labelSelector": names.children_selector(name)}
        answer = connection.get(version=version, url=f"namespaces/{namespace}/{plural}", params=selector)
        for item in answer.json().get("items", []):
            found[kind, item["metadata"]["name"]] = item | {"kind": kind}
    return found


def problems(after: Json, seen: Observed) -> Iterator[str]:
    """What the operator would refuse, with the way out."""
    cluster = api.from_body(after, Config())
    wanted = desired.build(cluster, (), membership.replicas(cluster, seen))
    for problem in plan.make(cluster, wanted, seen).problems:
        yield f"! {problem.reason}: {problem.message}"


def changes(before: Json | None, after: Json, seen: Observed) -> Iterator[str]:
    """Objects that would be made, changed or removed, field by field, and which pods that costs."""
    new = {_ref(item): item for item in _objects(after)}
    old = {_ref(item): item for item in _objects(before)} if before else {}
    for ref, item in new.items():
        if ref not in old:
            yield f"+ {ref}"
            continue
        paths = list(_fields(old[ref], item))
        if paths:
            yield f"~ {ref}"
            yield from (f"    {line}" for line in paths)
    yield from (f"- {ref}" for ref in old if ref not in new)
    yield from _costs(before, after, new, old, seen)


def _costs(
    before: Json | None, after: Json, new: dict[str, Json], old: dict[str, Json], seen: Observed
) -> Iterator[str]:
    for ref, item in new.items():
        template = (item.get("spec") or {}).get("template")
        if ref in old and template and template != old[ref]["spec"]["template"]:
            yield f"* the pods of {ref} are replaced, one after another"
    if before and (leaving := membership.leaving(api.from_body(after, Config()), seen)):
        yield f"* {', '.join(reversed(leaving))}: their shards are moved, then they are removed"


def _objects(body: Json) -> list[Json]:
    return desired.build(api.from_body(body, Config()), ())


def _ref(item: Json) -> str:
    return f"{item['kind']} {item['metadata']['name']}"


def _fields(old: Any, new: Any, path: str = "") -> Iterator[str]:
    """Leaves that differ. Fingerprints follow from the rest and are left out."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in {**old, **new}:
            if key not in (names.APPLIED_ANNOTATION, names.CONFIG_ANNOTATION, "ownerReferences"):
                yield from _fields(old.get(key), new.get(key), f"{path}.{key}" if path else key)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for number, (left, right) in enumerate(zip(old, new, strict=True)):
            yield from _fields(left, right, f"{path}[{number}]")
    elif isinstance(old, str) and isinstance(new, str) and "\n" in old:
        removed, added = (set(a.splitlines()) - set(b.splitlines()) for a, b in ((old, new), (new, old)))
        yield from (f"{path}: -{line}" for line in sorted(removed))
        yield from (f"{path}: +{line}" for line in sorted(added))
    elif old != new:
        yield f"{path}: {json.dumps(old)} -> {json.dumps(new)}"
