"""What the local Elasticsearch adds to the published artifacts, so that tests of the product may rely on it.

Reindex, the by-query actions, node shutdown and the keystore command are ours (see docs/local-cluster.md):
these tests hold them to the official server's answers. Security and snapshots are Elastic's own code; here is
shown that they work in this distribution.
"""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from elasticsearch import (
    ApiError,
    AuthenticationException,
    AuthorizationException,
    BadRequestError,
    ConflictError,
    Elasticsearch,
    NotFoundError,
)

from labcluster import distribution, elasticsearch, progress

pytestmark = [
    pytest.mark.elastic,
    # The client warns that the tasks API may change; it is how a background reindex is followed.
    pytest.mark.filterwarnings("ignore:This API is in technical preview"),
]
DOCUMENTS = 300


@pytest.fixture(scope="module")
def formation() -> Iterator[elasticsearch.Formation]:
    with elasticsearch.nodes(3, secure=True, heap="384m") as made:
        yield made


@pytest.fixture(scope="module")
def client(formation: elasticsearch.Formation) -> Iterator[Elasticsearch]:
    with _as(formation, "elastic", formation.password) as made:
        yield made


@pytest.fixture
def index(client: Elasticsearch) -> Iterator[str]:
    """An index of three primaries with a copy each, and as many documents as DOCUMENTS says."""
    client.indices.create(index="pictures", settings={"number_of_shards": 3, "number_of_replicas": 1})
    _fill(client, "pictures")
    yield "pictures"
    client.indices.delete(index="pictures,copy,restored", ignore_unavailable=True)


def _as(formation: elasticsearch.Formation, user: str, password: str) -> Elasticsearch:
    return Elasticsearch(
        formation.urls,
        basic_auth=(user, password),
        ca_certs=str(formation.authority),
        request_timeout=60,
    )


def _fill(client: Elasticsearch, index: str) -> None:
    lines: list[dict[str, Any]] = []
    for number in range(DOCUMENTS):
        lines += [{"index": {"_id": str(number)}}, {"number": number, "from": "source"}]
    assert not client.bulk(index=index, operations=lines, refresh=True)["errors"]
    client.cluster.health(index=index, wait_for_status="green")


