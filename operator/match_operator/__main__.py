"""`match-operator`: reads the settings, wires the parts together and runs until told to stop."""

import asyncio
import json
import logging
import os
import sys
import time
from typing import Any

import kopf
from kubernetes import client
from kubernetes import config as kubernetes_config
from kubernetes.config.config_exception import ConfigException

from match_operator import handlers, health
from match_operator.clients.kube import Kube
from match_operator.config import Config
from match_operator.errors import OperatorError
from match_operator.reconcile import Reconciler
from match_operator.workqueue import WorkQueue

LOG = logging.getLogger(__name__)


def main() -> None:
    """Entry point of the operator's image."""
    try:
        settings = Config.from_env(os.environ)
        api_client = _kubernetes()
    except (ValueError, ConfigException) as error:
        sys.exit(f"match-operator: {error}")
    _log(settings.log_format)
    asyncio.run(_run(settings, api_client))


def _check(kube: Kube, namespaces: tuple[str, ...]) -> None:
    """Leave where nothing can be looked after; one namespace that is gone must not stop the others' care."""
    refused: list[str] = []
    for namespace in namespaces:
        try:
            kube.clusters(namespace)
        except OperatorError as error:
            refused.append(f"MatchClusters cannot be listed: {error}")
    if len(refused) == len(namespaces):
        sys.exit(f"match-operator: {refused[0]}")
    for sentence in refused:
        LOG.warning("%s", sentence)


async def _run(settings: Config, api_client: Any) -> None:
    kube = Kube(api_client)
    _check(kube, settings.watch_namespaces or ("",))
    reconcile = Reconciler(settings, kube)
    queue = WorkQueue(reconcile, settings.workers, reconcile.calm.hear)
    loop = asyncio.get_running_loop()
    started: list[bool] = []
    beat = [time.monotonic()]

    async def heartbeat() -> None:
        while True:
            beat[0] = time.monotonic()
            await asyncio.sleep(1)

    def problem() -> str:
        if not started:
            return "not connected to the API server yet"
        if (silence := time.monotonic() - beat[0]) > 30:
            return f"the event loop has not moved for {silence:.0f} seconds"
        return queue.stalled(loop.time())

    try:
        health.serve(settings.health_port, settings.metrics_port, problem)
    except OSError as error:
        sys.exit(
            f"match-operator: ports {settings.health_port} and {settings.metrics_port} are needed: {error}"
        )
    registry = kopf.OperatorRegistry()
    handlers.register(registry, queue, kube, settings, lambda: started.append(True))
    pulse = asyncio.create_task(heartbeat())
    await kopf.operator(
        registry=registry,
        standalone=True,
        clusterwide=not settings.watch_namespaces,
        namespaces=settings.watch_namespaces,
    )
    pulse.cancel()


def _kubernetes() -> Any:
    """Client from the pod's service account, else from the kubeconfig."""
    try:
        kubernetes_config.load_incluster_config()  # type: ignore[no-untyped-call]
    except ConfigException:
        kubernetes_config.load_kube_config()  # type: ignore[no-untyped-call]
    return client.ApiClient()


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": self.formatTime(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry)


def _log(log_format: str) -> None:
    handler = logging.StreamHandler()
    text = logging.Formatter("%(asctime)s %(levelname)-7s %(message)s")
    handler.setFormatter(_Json() if log_format == "json" else text)
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    for chatty in ("elastic_transport", "kopf", "kubernetes"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


if __name__ == "__main__":
    main()
