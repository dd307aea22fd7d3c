"""A MatchCluster over an Elasticsearch that exists already: a real one, and a real API server.

No pod starts, so what the API's pods would do with their credentials the service's own client does here.
"""

import base64
import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from elasticsearch import Elasticsearch

import match_index
from apiserver import Bench
from labcluster import elasticsearch
from labcluster.progress import LabError
from match_operator.access import Access
from match_operator.clients.external import connect
from match_operator.reconcile import Reconciler
from match_service.errors import StoreUnavailableError
from match_service.store.elastic import ElasticStore
from numbered import found, record

Json = dict[str, Any]
pytestmark = [pytest.mark.cluster, pytest.mark.elastic]
USER = {"password": "first-password", "roles": ["match-operator"]}


@pytest.fixture
def name() -> str:
    """A name for an index that no other test has."""
    return f"images-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def client() -> Iterator[Elasticsearch]:
    with Elasticsearch(elasticsearch.shared_node(), request_timeout=30) as made:
        yield made


def spec(index: str, *urls: str, **fields: Any) -> Json:
    external = {"urls": list(urls or (elasticsearch.shared_node(),))} | fields
    return {"index": {"name": index}, "elasticsearch": {"external": external}}


def look(bench: Bench, name: str = "photos", times: int = 3) -> Json:
    """Some looks at a MatchCluster, as many as it needs; its status."""
    reconcile = Reconciler(bench.config, bench.kube)
    for _ in range(times):
        reconcile((bench.namespace, name))
    status: Json = bench.get("matchcluster", name)["status"]
    return status


def condition(status: Json, kind: str) -> Json:
    return next(c for c in status["conditions"] if c["type"] == kind)


def owner(client: Elasticsearch, alias: str) -> Json:
    [index] = client.indices.get(index=alias).body.values()
    found: Json = index["mappings"]["_meta"]["match"]["owner"]
    return found


def test_a_glance_sees_what_a_full_look_sees_of_the_index(bench: Bench, client: Elasticsearch, name: str):
    ours = connect(Access(elasticsearch.shared_node(), external=True))
    empty = ours.glance(name)
    assert empty == ours.observe(name).glance
    bench.apply(spec(name))
    look(bench)
    made = ours.glance(name)
    assert made == ours.observe(name).glance != empty
    ElasticStore.connect(elasticsearch.shared_node(), name, manage_index=False).add(record("a.jpg", 1))
    client.indices.refresh(index=name)
    assert ours.glance(name) == ours.observe(name).glance != made


def test_template_index_alias_and_api_are_made_and_nothing_else(
    bench: Bench, client: Elasticsearch, name: str
):
    bench.apply(spec(name))
    status = look(bench)
    assert condition(status, "ElasticsearchReady")["status"] == "True"
    assert condition(status, "IndexReady")["status"] == "True", status
    assert list(client.indices.get_alias(name=name)) == [match_index.backing_index(name)]
    assert owner(client, name)["uid"] == bench.get("matchcluster", "photos")["metadata"]["uid"]
    made = bench.kubectl("get", "statefulset,configmap,service,deployment,pdb", "-o", "name").split()
    assert [m for m in made if "kube-root-ca" not in m] == [
        "service/photos-api",
        "deployment.apps/photos-api",
        "poddisruptionbudget.policy/photos-api",
    ]


def test_a_settled_one_is_not_written_to_again(bench: Bench, client: Elasticsearch, name: str):
    bench.apply(spec(name))
    look(bench)
    ours = ("get", "events", "--field-selector=involvedObject.kind=MatchCluster", "-o", "name")
    events = bench.kubectl(*ours)
    version = bench.get("matchcluster", "photos")["metadata"]["resourceVersion"]
    look(bench)
    assert bench.kubectl(*ours) == events
    assert bench.get("matchcluster", "photos")["metadata"]["resourceVersion"] == version


def test_the_index_stays_when_the_matchcluster_goes_and_is_taken_over_by_naming_its_uid(
    bench: Bench, client: Elasticsearch, name: str
):
    bench.apply(spec(name))
    look(bench)
    client.index(index=name, document={"filepath": "a.jpg"}, refresh=True)
    uid = bench.get("matchcluster", "photos")["metadata"]["uid"]
    bench.kubectl("delete", "matchcluster", "photos")
    look_once = Reconciler(bench.config, bench.kube)
    assert look_once((bench.namespace, "photos")) is None
    assert client.count(index=name)["count"] == 1

    bench.apply(spec(name), name="heir")
    status = look(bench, "heir")
    assert uid in condition(status, "Stalled")["message"]
    assert bench.kubectl("get", "deployment", "heir-api", "--ignore-not-found") == ""
    bench.apply(spec(name, takeOverFrom=uid), name="heir")
    status = look(bench, "heir")
    assert status["index"]["documents"] == 1
    assert owner(client, name)["cluster"] == f"{bench.namespace}/heir"


