"""Deployment, Service, disruption budget and autoscaler of the Match API."""

from typing import Any, Final

from match_operator import access, names
from match_operator.api import MatchCluster
from match_operator.desired import credentials, pod, tokens
from match_operator.resolved import GENERATED, OPEN

Json = dict[str, Any]

KEYS: Final = "/etc/match/keys"
"""A folder, since a single file that is mounted is never read anew."""


def build(cluster: MatchCluster) -> list[Json]:
    """All objects of the API, in apply order."""
    component = names.API
    objects = [
        pod.service(
            cluster.name,
            component,
            names.api(cluster.name),
            [pod.port("http", names.API_SERVICE_PORT, "http")],
        ),
        deployment(cluster),
        pod.disruption_budget(cluster.name, component, names.api(cluster.name)),
    ]
    if cluster.api.autoscaling:
        objects.append(autoscaler(cluster))
    return objects


def deployment(cluster: MatchCluster) -> Json:
    """The API's pods; a rollout starts a new one before it stops an old one."""
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": names.api(cluster.name), "labels": names.labels(cluster.name, names.API)},
        "spec": {
            "replicas": cluster.api.replicas,
            "selector": {"matchLabels": names.selector(cluster.name, names.API)},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "template": _pod_template(cluster),
        },
    }


def autoscaler(cluster: MatchCluster) -> Json:
    """HorizontalPodAutoscaler on the MatchCluster's own scale subresource.

    spec.api.replicas stays the one place that says how many pods there are.
    """
    scaling = cluster.api.autoscaling
    assert scaling is not None  # noqa: S101 - narrows the type; build() asks only when it is set
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": names.api(cluster.name), "labels": names.labels(cluster.name, names.API)},
        "spec": {
            "scaleTargetRef": {"apiVersion": names.API_VERSION, "kind": names.KIND, "name": cluster.name},
            "minReplicas": scaling.min,
            "maxReplicas": scaling.max,
            "metrics": [
                {
                    "type": "Resource",
                    "resource": {
                        "name": "cpu",
                        "target": {"type": "Utilization", "averageUtilization": scaling.cpu_percent},
                    },
                }
            ],
        },
    }


def _pod_template(cluster: MatchCluster) -> Json:
    restarted = pod.restarted(cluster.resolved.restarted_api)
    annotations: Json = {"annotations": restarted} if restarted else {}
    template = {
        "metadata": {"labels": names.labels(cluster.name, names.API)} | annotations,
        "spec": {
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": 60,
            "securityContext": pod.restricted_pod(),
            "affinity": pod.spread(cluster.name, names.API),
            "containers": [_container(cluster)],
            "volumes": [
                {"name": "tmp", "emptyDir": {}},
                *_keys_volume(cluster),
                *credentials.volumes(cluster, names.API),
                *tokens.volumes(cluster),
            ],
        },
    }
    return pod.with_overrides(template, cluster.api.pod_template, "api.podTemplate")


def _container(cluster: MatchCluster) -> Json:
    env = {
        "ELASTICSEARCH_URL": access.url(cluster),
        "ELASTICSEARCH_INDEX": cluster.index.name,
        "ALL_ORIENTATIONS": str(cluster.api.all_orientations).lower(),
        **({"MATCH_AUTH": "open"} if _is_open(cluster) else {}),
        "MATCH_MANAGE_INDEX": "false",
        **credentials.env(cluster),
        "PORT": str(names.API_PORT),
        **({"MATCH_HEALTH_PORT": str(names.API_HEALTH_PORT)} if not cluster.resolved.older_api_image else {}),
        "WORKER_COUNT": str(cluster.api.workers),
        **({} if _is_open(cluster) else {"MATCH_API_KEYS_FILE": f"{KEYS}/{names.KEYS_FILE}"}),
        **tokens.env(cluster),
    }
    return {
        "name": names.API,
        "image": cluster.resolved.api_image,
        "env": [{"name": name, "value": value} for name, value in env.items()],
        "ports": _ports(cluster),
        "resources": cluster.api.resources,
        "startupProbe": _probe(cluster, "/livez", periodSeconds=1, failureThreshold=120),
        # All pods depend on the same Elasticsearch: what makes one unready makes them all, and the Service
        # then refuses every connection. So a short silence of it is answered by the pods, not by nobody.
        "readinessProbe": _probe(cluster, "/readyz", periodSeconds=3, failureThreshold=10, timeoutSeconds=3),
        # A pod with more to do than it can answers late: a restart would leave its share to the others, until
        # they are late as well.
        "livenessProbe": _probe(cluster, "/livez", periodSeconds=10, failureThreshold=12, timeoutSeconds=10),
        # New connections stop arriving before the server stops accepting them.
        "lifecycle": {"preStop": {"exec": {"command": ["sleep", "5"]}}},
        "securityContext": pod.restricted_container() | {"readOnlyRootFilesystem": True},
        "volumeMounts": [
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - a volume of the pod's own
            *([] if _is_open(cluster) else [{"name": "keys", "mountPath": KEYS, "readOnly": True}]),
            *credentials.mounts(cluster),
            *tokens.mounts(cluster),
        ],
    }


def _is_open(cluster: MatchCluster) -> bool:
    return cluster.api.auth.mode == OPEN


def _keys_volume(cluster: MatchCluster) -> list[Json]:
    """The hashes alone: no pod needs a key itself."""
    if _is_open(cluster):
        return []
    auth = cluster.api.auth
    generated = auth.mode == GENERATED
    source = {
        "secretName": names.api_keys(cluster.name) if generated else auth.secret,
        "items": [{"key": names.KEYS_FILE if generated else auth.key, "path": names.KEYS_FILE}],
    }
    return [{"name": "keys", "secret": source}]


def _ports(cluster: MatchCluster) -> list[Json]:
    http: Json = {"name": "http", "containerPort": names.API_PORT, "protocol": "TCP"}
    health: Json = {"name": "health", "containerPort": names.API_HEALTH_PORT, "protocol": "TCP"}
    return [http] if cluster.resolved.older_api_image else [http, health]


def _probe(cluster: MatchCluster, path: str, **timing: int) -> Json:
    """On a port that clients do not use, if there is one: the kubelet waits in no queue of theirs."""
    port = _ports(cluster)[-1]["name"]
    return {"httpGet": {"path": path, "port": port}, **timing}
