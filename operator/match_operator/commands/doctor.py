"""Check what MatchClusters need of a Kubernetes cluster, and say what to do where it is missing."""

import argparse
import http
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from match_operator import names
from match_operator.commands import schema

Json = dict[str, Any]
OLDEST = (1, 30)
"""Rules of the schema and the retention of volumes are part of every Kubernetes from here on."""
PATIENCE = timedelta(minutes=5)
WITHOUT = {
    names.PLURAL: "without it there can be no MatchCluster, and the operator has nothing to look after",
    names.REQUESTS[names.SNAPSHOT_KIND]: "without it only the schedule makes snapshots",
    names.REQUESTS[names.RESTORE_KIND]: "without it no snapshot can be restored",
}
"""What is not to be had without a schema, by its plural."""


@dataclass(frozen=True)
class Finding:
    """One thing looked at; ``advice`` is empty where all is well."""

    what: str
    advice: str = ""


def arguments(_parser: argparse.ArgumentParser) -> None:
    """Nothing may be given."""


def run(_options: argparse.Namespace, connection: Any) -> int:
    """Print what was found; exit code 1 where there is anything to do."""
    now = datetime.now(UTC)

    def get(version: str, url: str) -> Json:
        base = {} if version else {"base": "/"}
        answer = connection.get(version=version, url=url, **base)
        found: Json = answer.json()
        return found

    findings = list(examine(get, now))
    for finding in findings:
        print(f"{'!!' if finding.advice else 'ok'} {finding.what}")
        if finding.advice:
            print(f"   {finding.advice}")
    return 1 if any(finding.advice for finding in findings) else 0


def examine(get: Any, now: datetime) -> Iterator[Finding]:
    """Every check; ``get`` answers a version and a path with a body."""
    yield from _kubernetes(get)
    yield from _schemas(get)
    yield from _operator(get)
    yield from _storage(get)
    yield from _clusters(get, now)


def _kubernetes(get: Any) -> Iterator[Finding]:
    found = get("", "/version")
    version = tuple(int("".join(c for c in found[k] if c.isdigit())) for k in ("major", "minor"))
    advice = "" if version >= OLDEST else f"upgrade it to {OLDEST[0]}.{OLDEST[1]} or newer"
    yield Finding(f"Kubernetes {found['gitVersion']}", advice)


def _schemas(get: Any) -> Iterator[Finding]:
    for plural, without in WITHOUT.items():
        ours = schema.crd(plural)
        what = f"the schema of {ours['spec']['names']['kind']}s"
        found = get("apiextensions.k8s.io/v1", f"customresourcedefinitions/{ours['metadata']['name']}")
        yield Finding(what, _schema(ours, found, f"crds/{plural}.yaml", without))


def _schema(ours: Json, found: Json, file: str, without: str) -> str:
    """What to do about a schema; empty where it is as new as ours."""
    if "spec" not in found:
        said = found.get("message")
        if found.get("code") == http.HTTPStatus.FORBIDDEN:
            return f"it could not be read: {said}"
        return f"{without}; install the chart, or kubectl apply --server-side -f {file}: {said}"
    conditions = {c["type"]: c for c in found.get("status", {}).get("conditions") or []}
    for kind in ("NamesAccepted", "Established"):
        if conditions.get(kind, {}).get("status") == "False":
            return f"Kubernetes does not serve it: {conditions[kind].get('message')}"
    wanted, there = (_paths(c["spec"]["versions"][0]["schema"]["openAPIV3Schema"]) for c in (ours, found))
    missing = sorted(wanted - there)
    if not missing:
        return ""
    return (
        f"it is older than this matchctl and lacks {missing[0]}; upgrade the chart, or kubectl apply "
        f"--server-side -f {file}"
    )


def _paths(part: Json, path: str = "") -> set[str]:
    found = set()
    for name, inner in part.get("properties", {}).items():
        here = f"{path}.{name}" if path else name
        found |= {here} | _paths(inner.get("items", inner), here)
    return found


def _operator(get: Any) -> Iterator[Finding]:
    answer = get("apps/v1", "/deployments?labelSelector=app.kubernetes.io/component=operator")
    found = [
        item
        for item in answer.get("items", [])
        if item["metadata"]["labels"].get("app.kubernetes.io/name") == "match-operator"
    ]
    if not found:
        yield Finding("an operator", answer.get("message") or "install the chart charts/match-operator")
    for item in found:
        where = f"{item['metadata']['namespace']}/{item['metadata']['name']}"
        ready = item.get("status", {}).get("readyReplicas", 0)
        yield Finding(f"operator {where}", "" if ready else f"it is not ready; see its pods in {where}")


def _storage(get: Any) -> Iterator[Finding]:
    answer = get("storage.k8s.io/v1", "/storageclasses")
    classes = answer.get("items", [])
    chosen = [
        item
        for item in classes
        if (item["metadata"].get("annotations") or {}).get("storageclass.kubernetes.io/is-default-class")
        == "true"
    ]
    if not chosen:
        advice = (
            answer.get("message") or "name one in storage.className of every node set, or mark one as default"
        )
        yield Finding("a default StorageClass", advice)
    for item in chosen:
        grows = item.get("allowVolumeExpansion")
        advice = "" if grows else "set allowVolumeExpansion: true in it, else a full volume cannot be helped"
        yield Finding(f"default StorageClass {item['metadata']['name']}", advice)


def _clusters(get: Any, now: datetime) -> Iterator[Finding]:
    for item in get(names.API_VERSION, f"/{names.PLURAL}").get("items", []):
        metadata, status = item["metadata"], item.get("status") or {}
        where = (
            f"{names.KIND} {metadata['namespace']}/{metadata['name']}: {status.get('phase', 'never seen')}"
        )
        conditions = {c["type"]: c for c in status.get("conditions", [])}
        age = now - datetime.fromisoformat(metadata["creationTimestamp"])
        if not conditions and age > PATIENCE:
            yield Finding(where, "no operator looks at its namespace; see watchNamespaces of the chart")
        elif conditions.get("Stalled", {}).get("status") == "True":
            yield Finding(where, conditions["Stalled"]["message"])
        elif conditions.get("Ready", {}).get("status") == "False" and age > PATIENCE:
            yield Finding(where, conditions["Ready"]["message"])
        else:
            yield Finding(where)
