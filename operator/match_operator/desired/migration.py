"""The Job that moves the collection to another index; docs/design/migration.md says how nothing is lost."""

from dataclasses import dataclass
from typing import Any

from match_operator import access, names
from match_operator.api import MatchCluster
from match_operator.desired import credentials, pod

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Move:
    """From which index behind the alias to which other."""

    source: str
    target: str


def job(cluster: MatchCluster, move: Move) -> Json:
    """Repeated until the alias is on the target: each attempt goes on where the last one died."""
    env = {
        "ELASTICSEARCH_URL": access.url(cluster),
        "ELASTICSEARCH_INDEX": cluster.index.name,
        "MATCH_MANAGE_INDEX": "false",
        **credentials.env(cluster),
    }
    container = {
        "name": names.MIGRATION,
        "image": cluster.resolved.api_image,
        # To the image's own entry point, whose folder is in nobody's PATH.
        "args": ["migrate", "--from", move.source, "--to", move.target],
        "env": [{"name": name, "value": value} for name, value in env.items()],
        "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "512Mi"}},
        "securityContext": pod.restricted_container() | {"readOnlyRootFilesystem": True},
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}, *credentials.mounts(cluster)],  # noqa: S108 - its own
    }
    labels = names.labels(cluster.name, names.MIGRATION)
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": names.migration(cluster.name), "labels": labels},
        "spec": {
            "backoffLimit": 1000,
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "automountServiceAccountToken": False,
                    "enableServiceLinks": False,
                    "restartPolicy": "OnFailure",
                    "securityContext": pod.restricted_pod(),
                    "containers": [container],
                    "volumes": [
                        {"name": "tmp", "emptyDir": {}},
                        *credentials.volumes(cluster, names.MIGRATION),
                    ],
                },
            },
        },
    }