def test_an_index_of_another_matchcluster_is_refused_and_left_as_it_is(
    bench: Bench, client: Elasticsearch, name: str
):
    bench.apply(spec(name))
    look(bench)
    before = client.indices.get(index=name).body, client.indices.get_index_template(name=f"match-{name}").body
    other = spec(name) | {"api": {"replicas": 1}}
    other["index"] |= {"replicas": 0, "shards": 3, "refreshInterval": "30s"}
    bench.apply(other, name="second")
    status = look(bench, "second")
    assert condition(status, "Stalled")["reason"] == "IndexOwned"
    assert f"belongs to MatchCluster {bench.namespace}/photos" in condition(status, "Stalled")["message"]
    after = client.indices.get(index=name).body, client.indices.get_index_template(name=f"match-{name}").body
    assert after == before


def test_names_that_begin_alike_live_side_by_side(bench: Bench, client: Elasticsearch, name: str):
    for cluster, index in (("one", name), ("two", f"{name}-old"), ("three", f"{name}-0")):
        bench.apply(spec(index), name=cluster)
        assert condition(look(bench, cluster), "IndexReady")["status"] == "True"
    bodies = client.indices.get(index=f"{name}*").body
    assert len(bodies) == 3


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"nodeSets": [{"name": "a"}]}, "give either nodeSets"),
        ({"version": "8.19.21"}, "are about Elasticsearch nodes"),
        ({"volumes": {"onDelete": "Delete"}}, "are about Elasticsearch nodes"),
        ({"external": {"urls": ["http://user:secret@es:9200"]}}, "should match"),
        ({"external": {"urls": []}}, "should have at least 1 items"),
    ],
    ids=["both", "version", "volumes", "password in the URL", "no URL"],
)
def test_what_cannot_be_meant_is_refused_by_the_api_server(
    bench: Bench, name: str, change: Json, sentence: str
):
    asked = spec(name, "http://es.example:9200")
    asked["elasticsearch"] |= change
    with pytest.raises(LabError, match=sentence):
        bench.apply(asked)


def test_neither_kind_of_elasticsearch_becomes_the_other(bench: Bench, name: str):
    bench.apply(spec(name, "http://es.example:9200"))
    with pytest.raises(LabError, match="create a second MatchCluster"):
        bench.apply({"index": {"name": name}})
    bench.apply({"index": {"name": name}}, name="own")
    with pytest.raises(LabError, match="create a second MatchCluster"):
        bench.apply(spec(name, "http://es.example:9200"), name="own")


def test_an_elasticsearch_that_is_not_there_is_what_it_waits_for(bench: Bench, name: str):
    bench.apply(spec(name, "http://127.0.0.1:1"))
    status = look(bench, times=1)
    assert condition(status, "ElasticsearchReady")["message"] == (
        "the external Elasticsearch cannot be used: it does not answer (ConnectionError)"
    )
    assert bench.kubectl("get", "deployment", "photos-api", "--ignore-not-found") == ""


# --- with TLS and users -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def secure() -> Iterator[elasticsearch.Formation]:
    with elasticsearch.nodes(1, secure=True) as formation:
        yield formation


@pytest.fixture
def admin(secure: elasticsearch.Formation) -> Iterator[Elasticsearch]:
    """The superuser, with the role and the user of docs/external-elasticsearch.md made anew."""
    page = (Path(__file__).parents[2] / "docs" / "external-elasticsearch.md").read_text()
    role = json.loads(page.partition("```json\n")[2].partition("```")[0])
    with Elasticsearch(
        secure.urls,
        basic_auth=("elastic", secure.password),
        ca_certs=str(secure.authority),
        request_timeout=30,
    ) as made:
        made.security.put_role(name="match-operator", body=role)
        made.security.put_user(username="match", **USER)
        yield made


