"""`match-operator`: reads the settings, wires the parts together and runs until told to stop."""

import asyncio
import json
import logging
import os
import signal
import socket
import sys
import time
import uuid
from typing import Any

import kopf
from kubernetes import client
from kubernetes import config as kubernetes_config
from kubernetes.config.config_exception import ConfigException

from match_operator import handlers, health, metrics
from match_operator.clients.kube import Kube
from match_operator.config import Config
from match_operator.errors import OperatorError
from match_operator.leadership import Leadership
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
    kube = Kube(api_client)
    leadership = _candidate(settings, kube)
    try:
        asyncio.run(_run(settings, kube, leadership))
    finally:
        # Only here: before, a look that had begun might still be writing.
        if leadership:
            leadership.release()


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


async def _run(settings: Config, kube: Kube, leadership: Leadership | None) -> None:
    _check(kube, settings.watch_namespaces or ("",))
    fence = leadership.check if leadership else lambda: None
    reconcile = Reconciler(settings, kube, may_write=fence)
    queue = WorkQueue(reconcile, settings.workers, reconcile.calm.hear)
    loop = asyncio.get_running_loop()
    working: list[bool] = []
    leading: asyncio.Future[bool] = loop.create_future()
    beat = [time.monotonic()]

    async def heartbeat() -> None:
        while True:
            beat[0] = time.monotonic()
            await asyncio.sleep(1)

    def problem() -> str:
        if (silence := time.monotonic() - beat[0]) > 30:
            return f"the event loop has not moved for {silence:.0f} seconds"
        if leadership and (sentence := leadership.problem()):
            return sentence
        if leading.done() and not working:
            return "not connected to the API server yet"
        if working and not working[-1]:
            return "the work has ended, but the process has not"
        return queue.stalled(loop.time())

    try:
        health.serve(settings.health_port, settings.metrics_port, problem)
    except OSError as error:
        sys.exit(
            f"match-operator: ports {settings.health_port} and {settings.metrics_port} are needed: {error}"
        )
    pulse = asyncio.create_task(heartbeat())
    if await _leads(leadership, leading):
        registry = kopf.OperatorRegistry()
        handlers.register(registry, queue, kube, settings, working.append)
        await kopf.operator(
            registry=registry,
            standalone=True,
            clusterwide=not settings.watch_namespaces,
            namespaces=settings.watch_namespaces,
        )
    pulse.cancel()


async def _leads(leadership: Leadership | None, leading: "asyncio.Future[bool]") -> bool:
    """Wait until it is this process's turn to act; False where it is told to end before."""
    if leadership is None:
        metrics.LEADING.set(1)
        leading.set_result(True)
        return True
    loop = asyncio.get_running_loop()

    def settle(answer: bool) -> None:
        if not leading.done():
            leading.set_result(answer)

    def lead() -> None:
        loop.call_soon_threadsafe(settle, True)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, settle, False)
    LOG.info("standing by until the Lease %s is free", leadership.name)
    leadership.start(lead)
    return await leading


def _candidate(settings: Config, kube: Kube) -> Leadership | None:
    if settings.lease is None:
        return None
    identity = settings.identity or f"{socket.gethostname()}-{uuid.uuid4().hex[:8]}"
    return Leadership(kube, *settings.lease, identity)


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
        entry |= {key: value for key in ("cluster", "reason") if (value := getattr(record, key, None))}
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
