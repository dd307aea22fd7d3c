"""What the operator tells of itself: Prometheus metrics of its reconciles."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from prometheus_client import Counter, Gauge, Histogram

RECONCILES: Final = Counter(
    "match_operator_reconciles_total", "Reconciles by outcome", ["namespace", "name", "outcome"]
)
DURATION: Final = Histogram(
    "match_operator_reconcile_duration_seconds",
    "Time that a reconcile takes",
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
LAST_SUCCESS: Final = Gauge(
    "match_operator_last_success_timestamp_seconds",
    "When a MatchCluster was last reconciled without error",
    ["namespace", "name"],
)


@contextmanager
def reconcile(key: tuple[str, str]) -> Iterator[None]:
    """Count and time one reconcile."""
    start = time.monotonic()
    try:
        yield
    except BaseException:
        RECONCILES.labels(*key, "error").inc()
        raise
    else:
        RECONCILES.labels(*key, "success").inc()
        LAST_SUCCESS.labels(*key).set_to_current_time()
    finally:
        DURATION.observe(time.monotonic() - start)


def forget(key: tuple[str, str]) -> None:
    """Drop the series of a MatchCluster that is gone."""
    for outcome in ("success", "error"):
        with suppress(KeyError):
            RECONCILES.remove(*key, outcome)
    with suppress(KeyError):
        LAST_SUCCESS.remove(*key)