def test_reindex_copies_every_document_with_its_id(client: Elasticsearch, index: str) -> None:
    done = client.reindex(source={"index": index, "size": 50}, dest={"index": "copy"}, refresh=True)
    assert (done["created"], done["batches"], done["failures"]) == (DOCUMENTS, DOCUMENTS // 50, [])
    assert client.get(index="copy", id="17")["_source"] == {"number": 17, "from": "source"}


def test_reindex_with_create_leaves_what_is_there_and_counts_it(client: Elasticsearch, index: str) -> None:
    client.index(index="copy", id="1", document={"from": "a later write"}, refresh=True)
    dest = {"index": "copy", "op_type": "create"}
    done = client.reindex(source={"index": index}, dest=dest, conflicts="proceed", refresh=True)
    assert (done["created"], done["version_conflicts"]) == (DOCUMENTS - 1, 1)
    assert client.get(index="copy", id="1")["_source"] == {"from": "a later write"}


def test_reindex_stops_at_a_conflict_unless_told_to_proceed(client: Elasticsearch, index: str) -> None:
    client.index(index="copy", id="1", document={}, refresh=True)
    with pytest.raises(ConflictError) as refused:
        client.reindex(source={"index": index}, dest={"index": "copy", "op_type": "create"})
    assert refused.value.body["version_conflicts"] == 1
    assert refused.value.body["failures"][0]["id"] == "1"


def test_reindex_with_external_versions_never_replaces_the_newer(client: Elasticsearch, index: str) -> None:
    external = {"version_type": "external"}
    client.index(index="copy", id="1", document={"from": "newer"}, version=9, version_type="external")
    client.index(index=index, id="2", document={"from": "second version"}, refresh=True)
    dest = {"index": "copy", **external}
    done = client.reindex(source={"index": index}, dest=dest, conflicts="proceed", refresh=True)
    assert (done["created"], done["version_conflicts"]) == (DOCUMENTS - 1, 1)
    assert client.get(index="copy", id="1")["_source"] == {"from": "newer"}
    assert client.get(index="copy", id="2")["_version"] == 2


def test_reindex_in_the_background_is_a_task_that_keeps_its_result(client: Elasticsearch, index: str) -> None:
    task = client.reindex(source={"index": index}, dest={"index": "copy"}, wait_for_completion=False)["task"]
    found = client.tasks.get(task_id=task, wait_for_completion=True, timeout="60s")
    assert found["completed"]
    assert found["response"]["created"] == DOCUMENTS
    assert client.tasks.get(task_id=task)["task"]["action"] == "indices:data/write/reindex"


def test_a_throttled_reindex_can_be_cancelled_and_says_how_far_it_came(
    client: Elasticsearch, index: str
) -> None:
    source = {"index": index, "size": 10}
    started = client.reindex(
        source=source, dest={"index": "copy"}, wait_for_completion=False, requests_per_second=10
    )
    # One that is cancelled in its first search fails instead of telling how far it came.
    while not client.indices.exists(index="copy"):
        pass
    client.tasks.cancel(task_id=started["task"])
    found = client.tasks.get(task_id=started["task"], wait_for_completion=True, timeout="60s")
    assert found["response"]["canceled"] == "by user request"
    assert found["response"]["created"] < DOCUMENTS


def test_by_query_actions_change_what_the_query_finds_and_nothing_else(
    client: Elasticsearch, index: str
) -> None:
    few = {"range": {"number": {"lt": 20}}}
    assert client.delete_by_query(index=index, query=few, refresh=True)["deleted"] == 20
    assert client.count(index=index)["count"] == DOCUMENTS - 20
    again = client.update_by_query(index=index, query={"range": {"number": {"lt": 30}}}, refresh=True)
    assert again["updated"] == 10
    assert client.get(index=index, id="25")["_version"] == 2


def test_what_needs_a_script_is_refused(client: Elasticsearch, index: str) -> None:
    script = {"source": "ctx._source.number = 1"}
    with pytest.raises(BadRequestError):
        client.reindex(source={"index": index}, dest={"index": "copy"}, script=script)
    with pytest.raises(BadRequestError):
        client.update_by_query(index=index, script=script)


def _ids(client: Elasticsearch) -> dict[str, str]:
    return {node["name"]: key for key, node in client.nodes.info(metric="http")["nodes"].items()}


def _shutdown(client: Elasticsearch, node: str) -> dict[str, Any]:
    (found,) = client.shutdown.get_node(node_id=node)["nodes"]
    return dict(found)


@pytest.fixture
def marked(client: Elasticsearch) -> Iterator[str]:
    """The id of the node lab-2, whose mark is taken away at the end."""
    node = _ids(client)["lab-2"]
    yield node
    client.indices.delete(index="pinned,everywhere", ignore_unavailable=True)
    for left in client.shutdown.get_node()["nodes"]:
        client.shutdown.delete_node(node_id=left["node_id"])


def test_a_node_marked_for_a_restart_may_stop_at_once(client: Elasticsearch, index: str, marked: str) -> None:
    client.shutdown.put_node(node_id=marked, type="restart", reason="a new version", allocation_delay="9m")
    found = _shutdown(client, marked)
    assert (found["type"], found["reason"], found["allocation_delay"]) == ("RESTART", "a new version", "9m")
    assert found["status"] == found["shard_migration"]["status"] == "COMPLETE"


def test_a_node_marked_for_removal_gives_its_shards_away(
    client: Elasticsearch, index: str, marked: str
) -> None:
    client.shutdown.put_node(node_id=marked, type="remove", reason="scaled down")
    progress.until(lambda: _shutdown(client, marked)["status"] == "COMPLETE", 60, "removal complete")
    assert _shutdown(client, marked)["shard_migration"]["shard_migrations_remaining"] == 0
    places = {shard["node"] for shard in client.cat.shards(index=index, format="json")}
    assert places == {"lab-0", "lab-1"}
    assert client.count(index=index)["count"] == DOCUMENTS


def test_a_removal_that_can_never_end_is_stalled_and_says_at_which_shard(
    client: Elasticsearch, marked: str
) -> None:
    here = {"number_of_replicas": 0, "routing.allocation.require._name": "lab-2"}
    client.indices.create(index="pinned", settings=here)
    client.cluster.health(index="pinned", wait_for_status="green")
    client.shutdown.put_node(node_id=marked, type="remove", reason="scaled down")
    # Shards that can move do so first.
    progress.until(lambda: _shutdown(client, marked)["status"] == "STALLED", 60, "removal stalled")
    explained = _shutdown(client, marked)["shard_migration"]["explanation"]
    assert "shard [0] [primary] of index [pinned] cannot move" in explained
    client.indices.delete(index="pinned")
    progress.until(lambda: _shutdown(client, marked)["status"] == "COMPLETE", 60, "removal complete")


def test_a_copy_that_fits_nowhere_else_does_not_hold_a_removal_up(client: Elasticsearch, marked: str) -> None:
    client.indices.create(index="everywhere", settings={"number_of_replicas": 2})
    client.cluster.health(index="everywhere", wait_for_status="green")
    client.shutdown.put_node(node_id=marked, type="remove", reason="scaled down")
    explained = "at least one copy on another node"
    progress.until(lambda: explained in str(_shutdown(client, marked)), 60, "removal complete")
    assert _shutdown(client, marked)["status"] == "COMPLETE"


def test_a_mark_is_refused_when_it_is_wrong_and_gone_when_it_is_deleted(
    client: Elasticsearch, marked: str
) -> None:
    with pytest.raises(BadRequestError):
        client.shutdown.put_node(node_id=marked, type="holiday", reason="x")
    with pytest.raises(BadRequestError):
        client.shutdown.put_node(node_id=marked, type="remove", reason="x", allocation_delay="1m")
    client.shutdown.put_node(node_id=marked, type="restart", reason="x")
    first = _shutdown(client, marked)
    client.shutdown.put_node(node_id=marked, type="restart", reason="x")
    assert _shutdown(client, marked) == first
    client.shutdown.delete_node(node_id=marked)
    assert client.shutdown.get_node()["nodes"] == []
    with pytest.raises(NotFoundError):
        client.shutdown.delete_node(node_id=marked)


def test_nobody_without_a_password_or_without_tls_gets_an_answer(formation: elasticsearch.Formation) -> None:
    with (
        Elasticsearch(formation.urls, ca_certs=str(formation.authority)) as nobody,
        pytest.raises(AuthenticationException),
    ):
        nobody.info()
    plain = [url.replace("https", "http") for url in formation.urls]
    with Elasticsearch(plain, max_retries=0) as unsafe, pytest.raises(Exception, match="onnection"):
        unsafe.info()


def test_a_native_user_may_do_what_its_role_says(
    formation: elasticsearch.Formation, client: Elasticsearch, index: str
) -> None:
    client.indices.create(index="other", settings={"number_of_replicas": 0})
    may = [{"names": [index], "privileges": ["read", "write"]}]
    client.security.put_role(name="api", indices=may)
    client.security.put_user(username="api", password="a-long-password", roles=["api"])
    with _as(formation, "api", "a-long-password") as api:
        assert api.count(index=index)["count"] == DOCUMENTS
        for forbidden in (lambda: api.count(index="other"), api.cluster.health):
            with pytest.raises(AuthorizationException):
                forbidden()
    client.indices.delete(index="other")


def _command(
    node: elasticsearch.Node, name: str, *words: str, given: str = ""
) -> subprocess.CompletedProcess[str]:
    """One of the distribution's commands on the configuration of a node."""
    return _run(node.log.parent / "config", name, *words, given=given)


def _run(config: Path, name: str, *words: str, given: str = "") -> subprocess.CompletedProcess[str]:
    known = {"ES_PATH_CONF": str(config), "ES_JAVA": str(distribution.java() / "java")}
    return subprocess.run(
        [distribution.path() / "bin" / name, *words],
        env={**os.environ, **known},
        input=given,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_user_of_the_file_realm_is_known_to_its_node_while_it_runs(
    formation: elasticsearch.Formation,
) -> None:
    node = formation.nodes[0]
    user = ("useradd", "ops", "-p", "a-long-password", "-r", "superuser")
    made = _run(node.config, "elasticsearch-users", *user)
    assert made.returncode == 0, made.stderr

    def known() -> bool:
        with Elasticsearch(
            node.url, basic_auth=("ops", "a-long-password"), ca_certs=str(formation.authority)
        ) as ops:
            try:
                return bool(ops.security.authenticate()["authentication_realm"]["type"] == "file")
            except ApiError:
                return False

    progress.until(known, 30, "the new user known")


def test_the_keystore_command_keeps_secrets_for_the_node(tmp_path: Path) -> None:
    assert _run(tmp_path, "elasticsearch-keystore", "list").returncode == 65
    assert _run(tmp_path, "elasticsearch-keystore", "create").returncode == 0
    name = "s3.client.default.secret_key"
    assert _run(tmp_path, "elasticsearch-keystore", "add", "--stdin", name, given="x\n").returncode == 0
    assert _run(tmp_path, "elasticsearch-keystore", "add", "--stdin", name, given="y\n").returncode == 65
    assert _run(tmp_path, "elasticsearch-keystore", "list").stdout.split() == ["keystore.seed", name]
    assert _run(tmp_path, "elasticsearch-keystore", "remove", name).returncode == 0
    assert _run(tmp_path, "elasticsearch-keystore", "list").stdout.split() == ["keystore.seed"]


def test_a_password_from_the_environment_lands_in_the_keystore(formation: elasticsearch.Formation) -> None:
    assert "bootstrap.password" in _run(formation.nodes[0].config, "elasticsearch-keystore", "list").stdout


def test_a_snapshot_on_a_shared_folder_brings_the_documents_back(client: Elasticsearch, index: str) -> None:
    client.snapshot.create_repository(
        name="shared", repository={"type": "fs", "settings": {"location": "here"}}
    )
    taken = client.snapshot.create(
        repository="shared", snapshot="one", indices=index, wait_for_completion=True
    )
    assert taken["snapshot"]["state"] == "SUCCESS"
    client.indices.delete(index=index)
    client.snapshot.restore(
        repository="shared",
        snapshot="one",
        rename_pattern=index,
        rename_replacement="restored",
        wait_for_completion=True,
    )
    assert client.count(index="restored")["count"] == DOCUMENTS
    client.snapshot.delete(repository="shared", snapshot="one")
