"""A MatchCluster and its children as a cluster would show them, for the pure parts of the operator."""

import copy
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

import match_index
from match_operator import api, desired, names, plan
from match_operator.config import Config
from match_operator.desired import elasticsearch
from match_operator.observed import Disk, Elastic, Node, Observed, Shard
from match_operator.plan import membership, ownership

Json = dict[str, Any]

CRD: Json = yaml.safe_load((Path(__file__).parents[2] / "crds" / "matchclusters.yaml").read_text())
SCHEMA: Json = CRD["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
CRDS: dict[str, Json] = {
    item["spec"]["names"]["kind"]: item
    for path in (Path(__file__).parents[2] / "crds").glob("*.yaml")
    for item in [yaml.safe_load(path.read_text())]
}
CONFIG = Config(
    elasticsearch_version="8.19.21",
    elasticsearch_image="elasticsearch:{version}",
    api_image="match-service:1",
)
UID = "11111111-2222-3333-4444-555555555555"


def defaulted(value: Any, schema: Json = SCHEMA) -> Any:
    """``value`` with the schema's defaults, as an API server fills them in."""
    if isinstance(value, dict):
        filled = dict(value)
        for name, part in schema.get("properties", {}).items():
            if name not in filled and "default" in part:
                filled[name] = copy.deepcopy(part["default"])
            if name in filled:
                filled[name] = defaulted(filled[name], part)
        return filled
    if isinstance(value, list):
        return [defaulted(item, schema.get("items", {})) for item in value]
    return value


def body(spec: Json | None = None, **metadata: Any) -> Json:
    """A MatchCluster as the API server returns it."""
    return defaulted(
        {
            "apiVersion": names.API_VERSION,
            "kind": names.KIND,
            "metadata": {"name": "photos", "namespace": "lab", "uid": UID, "generation": 1} | metadata,
            "spec": spec or {},
        }
    )


def request_schema(kind: str) -> Json:
    """The schema of a MatchSnapshot or MatchRestore."""
    found: Json = CRDS[kind]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return found


def cluster(spec: Json | None = None, *, config: Config = CONFIG, **metadata: Any) -> api.MatchCluster:
    """A parsed MatchCluster."""
    return api.from_body(body(spec, **metadata), config)


def kept(spec: Json | None = None, **metadata: Any) -> api.MatchCluster:
    """A parsed MatchCluster whose resolved defaults are kept already."""
    return cluster(
        spec, annotations={names.RESOLVED_ANNOTATION: cluster(spec).resolved.annotation}, **metadata
    )


def node_sets(*sets: str | tuple[str, Json], **spec: Any) -> Json:
    """A spec with these node sets; each a name, or a name and its fields."""
    named = [{"name": s} if isinstance(s, str) else {"name": s[0]} | s[1] for s in sets]
    return {"elasticsearch": {"nodeSets": named} | spec}


def external(**fields: Any) -> Json:
    """A spec over an Elasticsearch that exists already."""
    return {"elasticsearch": {"external": {"urls": ["https://es.example:9200"]} | fields}}


def plan_for(of: api.MatchCluster, seen: Observed, *, formed: bool = True) -> plan.Plan:
    """What the operator would do now."""
    return plan.make(of, objects(of, formed=formed, seen=seen), seen)


def objects(of: api.MatchCluster, *, formed: bool = True, seen: Observed | None = None) -> list[Json]:
    """What should exist, beside what is there."""
    replicas = membership.replicas(of, seen) if seen else {}
    return desired.build(of, () if formed else elasticsearch.initial_masters(of, replicas), replicas)


def pod(name: str, component: str, *, ready: bool = True, revision: str = "r1", **labels: str) -> Json:
    """A pod as the kubelet reports it."""
    return {
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": "lab",
            "uid": f"uid-{name}",
            "resourceVersion": "1",
            "labels": names.selector("photos", component) | {names.REVISION_LABEL: revision} | labels,
        },
        "spec": {},
        "status": {"conditions": [{"type": "Ready", "status": str(ready)}]},
    }


