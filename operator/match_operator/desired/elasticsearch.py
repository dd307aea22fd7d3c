"""ConfigMaps, Services, StatefulSets and the disruption budget of Elasticsearch."""

import hashlib
from collections.abc import Mapping
from typing import Any

import yaml

from match_operator import names, parts
from match_operator.api import MatchCluster, NodeSet
from match_operator.desired import pod, security, stores
from match_operator.desired.security import HOME
from match_operator.merge import merge

Json = dict[str, Any]

KEEPALIVE: Json = {
    "transport.tcp.keep_idle": 3,
    "transport.tcp.keep_interval": 1,
    "transport.tcp.keep_count": 3,
}
"""Seconds, seconds and times after which the kernel gives up a connection to a node whose machine is gone.

A node's own checks take half a minute, and writes wait as long. A machine's kernel answers these while its
node collects garbage, so that a busy node is not taken for a lost one. Each node has connections to each
other that are idle, which is when they are sent
(https://www.elastic.co/guide/en/elasticsearch/reference/8.19/modules-network.html).
"""
SNAPSHOTS = f"{HOME}/snapshots"
"""Where the nodes have the volume of snapshots."""


def build(
    cluster: MatchCluster, initial_masters: tuple[str, ...], replicas: Mapping[str, int], keystore: str
) -> list[Json]:
    """All objects of Elasticsearch, in apply order; ``keystore`` as for ``stores.overlay``."""
    component = names.ELASTICSEARCH
    objects = [config_map(cluster, node_set, initial_masters) for node_set in cluster.node_sets]
    objects += [
        pod.service(
            cluster.name,
            component,
            names.elasticsearch_nodes(cluster.name),
            [pod.port("transport", names.TRANSPORT_PORT, "transport")],
            clusterIP="None",
            # Nodes must find each other before any of them can be ready.
            publishNotReadyAddresses=True,
        ),
        pod.service(
            cluster.name,
            component,
            names.elasticsearch_http(cluster.name),
            [pod.port("http", names.HTTP_PORT, "http")],
        ),
    ]
    objects += [
        stateful_set(cluster, s, replicas.get(names.node_set(cluster.name, s.name), s.count), keystore)
        for s in cluster.node_sets
    ]
    objects.append(pod.disruption_budget(cluster.name, component, names.elasticsearch_pdb(cluster.name)))
    return objects


def settings(cluster: MatchCluster, node_set: NodeSet) -> Json:
    """elasticsearch.yml of a node set, without the bootstrap setting.

    ``${NAME}`` is filled in from the pod's environment by Elasticsearch.
    """
    places: Json = {f"node.attr.{names.ZONE_ATTRIBUTE}": node_set.zone} if node_set.zone else {}
    if cluster.zoned:
        places[names.AWARENESS_SETTING] = names.ZONE_ATTRIBUTE
    if cluster.node_awareness:
        # What it is for is said in plan/awareness.py.
        places[f"node.attr.{names.HOST_ATTRIBUTE}"] = f"${{{names.HOST_VARIABLE}}}"
    return {
        "node.store.allow_mmap": False,
        **(KEEPALIVE if cluster.resolved.keepalive == parts.ENABLED else {}),
        **node_set.config,
        **places,
        **({"path.repo": [SNAPSHOTS]} if _claim(cluster) else {}),
        **stores.settings(cluster),
        "cluster.name": cluster.name,
        "node.name": "${POD_NAME}",
        "node.roles": list(node_set.roles),
        "network.host": "0.0.0.0",  # noqa: S104 - a pod is reached by its own address
        "network.publish_host": "${POD_IP}",
        "discovery.seed_hosts": [names.elasticsearch_nodes(cluster.name)],
        "readiness.port": names.READINESS_PORT,
        **security.settings(cluster),
    }


def config_map(cluster: MatchCluster, node_set: NodeSet, initial_masters: tuple[str, ...]) -> Json:
    """elasticsearch.yml; names the first masters only until the cluster has formed.

    A node that lost its disk and still found that setting could found a second cluster.
    """
    content = settings(cluster, node_set)
    if initial_masters and node_set.is_master:
        content[names.FOUNDERS_SETTING] = list(initial_masters)
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": names.node_set(cluster.name, node_set.name),
            "labels": _labels(cluster, node_set),
        },
        "data": {names.CONFIG_KEY: _dump(content)},
    }


def _dump(content: Json) -> str:
    # libyaml writes the same text as Python's own emitter, which took nine tenths of the time of build().
    text: str = yaml.dump(content, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper), sort_keys=True)
    return text


def initial_masters(cluster: MatchCluster, replicas: Mapping[str, int]) -> tuple[str, ...]:
    """Every node that may vote, for the first start; ``replicas`` as for ``build``."""
    return tuple(
        names.node(cluster.name, node_set.name, ordinal)
        for node_set in cluster.node_sets
        if node_set.is_master
        for ordinal in range(replicas.get(names.node_set(cluster.name, node_set.name), node_set.count))
    )


