"""Fragments that both kinds of pod share."""

from typing import Any

from match_operator import names
from match_operator.errors import InvalidSpecError
from match_operator.merge import merge

Json = dict[str, Any]


def restricted_container() -> Json:
    """securityContext of a container under the restricted Pod Security Standard."""
    return {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def restricted_pod() -> Json:
    """securityContext of a pod under the restricted Pod Security Standard, as user 1000."""
    return {
        "runAsNonRoot": True,
        "runAsUser": 1000,
        "runAsGroup": 1000,
        "fsGroup": 1000,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def restarted(asked: str) -> Json:
    """Annotation of the pods that makes them new when ``asked`` changes; none while it is empty."""
    return {names.RESTARTED_ANNOTATION: asked} if asked else {}


def spread(cluster: str, component: str) -> Json:
    """Affinity that keeps pods of a component on different nodes where there are enough."""
    return {
        "podAntiAffinity": {
            "preferredDuringSchedulingIgnoredDuringExecution": [
                {
                    "weight": 100,
                    "podAffinityTerm": {
                        "topologyKey": "kubernetes.io/hostname",
                        "labelSelector": {"matchLabels": names.selector(cluster, component)},
                    },
                }
            ]
        }
    }


def with_overrides(template: Json, overrides: Json, where: str) -> Json:
    """``template`` with the user's podTemplate merged onto it; raises ``InvalidSpecError``."""
    spec = overrides.get("spec", {})
    for field in ("containers", "initContainers", "volumes"):
        items = spec.get(field, [])
        if not isinstance(items, list) or not all(isinstance(i, dict) and i.get("name") for i in items):
            raise InvalidSpecError(f"{where}.spec.{field} must be a list of objects that each have a name")
    merged: Json = merge(template, overrides)
    return merged


def disruption_budget(cluster: str, component: str, name: str) -> Json:
    """PodDisruptionBudget that lets a drain take one pod at a time, and broken ones always."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": name, "labels": names.labels(cluster, component)},
        "spec": {
            "maxUnavailable": 1,
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
            "selector": {"matchLabels": names.selector(cluster, component)},
        },
    }


def service(cluster: str, component: str, name: str, ports: list[Json], **spec: Any) -> Json:
    """Service over the pods of a component."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "labels": names.labels(cluster, component)},
        "spec": {"selector": names.selector(cluster, component), "ports": ports} | spec,
    }


def port(name: str, number: int, target: str) -> Json:
    """A named TCP port of a Service."""
    return {"name": name, "port": number, "targetPort": target, "protocol": "TCP"}
