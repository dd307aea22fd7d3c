"""Snapshots and restores with a real Elasticsearch, its shared folder, and a real API server.

The Elasticsearch is external, since no pod starts here; nodes of its own differ in where the folder is alone.
"""

import contextlib
import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from elasticsearch import Elasticsearch

import match_index
from apiserver import Bench
from labcluster import elasticsearch
from labcluster.progress import LabError
from match_operator import ctl, names
from match_operator.reconcile import Reconciler
from match_service.store.elastic import ElasticStore
from numbered import found, record
from stories import wait

Json = dict[str, Any]
pytestmark = [pytest.mark.cluster, pytest.mark.elastic]
MIDNIGHT = datetime(2026, 1, 2, 0, 0, 5, tzinfo=UTC)


@pytest.fixture
def url() -> str:
    return elasticsearch.shared_node()


@pytest.fixture
def client(url: str) -> Iterator[Elasticsearch]:
    with Elasticsearch(url, request_timeout=30) as made:
        yield made


@pytest.fixture
def folder(client: Elasticsearch) -> str:
    """A folder that nobody has used, in the one that the node admits."""
    settings = client.nodes.info(node_id="_local", metric="settings", flat_settings=True)["nodes"]
    [node] = settings.values()
    repo = node["settings"]["path.repo"]
    return str(Path(repo[0] if isinstance(repo, list) else repo, uuid.uuid4().hex[:8]))


@pytest.fixture
def name() -> str:
    return f"images-{uuid.uuid4().hex[:8]}"


