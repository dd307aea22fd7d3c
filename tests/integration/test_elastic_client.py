"""The operator's client of Elasticsearch against a real one: what it reads is what it was told."""

import pytest

from labcluster import elasticsearch
from match_operator.access import Access
from match_operator.clients.elastic import ElasticClient
from match_operator.errors import ElasticsearchError

pytestmark = pytest.mark.elastic
NODE = "lab-0"


@pytest.fixture(name="client")
def _client():
    client = ElasticClient(Access(elasticsearch.shared_node()))
    yield client
    client.close()


def test_a_node_is_seen_with_its_roles_disk_and_vote(client):
    seen = client.observe("operator-none")
    node = seen.nodes[NODE]
    assert (node.is_master, node.is_data, seen.master) == (True, True, NODE)
    assert 0 < seen.disks[NODE].free < seen.disks[NODE].total
    assert seen.voters == {node.id}
    assert seen.excluded_voters == ()


def test_shards_are_seen_where_they_are(client):
    client.create_index("operator-shards-000001", {"settings": {"number_of_replicas": 1}})
    copies = {
        (s.primary, s.started, s.node)
        for s in client.observe("operator-none").shards
        if s.index == "operator-shards-000001"
    }
    assert copies == {(True, True, NODE), (False, False, "")}


def test_why_a_copy_has_no_node_is_told_in_elasticsearchs_words(client):
    client.create_index("operator-why-000001", {"settings": {"number_of_replicas": 1}})
    assert f"node {NODE} does not take it: a copy of this shard is already allocated to this node" in (
        client.observe("operator-none").unassigned
    )


def test_settings_of_the_cluster_come_and_go_together_with_their_mark(client):
    told = {
        "cluster.routing.allocation.enable": "primaries",
        "cluster.metadata.match_operator_restarting": "x",
    }
    client.change_settings(told)
    assert client.observe("operator-none").settings.items() >= told.items()
    client.change_settings(dict.fromkeys(told))
    assert not set(told) & set(client.observe("operator-none").settings)


def test_a_vote_is_taken_and_given_back(client):
    client.exclude_voter("operator-absent")
    assert client.observe("operator-none").excluded_voters == ("operator-absent",)
    client.admit_voters()
    assert client.observe("operator-none").excluded_voters == ()


def test_the_only_vote_is_not_given_up(client):
    with pytest.raises(ElasticsearchError):
        client.exclude_voter(NODE)
    client.admit_voters()


def test_a_shard_that_cannot_leave_says_why(client):
    client.create_index("operator-stuck-000001", {"settings": {"number_of_replicas": 0}})
    excluded = {"cluster.routing.allocation.exclude._name": NODE}
    client.change_settings(excluded)
    try:
        assert client.observe("operator-none").stuck == ""  # there is no other node that could refuse
    finally:
        client.change_settings(dict.fromkeys(excluded))


def test_indices_are_flushed(client):
    client.flush()


def test_the_restart_of_a_node_is_announced_and_taken_back_where_the_server_can(client):
    node_id = client.observe("operator-none").nodes[NODE].id
    client_knows = client.observe("operator-none").shutdowns is not None
    if not client_knows:
        pytest.skip("this Elasticsearch has no node shutdown API")
    client.put_shutdown(node_id, "match-operator restarts lab-0")
    (entry,) = client.observe("operator-none").shutdowns
    assert (entry.node_id, entry.reason, entry.complete) == (node_id, "match-operator restarts lab-0", True)
    client.drop_shutdown(node_id)
    client.drop_shutdown(node_id)
    assert client.observe("operator-none").shutdowns == ()
