"""What the operator tells of itself and of each MatchCluster: Prometheus metrics, which alerts are made of.

Series of a MatchCluster go with it, and with the process: only the operator that acts has any, so that after
a hand-over nobody reports what it no longer looks at.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from prometheus_client import Counter, Gauge, Histogram

from match_operator.errors import ConflictError

Key = tuple[str, str]

_CLUSTER: Final = ("namespace", "name")
HEALTHS: Final = ("green", "yellow", "red", "unknown")

RECONCILES: Final = Counter(
    "match_operator_reconciles_total", "Reconciles by outcome", [*_CLUSTER, "outcome"]
)
DURATION: Final = Histogram(
    "match_operator_reconcile_duration_seconds",
    "Time that a reconcile takes",
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
LAST_SUCCESS: Final = Gauge(
    "match_operator_last_success_timestamp_seconds",
    "When a MatchCluster was last reconciled without error",
    _CLUSTER,
)
WAITED: Final = Histogram(
    "match_operator_queue_wait_seconds",
    "Time from when a MatchCluster is due until it is looked at",
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
DECISIONS: Final = Counter(
    "match_operator_decisions_total", "Steps taken, by the reason their events have", [*_CLUSTER, "reason"]
)
LEADING: Final = Gauge("match_operator_leading", "1 where this process acts, 0 where it stands by")
CONDITION: Final = Gauge(
    "match_operator_cluster_condition",
    "1 where the condition of a MatchCluster is true, else 0",
    [*_CLUSTER, "condition"],
)
HEALTH: Final = Gauge(
    "match_operator_cluster_health", "1 for the health of its Elasticsearch, else 0", [*_CLUSTER, "health"]
)
NODES: Final = Gauge("match_operator_cluster_nodes", "Elasticsearch nodes asked for", _CLUSTER)
NODES_READY: Final = Gauge("match_operator_cluster_nodes_ready", "Elasticsearch nodes ready", _CLUSTER)
API_READY: Final = Gauge("match_operator_cluster_api_pods_ready", "API pods ready", _CLUSTER)
IMAGES: Final = Gauge("match_operator_cluster_images", "Images in the collection", _CLUSTER)

_OF_CLUSTERS: Final = (
    RECONCILES,
    LAST_SUCCESS,
    DECISIONS,
    CONDITION,
    HEALTH,
    NODES,
    NODES_READY,
    API_READY,
    IMAGES,
)


@contextmanager
def reconcile(key: Key) -> Iterator[None]:
    """Count and time one reconcile."""
    start = time.monotonic()
    try:
        yield
    except ConflictError:
        RECONCILES.labels(*key, "conflict").inc()  # another look is all it takes
        raise
    except BaseException:
        RECONCILES.labels(*key, "error").inc()
        raise
    else:
        RECONCILES.labels(*key, "success").inc()
        LAST_SUCCESS.labels(*key).set_to_current_time()
    finally:
        DURATION.observe(time.monotonic() - start)


def decided(key: Key, reason: str) -> None:
    """Count a step."""
    DECISIONS.labels(*key, reason).inc()


def observe(key: Key, status: dict[str, Any]) -> None:
    """Show what a status says; parts that are not known yet get no series."""
    for condition in status.get("conditions", []):
        CONDITION.labels(*key, condition["type"]).set(condition["status"] == "True")
    elasticsearch = status.get("elasticsearch", {})
    for health in HEALTHS if elasticsearch else ():
        HEALTH.labels(*key, health).set(elasticsearch["health"] == health)
    for gauge, value in (
        (NODES, elasticsearch.get("nodes")),
        (NODES_READY, elasticsearch.get("readyNodes")),
        (API_READY, status.get("api", {}).get("readyReplicas")),
        (IMAGES, status.get("index", {}).get("documents")),
    ):
        if value is not None:
            gauge.labels(*key).set(value)


def forget(key: Key) -> None:
    """Drop the series of a MatchCluster that is gone."""
    for metric in _OF_CLUSTERS:
        metric.remove_by_labels(dict(zip(_CLUSTER, key, strict=True)))
