"""Copies of a shard on different Kubernetes nodes, as a real Elasticsearch of several nodes places them."""

from collections import defaultdict
from collections.abc import Iterator

import pytest

from match_operator import names
from match_operator.plan import awareness
from realnodes import RealWorld, Writer, check, formed, settle
from world import node_sets

pytestmark = pytest.mark.elastic

ONE = {"count": 1}
PACKED = node_sets(("a", ONE), ("bb", ONE), ("b", ONE)) | {"index": {"shards": 4}}
"""Two nodes on one Kubernetes node and one on another: see ``simulated.World``."""
TOGETHER = node_sets(("a", ONE), ("bb", ONE)) | {"index": {"shards": 4}}
"""Only those two."""


@pytest.fixture(name="there")
def _there() -> Iterator[RealWorld]:
    with formed(PACKED, RealWorld, hosts=2) as made:
        yield made


def hosts_by_shard(there: RealWorld) -> list[list[str]]:
    """For each shard of the index, the Kubernetes nodes that have a copy."""
    elastic, found = there.observe().elastic, defaultdict(list)
    assert elastic is not None
    for shard in elastic.shards:
        if shard.index.startswith("images"):
            found[shard.number].append(there.host(shard.node))
    return [sorted(hosts) for _, hosts in sorted(found.items())]


def test_no_kubernetes_node_has_two_copies_until_only_one_is_left_which_then_takes_both(there: RealWorld):
    assert hosts_by_shard(there) == [["host-0", "host-1"]] * 4
    with Writer(there) as writer:
        there.ask(TOGETHER)
        settle(there)
        check(there, writer)
    assert hosts_by_shard(there) == [["host-0", "host-0"]] * 4
    elastic = there.observe().elastic
    assert elastic is not None
    assert elastic.settings[awareness.SETTING] == names.HOST_ATTRIBUTE
    print(f"\n{writer.added} documents added meanwhile, 0 lost, health {dict(writer.health)}")
    assert "red" not in writer.health