class Operator:
    """Looks by hand, at a time of the test's choosing."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.time = MIDNIGHT
        self.reconcile = Reconciler(bench.config, bench.kube, now=lambda: self.time)

    def look(self, cluster: str = "photos") -> Json:
        self.reconcile((self.bench.namespace, cluster))
        status: Json = self.bench.get("matchcluster", cluster).get("status", {})
        return status

    def settle(self, cluster: str = "photos") -> Json:
        """Look until there is an index and a repository."""
        wait(lambda: "snapshots" in self.look(cluster), 60, lambda: json.dumps(self.look(cluster)))
        return self.look(cluster)

    def follow(self, kind: str, name: str, phase: str, cluster: str = "photos") -> Json:
        """Look until a request has a phase; its status."""

        def said() -> Json:
            status: Json = self.bench.get(kind, name).get("status", {})
            return status

        def there() -> bool:
            self.look(cluster)
            return bool(said().get("phase") == phase)

        wait(there, 60, lambda: json.dumps(said()))
        return said()


@pytest.fixture
def operator(bench: Bench) -> Operator:
    return Operator(bench)


def spec(url: str, index: str, location: str, **snapshots: Any) -> Json:
    repository = {"location": location} | snapshots.pop("repository", {})
    return {
        "index": {"name": index, "replicas": 0, "refreshInterval": "20ms"},
        "elasticsearch": {"external": {"urls": [url]}},
        "snapshots": {"repository": repository} | snapshots,
    }


@contextlib.contextmanager
def opened(url: str, alias: str) -> Iterator[ElasticStore]:
    store = ElasticStore.connect(url, alias, manage_index=False)
    try:
        yield store
    finally:
        store.close()


def ask(bench: Bench, kind: str, name: str, **fields: Any) -> None:
    bench.create(
        {
            "apiVersion": names.API_VERSION,
            "kind": kind,
            "metadata": {"name": name},
            "spec": {"cluster": "photos"} | fields,
        }
    )


def saved(operator: Operator, url: str, name: str, folder: str, images: int = 3) -> str:
    """A MatchCluster with images, and the name of a snapshot of them."""
    operator.bench.apply(spec(url, name, folder))
    operator.settle()
    with opened(url, name) as store:
        for number in range(images):
            store.add(record(f"image-{number}", number))
    ask(operator.bench, "MatchSnapshot", "saved")
    status = operator.follow("matchsnapshot", "saved", "Completed")
    snapshot: str = status["snapshot"]
    return snapshot


def test_a_snapshot_on_demand_is_in_the_repository(
    operator: Operator, client: Elasticsearch, url, name, folder
):
    snapshot = saved(operator, url, name, folder)
    status = operator.bench.get("matchsnapshot", "saved")["status"]
    assert status["endTime"] >= status["startTime"]
    [found_there] = client.snapshot.get(repository=f"match-{name}", snapshot=snapshot)["snapshots"]
    assert (found_there["state"], found_there["indices"]) == ("SUCCESS", [match_index.backing_index(name)])
    assert found_there["metadata"]["match"]["cluster"] == f"{operator.bench.namespace}/photos"
    operator.bench.kubectl("wait", "--for=condition=Ready", "matchsnapshot/saved", "--timeout=1s")


def test_a_restore_over_images_is_refused_until_they_may_be_lost(operator: Operator, url, name, folder):
    snapshot = saved(operator, url, name, folder)
    with opened(url, name) as store:
        store.delete("image-0")
        store.add(record("image-new", 77))
        ask(operator.bench, "MatchRestore", "back", snapshot=snapshot)
        refused = operator.follow("matchrestore", "back", "Refused")
        assert "has 3 images, which would be lost" in refused["message"]
        assert found(store, 77) == ["image-new"]
        operator.bench.kubectl(
            "patch", "matchrestore", "back", "--type=merge", "-p", '{"spec": {"overwrite": true}}'
        )
        done = operator.follow("matchrestore", "back", "Completed")
        assert done["index"] == match_index.backing_index(name, 2)
        wait(lambda: found(store, 0) == ["image-0"], 30, lambda: str(store.count()))
        assert (found(store, 77), store.count()) == ([], 3)


def test_the_index_that_was_replaced_is_gone_and_the_next_snapshot_is_of_the_new_one(
    operator: Operator, client: Elasticsearch, url, name, folder
):
    snapshot = saved(operator, url, name, folder)
    ask(operator.bench, "MatchRestore", "back", snapshot=snapshot, overwrite=True)
    operator.follow("matchrestore", "back", "Completed")
    assert list(client.indices.get(index=f"{name}-*")) == [match_index.backing_index(name, 2)]
    ask(operator.bench, "MatchSnapshot", "again")
    again = operator.follow("matchsnapshot", "again", "Completed")["snapshot"]
    [there] = client.snapshot.get(repository=f"match-{name}", snapshot=again)["snapshots"]
    assert there["indices"] == [match_index.backing_index(name, 2)]


def test_a_lost_cluster_comes_back_as_a_new_one_of_another_name_and_shape(
    operator: Operator, client: Elasticsearch, url, name, folder
):
    snapshot = saved(operator, url, name, folder)
    operator.bench.kubectl("delete", "matchcluster", "photos")
    client.indices.delete(index=match_index.backing_index(name))
    fresh = f"{name}-fresh"
    operator.bench.apply(spec(url, fresh, folder, repository={"readOnly": True}), name="second")
    operator.settle("second")
    ask(operator.bench, "MatchRestore", "rescue", cluster="second", snapshot=snapshot)
    operator.follow("matchrestore", "rescue", "Completed", "second")
    with opened(url, fresh) as store:
        assert sorted(store.filepaths(0, 10)) == ["image-0", "image-1", "image-2"]
        assert found(store, 1) == ["image-1"], "by its words, which no _source holds"
    status = operator.look("second")
    assert status["index"]["documents"] == 3
    index = client.indices.get(index=fresh)[match_index.backing_index(fresh, 2)]
    assert index["mappings"]["_meta"]["match"]["owner"]["cluster"] == f"{operator.bench.namespace}/second"


def test_the_api_answers_from_the_old_images_until_the_alias_moves(operator: Operator, url, name, folder):
    """A search before every look: what it finds changes once, and it never fails."""
    snapshot = saved(operator, url, name, folder)
    with opened(url, name) as store:
        store.add(record("image-late", 88))
        ask(operator.bench, "MatchRestore", "back", snapshot=snapshot, overwrite=True)
        seen: list[bool] = []

        def over() -> bool:
            seen.append(found(store, 88) == ["image-late"])
            assert found(store, 1) == ["image-1"]
            operator.look()
            phase = operator.bench.get("matchrestore", "back").get("status", {}).get("phase")
            return bool(phase == "Completed")

        wait(over, 60, lambda: str(seen))
        wait(lambda: found(store, 88) == [], 30, lambda: "still the old images")
    assert seen == sorted(seen, reverse=True)


def test_the_operator_may_die_after_any_step_of_a_restore(operator: Operator, url, name, folder):
    snapshot = saved(operator, url, name, folder)
    with opened(url, name) as store:
        store.add(record("image-late", 88))
    ask(operator.bench, "MatchRestore", "back", snapshot=snapshot, overwrite=True)

    def over() -> bool:
        # A new process for every look, and one that dies right after each thing that it does.
        for death in (0, 1):
            with contextlib.suppress(Killed):
                mortal(operator.bench, death)((operator.bench.namespace, "photos"))
        phase = operator.bench.get("matchrestore", "back").get("status", {}).get("phase")
        return bool(phase == "Completed")

    wait(over, 90, lambda: json.dumps(operator.bench.get("matchrestore", "back").get("status")))
    with opened(url, name) as store:
        assert sorted(store.filepaths(0, 10)) == ["image-0", "image-1", "image-2"]


class Killed(BaseException):
    """The operator is no more."""


def mortal(bench: Bench, death: int) -> Reconciler:
    """An operator that dies when it writes its next status but ``death``."""
    kube, writes = bench.kube, iter(range(100))

    class Mortal(type(kube)):  # type: ignore[misc]
        def __init__(self) -> None:
            self.__dict__ = dict(kube.__dict__)

        def write_status(self, cluster: Json, status: Json) -> None:
            if next(writes) == death:
                raise Killed
            super().write_status(cluster, status)

    return Reconciler(bench.config, Mortal())


def test_the_schedule_makes_one_for_each_time_and_keeps_as_many_as_it_should(
    operator: Operator, client: Elasticsearch, url, name, folder
):
    operator.bench.apply(spec(url, name, folder, schedule="0 * * * *", keep=2))
    operator.settle()
    made: list[str] = []
    for hour in range(4):
        operator.time = MIDNIGHT + timedelta(hours=hour)
        made.append(f"{name}-20260102-{hour:02}0000")
        wait(
            lambda: operator.look()["snapshots"].get("last") == made[-1],
            60,
            lambda: json.dumps(operator.look()),
        )
    kept = client.snapshot.get(repository=f"match-{name}", snapshot="*")["snapshots"]
    wait(lambda: operator.look()["snapshots"]["count"] == 2, 60, lambda: json.dumps(operator.look()))
    kept = client.snapshot.get(repository=f"match-{name}", snapshot="*")["snapshots"]
    assert sorted(s["snapshot"] for s in kept) == made[-2:]
    assert operator.look()["snapshots"]["next"] == "2026-01-02T04:00:00Z"


def test_a_repository_that_elasticsearch_does_not_admit_is_said_and_the_cluster_serves(
    operator: Operator, url, name
):
    operator.bench.apply(spec(url, name, "/not/admitted"))
    for _ in range(3):
        status = operator.look()
    ready = next(c for c in status["conditions"] if c["type"] == "SnapshotsReady")
    assert (ready["status"], ready["reason"]) == ("False", "Refused")
    assert "doesn't match any of the locations specified by path.repo" in ready["message"]
    assert next(c for c in status["conditions"] if c["type"] == "IndexReady")["status"] == "True"


SECRET: Json = {"credentialsSecretRef": {"name": "store"}}


def test_a_repository_of_a_type_that_elasticsearch_lacks_is_said_in_its_own_words(
    operator: Operator, url, name
):
    """The server that the tests have lacks the module repository-s3."""
    operator.bench.apply(spec(url, name, "") | {"snapshots": {"repository": {"s3": {"bucket": "kept"}}}})
    ask(operator.bench, "MatchSnapshot", "one")
    ask(operator.bench, "MatchRestore", "back", snapshot="one")
    for _ in range(4):
        status = operator.look()
    ready = next(c for c in status["conditions"] if c["type"] == "SnapshotsReady")
    assert (ready["status"], ready["reason"]) == ("False", "Refused")
    words = f"[match-{name}] repository type [s3] does not exist"
    assert words in ready["message"]
    for kind in ("matchsnapshot", "matchrestore"):
        [asked] = json.loads(operator.bench.kubectl("get", kind, "-o", "json"))["items"]
        assert words in asked["status"]["message"]
    assert next(c for c in status["conditions"] if c["type"] == "IndexReady")["status"] == "True"


def test_a_repository_that_cannot_be_written_to_is_said_until_it_can(
    operator: Operator, client: Elasticsearch, url, name, folder
):
    Path(folder).mkdir(parents=True)
    Path(folder).chmod(0o555)
    operator.bench.apply(spec(url, name, folder))
    for _ in range(4):
        status = operator.look()
        ready = next(c for c in status["conditions"] if c["type"] == "SnapshotsReady")
        assert ready["status"] == "False"
    assert "failed to create blob container: " in ready["message"]
    assert folder in ready["message"], "the innermost cause"
    Path(folder).chmod(0o777)
    wait(lambda: "snapshots" in operator.look(), 30, lambda: json.dumps(operator.look()))


@pytest.mark.parametrize(
    ("repository", "sentence"),
    [
        ({"azure": {"container": "abc"}}, "takes a credentialsSecretRef with the account"),
        ({"azure": {"container": "A_b"} | SECRET}, "container in body should match"),
        ({"s3": {"basePath": "a"}}, "bucket: Required value"),
        ({"gcs": {"bucket": "b", "credentialsSecretRef": {}}}, "name: Required value"),
        ({"location": "/a"}, "is for an external Elasticsearch"),
    ],
)
def test_what_nodes_of_its_own_cannot_have_is_refused(bench: Bench, repository: Json, sentence: str):
    with pytest.raises(LabError, match=sentence):
        bench.apply({"snapshots": {"repository": repository}})


@pytest.mark.parametrize(
    "repository",
    [
        {"s3": {"bucket": "b", "endpoint": "http://minio:9000", "pathStyleAccess": True} | SECRET},
        {"s3": {"bucket": "b"}},
        {"gcs": {"bucket": "b", "basePath": "a/b"} | SECRET},
        {"azure": {"container": "abc", "client": "second"} | SECRET},
    ],
)
def test_an_object_store_is_accepted(bench: Bench, repository: Json):
    bench.apply({"snapshots": {"repository": repository}})


@pytest.mark.parametrize(
    ("snapshots", "sentence"),
    [
        ({"repository": {"claim": {"name": "c"}}}, "nodes of an external Elasticsearch mount no claim"),
        ({"repository": {"location": "/a", "name": "b"}}, "give exactly one of claim, s3, gcs, azure"),
        ({"repository": {"location": "/a", "s3": {"bucket": "b"}}}, "give exactly one of claim, s3, gcs"),
        ({"repository": {}}, "give exactly one of claim, s3, gcs, azure, location and name"),
        ({"repository": {"s3": {"bucket": "b", "region": "eu-1"}}}, "clients of an external Elasticsearch"),
        ({"repository": {"s3": {"bucket": "b", "basePath": "/a"}}}, "basePath in body should match"),
        ({"repository": {"s3": {"bucket": "b", "client": "a.b"}}}, "client in body should match"),
        ({"repository": {"gcs": {"bucket": "b"} | SECRET}}, "clients of an external Elasticsearch"),
        ({"repository": {"azure": {"container": "abc"} | SECRET}}, "none where Elasticsearch is external"),
        ({"repository": {"location": "/a", "readOnly": True}, "schedule": "0 3 * * *"}, "takes no snapshots"),
        ({}, "repository: Required value"),
    ],
)
def test_what_cannot_be_meant_is_refused(bench: Bench, snapshots: Json, sentence: str):
    external = {"elasticsearch": {"external": {"urls": ["http://es:9200"]}}}
    with pytest.raises(LabError, match=sentence):
        bench.apply(external | {"snapshots": snapshots})


def test_a_request_cannot_be_changed_into_another(bench: Bench):
    ask(bench, "MatchRestore", "back", snapshot="a")
    with pytest.raises(LabError, match="a MatchRestore is done once"):
        ask(bench, "MatchRestore", "back", snapshot="b")
    ask(bench, "MatchSnapshot", "one")
    with pytest.raises(LabError, match="a MatchSnapshot is made once"):
        ask(bench, "MatchSnapshot", "one", cluster="other")


def test_a_request_without_its_matchcluster_says_so(operator: Operator):
    ask(operator.bench, "MatchSnapshot", "one")
    assert operator.reconcile((operator.bench.namespace, "photos")) is None
    status = operator.bench.get("matchsnapshot", "one")["status"]
    assert status["message"] == "waiting for a MatchCluster photos in this namespace"


def test_matchctl_asks_and_says_what_became_of_it(operator: Operator, url, name, folder, capsys):
    saved(operator, url, name, folder)
    base = ["--kubeconfig", str(operator.bench.lab.kubeconfig)]
    words = ["-n", operator.bench.namespace, "--seconds", "0"]
    with pytest.raises(SystemExit) as ended:
        ctl.main([*base, "snapshot", "photos", "--name", "by-hand", *words])
    assert ended.value.code == 0
    snapshot = operator.follow("matchsnapshot", "by-hand", "Completed")["snapshot"]
    with pytest.raises(SystemExit):
        ctl.main([*base, "restore", "photos", "--name", "by-hand", "--snapshot", snapshot, *words])
    assert operator.follow("matchrestore", "by-hand", "Refused")
    with pytest.raises(SystemExit, match="already exists"):
        ctl.main([*base, "snapshot", "photos", "--name", "by-hand", *words])
    assert "MatchRestore" in capsys.readouterr().out
