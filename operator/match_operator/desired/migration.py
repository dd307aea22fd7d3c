"""The Job that moves the collection to another index; docs/design/migration.md says how nothing is lost."""

from dataclasses import dataclass
from typing import Any

from match_operator import names
from match_operator.api import MatchCluster
from match_operator.desired import pod

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Move:
    """From which index behind the alias to which other."""

    source: str
    target: str


def job(cluster: MatchCluster, move: Move) -> Json:
    """Repeated until the alias is on the target: each attempt goes on where the last one died."""
    env = {
        "ELASTICSEARCH_URL": names.elasticsearch_url(cluster.name, cluster.namespace),
        "ELASTICSEARCH_INDEX": cluster.index.name,
        "MATCH_MANAGE_INDEX": "false",
    }
    container = {
        "name": names.MIGRATION,
        "image": cluster.resolved.api_image,
        # To the image's own entry point, whose folder is in nobody's PATH.
        "args": ["migrate", "--from", move.source, "--to", move.target],
        "env": [{"name": name, "value": value} for name, value in env.items()],
        "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "512Mi"}},
        "securityContext": pod.restricted_container() | {"readOnlyRootFilesystem": True},
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108 - a volume of the pod's own
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
                    "volumes": [{"name": "tmp", "emptyDir": {}}],
                },
            },
        },
    }
