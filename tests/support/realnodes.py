"""A real Elasticsearch of several nodes below the toy Kubernetes: pods are processes, volumes are folders.

It exists because no toy can be trusted with allocation, elections, votes and what becomes of the data.
"""

import contextlib
import os
import signal
import socket
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, TypeVar

from elasticsearch import ApiError, Elasticsearch, TransportError

import world
from labcluster import elasticsearch
from match_operator import names
from match_operator.access import Access
from match_operator.clients.elastic import ElasticClient
from match_operator.errors import ElasticsearchError
from match_operator.observed import Observed
from match_operator.plan import awareness, membership, steps
from match_operator.telling import tell
from simulated import World

USER = 1000
SECONDS = 240
"""Patience with a change on a busy machine."""


@dataclass
class Process:
    """A node: started in a thread, because that takes a while."""

    settings: dict[str, str]
    stack: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    url: str = ""

    def start(self) -> None:
        """Begin; ``url`` is there when the node answers."""
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        self.url = self.stack.enter_context(elasticsearch.node("256m", self.settings))

    def stop(self) -> None:
        """Stop as the kubelet does, with a signal and patience."""
        self.thread.join()
        self.stack.close()


@dataclass
class RealWorld(World):
    """The toy Kubernetes, with real nodes in its pods."""

    folder: Path = Path()
    processes: dict[str, Process] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)
    client: ElasticClient | None = None
    formed: bool = False

    def observe(self) -> Observed:
        seen = super().observe()
        elastic = None
        with contextlib.suppress(ElasticsearchError):
            elastic = self._client().observe("images") if self.urls() else None
        return Observed(seen.children, elastic)

    def take(self, step: steps.Step) -> None:
        kubernetes = steps.Apply | steps.Remove | steps.ReplacePod | steps.Recreate | steps.Shrink
        if isinstance(step, kubernetes | steps.GrowVolume):
            super().take(step)
        else:
            with contextlib.suppress(ElasticsearchError):  # as in a reconcile: the next look tries again
                tell(self._client(), step)

    def tick(self) -> None:
        self._end_pods()
        for item in self._of("StatefulSet"):
            self._make_pods(item)
        for pod in self._of("Pod"):
            self._run_pod(pod)

    def _run_pod(self, pod: dict[str, Any]) -> None:
        name = pod["metadata"]["name"]
        if pod["metadata"].get("deletionTimestamp"):
            return
        if name not in self.processes:
            self.processes[name] = Process(self._settings(name))
            self.processes[name].start()
        else:
            pod["status"]["conditions"][0]["status"] = str(self._is_open(self._port(f"{name}/readiness")))

    def _is_open(self, port: int) -> bool:
        """Whether the readiness port is open, as the kubelet asks."""
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    def _settings(self, name: str) -> dict[str, str]:
        config = self.children["ConfigMap", name.rpartition("-")[0]]["data"][names.CONFIG_KEY]
        roles = [role for role in ("master", "data") if f"- {role}" in config]
        data = self.folder / name
        first = not any(self.folder.iterdir()) or not self.formed
        data.mkdir(exist_ok=True)
        os.chown(data, USER, 0)
        settings = {
            "node.name": name,
            "node.roles": ",".join(roles),
            "discovery.type": "multi-node",
            "discovery.seed_hosts": ",".join(f"127.0.0.1:{self._port(n)}" for n in self._all_pods()),
            "transport.port": str(self._port(name)),
            "readiness.port": str(self._port(f"{name}/readiness")),
            "path.data": str(data),
            f"node.attr.{names.HOST_ATTRIBUTE}": self.host(name),
        }
        masters = [n for n, s in membership.wanted(self.cluster).items() if s.is_master]
        return settings | ({"cluster.initial_master_nodes": ",".join(masters)} if first else {})

    def _all_pods(self) -> list[str]:
        return [pod["metadata"]["name"] for pod in self._of("Pod")]

    def _port(self, name: str) -> int:
        if name not in self.ports:
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                self.ports[name] = free.getsockname()[1]
        return self.ports[name]

    def _leave(self, name: str) -> None:
        if process := self.processes.pop(name, None):
            process.stop()

    def urls(self) -> list[str]:
        """Nodes that answer."""
        return [p.url for n, p in self.processes.items() if p.url and ("Pod", n) in self.children]

    def _client(self) -> ElasticClient:
        if self.client:
            self.client.close()
        self.client = ElasticClient(Access(self.urls()[0]))
        return self.client

    def kill(self, name: str) -> None:
        """End a node without a warning, as a power cut does; it is started again at the next tick."""
        process = self.processes[name]
        if not process.url:
            return
        with Elasticsearch(process.url, request_timeout=5, max_retries=0) as client:
            told = client.nodes.info(node_id="_local", metric="process")["nodes"]
        os.kill(next(iter(told.values()))["process"]["id"], signal.SIGKILL)
        self._leave(name)
        self.children["Pod", name]["status"]["conditions"][0]["status"] = "False"

    def stop(self) -> None:
        """End every node."""
        for name in list(self.processes):
            self._leave(name)
        if self.client:
            self.client.close()


