"""What Prometheus is told: how long each endpoint and each stage takes, and what fails for which reason.

With several workers the numbers of all are added up through files in ``PROMETHEUS_MULTIPROC_DIR``, which must
be set before this module is imported; ``match-service serve`` does that.
"""

import contextvars
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    multiprocess,
)

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
FOLDER: Final = "PROMETHEUS_MULTIPROC_DIR"

_SECONDS: Final = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)

REQUESTS: Final = Histogram(
    "match_request_seconds",
    "Seconds from the first byte of a request to its answer.",
    ["endpoint", "status"],
    buckets=_SECONDS,
)
STAGES: Final = Histogram(
    "match_stage_seconds",
    "Seconds in one stage of requests: fetch, decode (waiting for a decoder included) or store.",
    ["endpoint", "stage"],
    buckets=_SECONDS,
)
IN_FLIGHT: Final = Gauge(
    "match_requests_in_flight", "Requests that are being answered.", multiprocess_mode="livesum"
)
WAITING: Final = Gauge(
    "match_requests_waiting", "Requests that wait for a free thread.", multiprocess_mode="livesum"
)
DECODE_FAILURES: Final = Counter("match_decode_failures_total", "Images refused, by reason.", ["reason"])
FETCH_FAILURES: Final = Counter("match_fetch_failures_total", "URLs that could not be fetched.")
STORE_ERRORS: Final = Counter("match_store_errors_total", "Calls the store could not answer.", ["endpoint"])
OVERLOADS: Final = Counter("match_overloads_total", "Requests turned away because too many were waiting.")

ENDPOINT: Final = contextvars.ContextVar("endpoint", default="none")
"""Endpoint of the request that is being answered, "none" for an unknown path."""


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Count the time of the block, however it ends."""
    begin = time.perf_counter()
    try:
        yield
    finally:
        STAGES.labels(ENDPOINT.get(), name).observe(time.perf_counter() - begin)


def exposition() -> bytes:
    """All metrics of this process, or of all workers of the server, in Prometheus's text format."""
    if not os.environ.get(FOLDER):
        return generate_latest(REGISTRY)
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)


def forget(process: int) -> None:
    """A worker has ended: what it had in flight is gone."""
    if os.environ.get(FOLDER):
        multiprocess.mark_process_dead(process)  # type: ignore[no-untyped-call]
