"""NetworkPolicies: who may connect to the pods. Whoever may not is refused before any password.

Only what comes in is ruled. The kubelet's probes need no rule: a node reaches its own pods.
"""

from typing import Any

from match_operator import names
from match_operator.api import MatchCluster

Json = dict[str, Any]


def build(cluster: MatchCluster) -> list[Json]:
    """A policy for each component, or none at all."""
    if not cluster.network.enabled:
        return []
    policies = [_policy(cluster, names.API, names.api(cluster.name), [_to_api(cluster)])]
    if not cluster.external:
        rules = [_among_nodes(cluster), _to_elasticsearch(cluster)]
        policies.append(
            _policy(cluster, names.ELASTICSEARCH, names.elasticsearch_policy(cluster.name), rules)
        )
    return policies


def _to_api(cluster: MatchCluster) -> Json:
    """Anybody, unless the spec names some: the API asks for keys itself."""
    return {"ports": [_port(names.API_PORT)]} | (
        {"from": list(cluster.network.api_from)} if cluster.network.api_from else {}
    )


def _among_nodes(cluster: MatchCluster) -> Json:
    return {"ports": [_port(names.TRANSPORT_PORT)], "from": [_pods(cluster, names.ELASTICSEARCH)]}


def _to_elasticsearch(cluster: MatchCluster) -> Json:
    """The API, the Job that moves a collection, the operator, and whoever else the spec names."""
    namespace = cluster.network.operator_namespace
    where = {"matchLabels": {names.NAMESPACE_LABEL: namespace}} if namespace else {}
    operator = {
        "namespaceSelector": where,
        "podSelector": {"matchLabels": {names.OPERATOR_LABEL: "true"}},
    }
    own = [_pods(cluster, names.API), _pods(cluster, names.MIGRATION), operator]
    return {"ports": [_port(names.HTTP_PORT)], "from": [*own, *cluster.network.elasticsearch_from]}


def _pods(cluster: MatchCluster, component: str) -> Json:
    return {"podSelector": {"matchLabels": names.selector(cluster.name, component)}}


def _port(number: int) -> Json:
    return {"port": number, "protocol": "TCP"}


def _policy(cluster: MatchCluster, component: str, name: str, rules: list[Json]) -> Json:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "labels": names.labels(cluster.name, component)},
        "spec": {
            "podSelector": {"matchLabels": names.selector(cluster.name, component)},
            "policyTypes": ["Ingress"],
            "ingress": rules,
        },
    }