def claim(node: str, requested: str = "20Gi", capacity: str = "20Gi") -> Json:
    """The volume claim of a node."""
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": names.volume(node),
            "namespace": "lab",
            "uid": f"uid-{names.volume(node)}",
            "resourceVersion": "1",
            "labels": names.selector("photos", names.ELASTICSEARCH),
        },
        "spec": {"resources": {"requests": {"storage": requested}}},
        "status": {"phase": "Bound", "capacity": {"storage": capacity}},
    }


def settled(of: api.MatchCluster, items: list[Json] | None = None) -> dict[tuple[str, str], Json]:
    """The children of a cluster in which everything has happened that should."""
    children: dict[tuple[str, str], Json] = {}
    for item in copy.deepcopy(items or objects(of)):
        item["metadata"] |= {
            "generation": 1,
            "uid": f"uid-{item['metadata']['name']}",
            "resourceVersion": "1",
        }
        if item["kind"] == "StatefulSet":
            item["status"] = {"observedGeneration": 1, "updateRevision": "r1"}
        if item["kind"] == "Deployment":
            count = item["spec"]["replicas"]
            item["status"] = {"observedGeneration": 1} | dict.fromkeys(
                ("replicas", "readyReplicas", "updatedReplicas"), count
            )
        children[item["kind"], item["metadata"]["name"]] = item
    for node_set in of.node_sets:
        for ordinal in range(node_set.count):
            name = names.node(of.name, node_set.name, ordinal)
            children["Pod", name] = pod(name, names.ELASTICSEARCH, **{names.NODE_SET_LABEL: node_set.name})
    return children


def members(of: api.MatchCluster, version: str = "") -> dict[str, Node]:
    """The nodes of an Elasticsearch in which everything has happened that should."""
    return {
        name: Node(f"id-{name}", version or of.resolved.elasticsearch_version, s.is_master, s.is_data)
        for s in of.node_sets
        for i in range(s.count)
        for name in [names.node(of.name, s.name, i)]
    }


def copies(of: api.MatchCluster, nodes: Iterable[str], size: int = 2**30) -> tuple[Shard, ...]:
    """Started copies of every shard of the index, spread over some nodes in turn."""
    nodes, index = list(nodes), match_index.backing_index(of.index.name)
    return tuple(
        Shard(index, number, copy == 0, started=True, node=nodes[(number + copy) % len(nodes)], bytes=size)
        for number in range(of.index.shards)
        for copy in range(min(of.index.replicas + 1, len(nodes)))
    )


def elastic(of: api.MatchCluster, **changes: Any) -> Elastic:
    """An Elasticsearch in which everything has happened that should."""
    index = of.index
    nodes = members(of) or {"es-0": Node("id-es-0", "8.19.21"), "es-1": Node("id-es-1", "8.19.21")}
    data = [name for name, node in nodes.items() if node.is_data]
    answers: Json = {
        "uuid": "u-1",
        "health": "green",
        "moving_shards": 0,
        "nodes": nodes,
        "master": next(name for name, node in nodes.items() if node.is_master),
        "shards": copies(of, data),
        "disks": {name: Disk(total=20 * 2**30, free=18 * 2**30, shards=1) for name in data},
        "voters": frozenset(node.id for node in nodes.values() if node.is_master),
        "template": match_index.template_body(
            index.name, index.shards, of.index_replicas, index.refresh_interval, ownership.mark(of)
        ),
        "indices": {match_index.backing_index(index.name): live_index(of)},
        "documents": 7,
    }
    return Elastic(**(answers | changes))


def live_index(of: api.MatchCluster, **settings: str) -> Json:
    """A backing index as Elasticsearch describes it."""
    body = match_index.settings(of.index.shards, of.index_replicas, of.index.refresh_interval)["index"]
    return {"settings": {"index": body | settings}, "mappings": match_index.mappings(ownership.mark(of))}


def seen(of: api.MatchCluster, *, without: Iterable[tuple[str, str]] = (), **changes: Any) -> Observed:
    """Everything about a settled cluster, less some children."""
    children = {ref: item for ref, item in settled(of).items() if ref not in set(without)}
    return Observed(**({"children": children, "elastic": elastic(of)} | changes))
