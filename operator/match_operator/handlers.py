"""The door: the only file that knows kopf. Every event of a MatchCluster or of its children queues one look.

Only ``kopf.on.event`` is used: it writes nothing to the objects. No finalizer can hang a deletion, no
annotation grows with the spec, and Kubernetes' garbage collector removes the children by their owner.
"""

import asyncio
import datetime
import itertools
import logging
from collections.abc import Callable, Iterator
from typing import Any, Final

import kopf

from match_operator import names
from match_operator.clients.kube import Kube
from match_operator.config import Config
from match_operator.errors import OperatorError
from match_operator.workqueue import WorkQueue

LOG = logging.getLogger(__name__)

CHILDREN: Final = (
    ("", "v1", "configmaps"),
    ("", "v1", "secrets"),
    ("", "v1", "services"),
    ("", "v1", "pods"),
    ("", "v1", "persistentvolumeclaims"),
    ("apps", "v1", "statefulsets"),
    ("apps", "v1", "deployments"),
    ("batch", "v1", "jobs"),
    ("policy", "v1", "poddisruptionbudgets"),
    ("networking.k8s.io", "v1", "networkpolicies"),
    ("autoscaling", "v2", "horizontalpodautoscalers"),
)
TOKEN_LIFE: Final = datetime.timedelta(minutes=10)
"""A projected service account token is rewritten well before it ends; kopf reads it anew this often."""


class Patience:
    """Seconds between tries of a request, without end.

    kopf ends the operator when its tries are used up: a namespace that may no longer be watched would take
    from all others who looks after them.
    """

    def __iter__(self) -> Iterator[float]:
        """From the first try on."""
        return itertools.chain((1, 1, 2, 3, 5, 8, 13, 21), itertools.repeat(60))


def register(
    registry: kopf.OperatorRegistry,
    queue: WorkQueue,
    kube: Kube,
    config: Config,
    works: Callable[[bool], None],
) -> None:
    """Wire kopf's events to the queue; ``works`` is told when work begins and when it has ended."""

    @kopf.on.startup(registry=registry)
    async def start(settings: kopf.OperatorSettings, memo: Any, **_: Any) -> None:
        settings.scanning.disabled = True
        settings.posting.enabled = False
        settings.networking.request_timeout = 60
        settings.networking.error_backoffs = Patience()
        for child in CHILDREN:
            # Selected by the server: else every ConfigMap and pod there is would be sent here.
            settings.watching.label_selectors[child] = names.CLUSTER_LABEL
        memo.tasks = [
            asyncio.create_task(queue.run()),
            asyncio.create_task(_resync(queue, kube, config)),
        ]
        works(True)

    @kopf.on.cleanup(registry=registry)
    async def stop(memo: Any, **_: Any) -> None:
        works(False)
        for task in memo.tasks:
            task.cancel()
        await asyncio.gather(*memo.tasks, return_exceptions=True)

    @kopf.on.login(registry=registry)
    def login(**kwargs: Any) -> kopf.ConnectionInfo | None:
        found = kopf.login_with_service_account(**kwargs) or kopf.login_with_kubeconfig(**kwargs)
        if found and found.token:
            # kopf compares with a naive time in UTC.
            return _expiring(found, datetime.datetime.now(datetime.UTC).replace(tzinfo=None) + TOKEN_LIFE)
        return found

    @kopf.on.event(names.GROUP, names.VERSION, names.PLURAL, registry=registry)
    async def cluster_changed(*, namespace: str | None, name: str, **_: Any) -> None:
        queue.hear((namespace or "", name))

    _watch_requests(registry, queue)

    async def child_changed(*, namespace: str | None, labels: kopf.Labels, **_: Any) -> None:
        queue.hear((namespace or "", labels[names.CLUSTER_LABEL]))

    for child in CHILDREN:
        kopf.on.event(
            *child,
            registry=registry,
            id=f"child_changed/{child[-1]}",
            labels={names.CLUSTER_LABEL: kopf.PRESENT},
        )(child_changed)


def _watch_requests(registry: kopf.OperatorRegistry, queue: WorkQueue) -> None:
    """What is asked of a MatchCluster is worked on with it, never beside it."""

    async def asked(*, namespace: str | None, spec: kopf.Spec, **_: Any) -> None:
        queue.hear((namespace or "", spec["cluster"]))

    for plural in names.REQUESTS.values():
        kopf.on.event(names.GROUP, names.VERSION, plural, registry=registry, id=f"asked/{plural}")(asked)


def _expiring(found: kopf.ConnectionInfo, expiration: datetime.datetime) -> kopf.ConnectionInfo:
    return kopf.ConnectionInfo(
        server=found.server,
        ca_path=found.ca_path,
        ca_data=found.ca_data,
        insecure=found.insecure,
        token=found.token,
        scheme=found.scheme,
        default_namespace=found.default_namespace,
        priority=found.priority,
        expiration=expiration,
    )


async def _resync(queue: WorkQueue, kube: Kube, config: Config) -> None:
    """Queue every MatchCluster now and then, so that a lost event or a dead watch costs time, not truth."""
    while True:
        for namespace in config.watch_namespaces or ("",):
            try:
                for item in await asyncio.to_thread(kube.clusters, namespace):
                    key = (item["metadata"]["namespace"], item["metadata"]["name"])
                    if not queue.knows(key):
                        queue.add(key)
            except OperatorError as error:
                LOG.warning("cannot list MatchClusters: %s", error)
        await asyncio.sleep(config.resync_seconds * 5)
