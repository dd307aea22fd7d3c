"""`matchctl`: what a MatchCluster is made of and waits for, at a glance; and how large one must be."""

import argparse
import sys
from collections.abc import Iterator
from typing import Any

import requests
import yaml
from pykube.config import KubeConfig
from pykube.exceptions import KubernetesError
from pykube.http import HTTPClient
from pykube.objects import Deployment, NamespacedAPIObject, Pod, StatefulSet
from pykube.query import all_

from match_operator import commands, names, observed, size
from match_operator.errors import InvalidSpecError

Json = dict[str, Any]


class MatchCluster(NamespacedAPIObject):  # type: ignore[misc]
    """The custom resource as a pykube object."""

    version = names.API_VERSION
    endpoint = names.PLURAL
    kind = names.KIND


def main(arguments: list[str] | None = None) -> None:
    """Entry point; exits with 1 when a cluster asked for is missing or not ready."""
    options = _parser().parse_args(arguments)
    if options.command == "size":
        _size(options)
        return
    try:
        if options.command in commands.OFFLINE:
            sys.exit(options.run(options, None))
        found = options.kubeconfig
        config = KubeConfig.from_file(found) if found else KubeConfig.from_env()
        api = HTTPClient(config, timeout=30)
        if options.command != "status":
            sys.exit(options.run(options, api))
        clusters = _clusters(api, options)
    except InvalidSpecError as error:
        sys.exit(f"matchctl: {error}")
    except (KubernetesError, requests.RequestException, OSError) as error:
        sys.exit(f"matchctl: the cluster cannot be asked: {error}")
    if not clusters:
        sys.exit(f"matchctl: no MatchCluster {options.name or ''} in {options.namespace or 'any namespace'}")
    for cluster in clusters:
        print("\n".join(tree(cluster.obj, _children(api, cluster))))
    sys.exit(0 if all(_condition(c.obj, "Ready").get("status") == "True" for c in clusters) else 1)


def _size(options: argparse.Namespace) -> None:
    """Print the plan, or the MatchCluster with the plan as its comment."""
    try:
        load = size.Load(
            options.images,
            options.replicas,
            options.searches_per_second,
            options.adds_per_second,
        )
        found = size.size(load)
    except size.TooLargeError as error:
        sys.exit(f"matchctl: {error}")
    lines = size.words(load, found)
    if options.output == "yaml":
        print("\n".join(f"# {line}" for line in lines))
        print(yaml.safe_dump(size.manifest(load, found, options.name), sort_keys=False), end="")
    else:
        print("\n".join(lines))


def tree(cluster: Json, children: list[Json]) -> Iterator[str]:
    """Lines that show a cluster, its conditions and its children."""
    metadata, status = cluster["metadata"], cluster.get("status") or {}
    phase = status.get("phase", "not seen by an operator yet")
    yield f"MatchCluster {metadata['namespace']}/{metadata['name']}: {phase}"
    if operation := status.get("operation"):
        yield f"├─ {operation['what']} since {operation['since']}: {operation['waitingFor']}"
    for condition in status.get("conditions", []):
        yield f"├─ {condition['type']} {condition['status']}: {condition['message']}"
    if index := status.get("index"):
        yield f"├─ Index {index.get('backing')}: {index.get('documents', 0)} images"
    lines = [line for child in children if (line := _child(child))]
    for number, line in enumerate(lines, start=1):
        yield ("└─ " if number == len(lines) else "├─ ") + line


def _child(item: Json) -> str:
    kind, name, status = item["kind"], item["metadata"]["name"], item.get("status", {})
    if kind in ("StatefulSet", "Deployment"):
        return f"{kind} {name}: {status.get('readyReplicas', 0)}/{item['spec']['replicas']} ready"
    if kind == "Pod":
        state = "ready" if observed.is_ready(item) else observed.problem(item) or "starting"
        return f"   Pod {name} on {item['spec'].get('nodeName', 'no node')}: {state}"
    return ""


def _clusters(api: HTTPClient, options: argparse.Namespace) -> list[MatchCluster]:
    query = MatchCluster.objects(api, namespace=options.namespace or all_)
    return [cluster for cluster in query if options.name in (None, cluster.name)]


def _children(api: HTTPClient, cluster: MatchCluster) -> list[Json]:
    found: list[Json] = []
    for kind in (StatefulSet, Deployment):
        for owner in _labelled(kind, api, cluster):
            component = owner["metadata"]["labels"][names.COMPONENT_LABEL]
            node_set = owner["metadata"]["labels"].get(names.NODE_SET_LABEL)
            found.append(owner)
            found += [
                pod
                for pod in _labelled(Pod, api, cluster)
                if pod["metadata"]["labels"].get(names.COMPONENT_LABEL) == component
                and pod["metadata"]["labels"].get(names.NODE_SET_LABEL) == node_set
            ]
    return found


def _labelled(kind: Any, api: HTTPClient, cluster: MatchCluster) -> list[Json]:
    query = kind.objects(api, namespace=cluster.namespace).filter(
        selector={names.CLUSTER_LABEL: cluster.name}
    )
    return [item.obj | {"kind": kind.kind} for item in query]


def _condition(cluster: Json, kind: str) -> Json:
    conditions = (cluster.get("status") or {}).get("conditions", [])
    return next((c for c in conditions if c["type"] == kind), {})


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="matchctl", description="Look at MatchClusters, and size them.")
    parser.add_argument("--kubeconfig", help="default: $KUBECONFIG, then ~/.kube/config")
    subparsers = parser.add_subparsers(required=True, dest="command")
    status = subparsers.add_parser("status", help="show what a MatchCluster is made of and waits for")
    status.add_argument("name", nargs="?", help="default: all")
    status.add_argument("-n", "--namespace", help="default: all namespaces")
    commands.add_parsers(subparsers)
    parser.set_defaults(parser=parser)  # completion describes all of it
    plan = subparsers.add_parser("size", help="calculate how large a MatchCluster must be; asks no cluster")
    plan.add_argument("--images", type=size.images, required=True, metavar="N", help="250k, 50M, 1.5G")
    plan.add_argument("--replicas", type=int, choices=range(11), default=1, metavar="N", help="default: 1")
    plan.add_argument("--searches-per-second", type=size.rate, default=1.0, metavar="N", help="default: 1")
    plan.add_argument("--adds-per-second", type=size.rate, default=0.0, metavar="N", help="default: 0")
    plan.add_argument("--name", default="photos", help="name of the MatchCluster; default: photos")
    plan.add_argument("-o", "--output", choices=("words", "yaml"), default="words")
    return parser


if __name__ == "__main__":
    main()
