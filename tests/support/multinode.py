"""A real Elasticsearch of several nodes on loopback, of which any but the master may be killed."""

import contextlib
import os
import signal
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from elasticsearch import Elasticsearch

from labcluster.elasticsearch import node
from labcluster.ports import free_ports

MASTER = "master"


@dataclass(frozen=True)
class Cluster:
    """Addresses by node name; ``client`` speaks to the master, which holds no data and stays."""

    urls: dict[str, str]
    client: Elasticsearch

    @property
    def url(self) -> str:
        """All data nodes, as a service is told of them."""
        return ",".join(url for name, url in self.urls.items() if name != MASTER)

    def node_of_primary(self, index: str) -> str:
        """Name of the node that has the primary of the index's first shard."""
        rows = self.client.cat.shards(index=index, format="json", h="shard,prirep,node").body
        return str(next(row["node"] for row in rows if (row["shard"], row["prirep"]) == ("0", "p")))

    def kill(self, name: str) -> None:
        """SIGKILL the process of the node."""
        for each in self.client.nodes.info(metric="process")["nodes"].values():
            if each["name"] == name:
                os.kill(each["process"]["id"], signal.SIGKILL)


@contextlib.contextmanager
def cluster(data_nodes: int, heap: str = "256m") -> Iterator[Cluster]:
    """A master and so many data nodes, all joined."""
    names = [MASTER, *(f"data-{number}" for number in range(data_nodes))]
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    common = {
        "cluster.name": f"match-{uuid.uuid4().hex[:8]}",
        "cluster.initial_master_nodes": MASTER,
        "discovery.type": "multi-node",
        "discovery.seed_hosts": f"127.0.0.1:{ports[MASTER]}",
    }

    def settings(name: str) -> dict[str, str]:
        role = "master" if name == MASTER else "data"
        return {**common, "node.name": name, "node.roles": role, "transport.port": str(ports[name])}

    with contextlib.ExitStack() as stack, ThreadPoolExecutor(len(names)) as starting:
        started = starting.map(lambda name: stack.enter_context(node(heap, settings(name))), names)
        urls = dict(zip(names, started, strict=True))
        client = stack.enter_context(Elasticsearch(urls[MASTER], request_timeout=60))
        client.cluster.health(wait_for_nodes=str(len(names)), timeout="60s")
        yield Cluster(urls, client)