def secret(bench: Bench, name: str, **data: str) -> None:
    encoded = {k: base64.b64encode(v.encode()).decode() for k, v in data.items()}
    bench.create({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": encoded})


def secured(bench: Bench, name: str, formation: elasticsearch.Formation) -> Json:
    assert formation.authority is not None
    secret(bench, "es-ca", **{"ca.crt": formation.authority.read_text()})
    references = {"secretRef": {"name": "es"}, "caSecretRef": {"name": "es-ca"}}
    return spec(name, *formation.urls, **references)


def silence(bench: Bench) -> str:
    message: str = condition(look(bench, times=1), "ElasticsearchReady")["message"]
    return message


def test_credentials_and_authority_come_from_secrets_and_each_fault_of_theirs_is_said(
    bench: Bench, name: str, secure: elasticsearch.Formation, admin: Elasticsearch
):
    bench.apply(secured(bench, name, secure))
    assert "there is no Secret es in this namespace" in silence(bench)
    secret(bench, "es", username="match", password="wrong")
    assert "it refuses the credentials of external.secretRef (401)" in silence(bench)
    secret(bench, "es", username="match", password=USER["password"])
    assert condition(look(bench), "IndexReady")["status"] == "True"
    secret(bench, "es-ca", **{"ca.crt": "no certificate"})
    assert "the certificates to trust are not readable as PEM" in silence(bench)


def test_an_authority_that_did_not_sign_is_said(bench: Bench, name: str, secure: elasticsearch.Formation):
    secret(bench, "es", username="match", password="x")
    bench.apply(spec(name, *secure.urls, secretRef={"name": "es"}))
    assert "its certificate is not signed by an authority that is trusted" in silence(bench)


def test_the_rights_of_the_documentation_are_enough_and_one_less_is_said(
    bench: Bench, name: str, secure: elasticsearch.Formation, admin: Elasticsearch
):
    secret(bench, "es", username="match", password=USER["password"])
    bench.apply(secured(bench, name, secure))
    assert condition(look(bench), "IndexReady")["status"] == "True"
    role = admin.security.get_role(name="match-operator")["match-operator"]
    admin.security.put_role(
        name="match-operator", cluster=["manage_index_templates"], indices=role["indices"]
    )
    assert "the user of external.secretRef lacks a right: action [" in silence(bench)


def connected(name: str, secure: elasticsearch.Formation, credentials: Path) -> ElasticStore:
    """The service's store, as in a pod to which the credentials come as files."""
    return ElasticStore.connect(
        ",".join(secure.urls),
        name,
        manage_index=False,
        ca_certs=str(secure.authority),
        credentials=str(credentials),
    )


def test_an_api_key_does_as_well(
    bench: Bench, name: str, secure: elasticsearch.Formation, admin: Elasticsearch, tmp_path: Path
):
    key = admin.security.create_api_key(name=name)["encoded"]
    secret(bench, "es", apiKey=key)
    bench.apply(secured(bench, name, secure))
    assert condition(look(bench), "IndexReady")["status"] == "True"
    (tmp_path / "apiKey").write_text(key)
    store = connected(name, secure, tmp_path)
    store.add(record("a.jpg", 1))
    assert found(store, 1) == ["a.jpg"]
    store.close()


def test_the_service_takes_a_new_password_from_its_files_without_a_restart(
    bench: Bench, name: str, secure: elasticsearch.Formation, admin: Elasticsearch, tmp_path: Path
):
    secret(bench, "es", username="match", password=USER["password"])
    bench.apply(secured(bench, name, secure))
    look(bench)
    for key, value in (("username", "match"), ("password", USER["password"])):
        (tmp_path / key).write_text(value)
    store = connected(name, secure, tmp_path)
    store.add(record("a.jpg", 1))
    admin.security.change_password(username="match", password="second-password")
    with pytest.raises(StoreUnavailableError, match="credentials"):
        store.add(record("b.jpg", 2))
    (tmp_path / "password").write_text("second-password")
    store.add(record("b.jpg", 2))
    assert store.count() == 2
    store.close()


def test_a_changed_secret_is_used_at_the_next_look(
    bench: Bench, name: str, secure: elasticsearch.Formation, admin: Elasticsearch
):
    secret(bench, "es", username="match", password=USER["password"])
    bench.apply(secured(bench, name, secure))
    reconcile = Reconciler(bench.config, bench.kube)
    reconcile((bench.namespace, "photos"))
    admin.security.change_password(username="match", password="second-password")
    secret(bench, "es", username="match", password="second-password")
    reconcile((bench.namespace, "photos"))
    assert condition(bench.status(), "ElasticsearchReady")["status"] == "True"