@dataclass
class Writer:
    """Adds documents without pause to whichever node answers, and remembers those acknowledged."""

    there: RealWorld
    added: int = 0
    health: Counter[str] = field(default_factory=Counter)
    _stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(0.05):
            with contextlib.suppress(ApiError, TransportError, IndexError):
                self._add(self.there.urls()[0])

    def _add(self, url: str) -> None:
        with Elasticsearch(url, request_timeout=5, max_retries=0) as client:
            document = {"filepath": f"{self.added}.jpg"}
            client.index(index="images", id=str(self.added), document=document)
            self.added += 1
            self.health[client.cluster.health(timeout="0s")["status"]] += 1

    def lost(self) -> list[str]:
        """Acknowledged documents that are not to be had any more."""
        wanted = [str(number) for number in range(self.added)]
        with Elasticsearch(self.there.urls()[0], request_timeout=30) as client:
            found = client.mget(index="images", ids=wanted, source=False)["docs"]
        return [doc["_id"] for doc in found if not doc.get("found")]


W = TypeVar("W", bound=RealWorld)


@contextlib.contextmanager
def formed(spec: Any, kind: type[W], **how: Any) -> Iterator[W]:
    """Real nodes as ``spec`` asks for, settled; ``how`` is told to ``kind`` as well. All stop at the end."""
    with tempfile.TemporaryDirectory(prefix="match-nodes-") as folder:
        Path(folder).chmod(0o755)
        made = kind(spec, folder=Path(folder), **how)
        try:
            settle(made)
            made.formed = True
            yield made
        finally:
            made.stop()


def settle(there: RealWorld, crashes: Sequence[int] = ()) -> None:
    """Look until what was asked for is there; ``crashes`` has the operator die after so many steps."""
    end, deaths = time.monotonic() + SECONDS, iter(crashes)
    while True:
        seen = there.observe()
        todo = world.plan_for(there.cluster, seen)
        for step in todo.steps[: next(deaths, None)]:
            there.take(step)
        there.tick()
        working = [name for name in membership.wanted(there.cluster) if seen.works(name)]
        complete = len(working) == there.cluster.nodes and seen.elastic and seen.elastic.health == "green"
        if complete and not todo.steps and not todo.waiting_for:
            return
        assert time.monotonic() < end, f"not settled: {todo}"
        time.sleep(0.3)  # the pace of looks


def check(there: RealWorld, writer: Writer) -> None:
    """What was asked for is there, nothing is lost, nothing left behind."""
    seen = there.observe().elastic
    assert seen is not None
    assert set(seen.nodes) == set(membership.wanted(there.cluster))
    told = {name for name in seen.settings if name not in (awareness.SETTING, awareness.MARK)}
    assert (told, seen.excluded_voters, seen.shutdowns or ()) == (set(), (), ())
    assert writer.lost() == []