def stateful_set(cluster: MatchCluster, node_set: NodeSet, replicas: int, keystore: str) -> Json:
    """One node set. Pods start together and are replaced by plan.py alone, which knows their shards."""
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {
            "name": names.node_set(cluster.name, node_set.name),
            "labels": _labels(cluster, node_set),
        },
        "spec": {
            "replicas": replicas,
            "serviceName": names.elasticsearch_nodes(cluster.name),
            "podManagementPolicy": "Parallel",
            "updateStrategy": {"type": "OnDelete"},
            "persistentVolumeClaimRetentionPolicy": {
                "whenDeleted": cluster.volumes.on_delete,
                "whenScaled": cluster.volumes.on_scale_down,
            },
            "selector": {"matchLabels": _selector(cluster, node_set)},
            "template": _pod_template(cluster, node_set, keystore),
            "volumeClaimTemplates": [_volume_claim(cluster, node_set)],
        },
    }


def _labels(cluster: MatchCluster, node_set: NodeSet) -> dict[str, str]:
    return names.labels(cluster.name, names.ELASTICSEARCH) | {names.NODE_SET_LABEL: node_set.name}


def _selector(cluster: MatchCluster, node_set: NodeSet) -> dict[str, str]:
    return names.selector(cluster.name, names.ELASTICSEARCH) | {names.NODE_SET_LABEL: node_set.name}


def _pod_template(cluster: MatchCluster, node_set: NodeSet, keystore: str) -> Json:
    config = _dump(settings(cluster, node_set))
    template = {
        "metadata": {
            "labels": _labels(cluster, node_set),
            "annotations": {
                names.CONFIG_ANNOTATION: hashlib.sha256(config.encode()).hexdigest()[:16],
                **pod.restarted(cluster.resolved.restarted_elasticsearch),
            },
        },
        "spec": {
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": 120,
            "securityContext": pod.restricted_pod(),
            "affinity": pod.spread(cluster.name, names.ELASTICSEARCH),
            **({"nodeSelector": {names.ZONE_LABEL: node_set.zone}} if node_set.zone else {}),
            "containers": [_container(cluster, node_set)],
            "volumes": [
                {"name": "config", "configMap": {"name": names.node_set(cluster.name, node_set.name)}},
                *_snapshots_volume(cluster),
            ],
        },
    }
    template = merge(template, security.overlay(cluster, node_set))
    template = merge(template, stores.overlay(cluster, node_set, keystore))
    where = f"elasticsearch.nodeSets[{node_set.name}].podTemplate"
    return pod.with_overrides(template, node_set.pod_template, where)


def _container(cluster: MatchCluster, node_set: NodeSet) -> Json:
    heap = f"{node_set.heap_bytes // 2**20}m"
    return {
        "name": names.ELASTICSEARCH,
        "image": cluster.resolved.elasticsearch_image,
        "env": [
            {
                "name": "POD_NAME",
                "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}},
            },
            {"name": "POD_IP", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "status.podIP"}}},
            *_host_variable(cluster),
            {"name": "ES_JAVA_OPTS", "value": f"-Xms{heap} -Xmx{heap}"},
        ],
        "ports": [
            {"name": "http", "containerPort": names.HTTP_PORT, "protocol": "TCP"},
            {"name": "transport", "containerPort": names.TRANSPORT_PORT, "protocol": "TCP"},
        ],
        "resources": node_set.resources,
        # Elasticsearch opens this port once the node is part of a cluster. It says nothing of the
        # cluster's health: a restart of all nodes must not wait for a quorum of ready ones.
        "readinessProbe": {
            "tcpSocket": {"port": names.READINESS_PORT},
            "periodSeconds": 3,
            "failureThreshold": 3,
        },
        # Clients stop being sent here before the node stops answering.
        "lifecycle": {"preStop": {"exec": {"command": ["sleep", "3"]}}},
        "securityContext": pod.restricted_container(),
        "volumeMounts": [
            {"name": names.DATA_VOLUME, "mountPath": f"{HOME}/data"},
            {
                "name": "config",
                "mountPath": f"{HOME}/config/{names.CONFIG_KEY}",
                "subPath": names.CONFIG_KEY,
                "readOnly": True,
            },
            *([{"name": names.SNAPSHOTS_VOLUME, "mountPath": SNAPSHOTS}] if _claim(cluster) else []),
        ],
    }


def _host_variable(cluster: MatchCluster) -> list[Json]:
    source = {"fieldRef": {"apiVersion": "v1", "fieldPath": "spec.nodeName"}}
    return [{"name": names.HOST_VARIABLE, "valueFrom": source}] if cluster.node_awareness else []


def _claim(cluster: MatchCluster) -> str:
    return cluster.snapshots.claim if cluster.snapshots else ""


def _snapshots_volume(cluster: MatchCluster) -> list[Json]:
    claim = _claim(cluster)
    return [{"name": names.SNAPSHOTS_VOLUME, "persistentVolumeClaim": {"claimName": claim}}] if claim else []


def _volume_claim(cluster: MatchCluster, node_set: NodeSet) -> Json:
    spec: Json = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": node_set.storage_size}},
    }
    if node_set.storage_class:
        spec["storageClassName"] = node_set.storage_class
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": names.DATA_VOLUME, "labels": _labels(cluster, node_set)},
        "spec": spec,
    }
