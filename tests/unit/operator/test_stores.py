"""Snapshots in S3, GCS and Azure: from a Secret of the user's to the nodes' keystore, and what is said."""

import base64
import json
from dataclasses import replace
from typing import Any

import pytest
import yaml

import world
from match_operator import credentials, desired, names, observed, plan, status
from match_operator.credentials import Chance
from match_operator.observed import EPOCH, Observed, Repository
from match_operator.plan import requests
from match_operator.plan.index_steps import PutRepository
from match_operator.plan.steps import Apply
from world import kept as of

Json = dict[str, Any]
KEYS = {"access_key": "AKIA", "secret_key": "s3cret"}
SERVICE_ACCOUNT = json.dumps(
    {
        "type": "service_account",
        "client_id": "1",
        "client_email": "a@b.example",
        "private_key": "k",
        "private_key_id": "2",
    }
)
HELD: dict[str, Json] = {
    "s3": KEYS,
    "gcs": {"credentials_file": SERVICE_ACCOUNT},
    "azure": {"account": "photos", "key": "a2V5"},
}
NODES = "photos-es-default"


def spec(kind: str = "s3", *, named: bool = True, **fields: Any) -> Json:
    """A spec with an object store, by the Secret ``store`` or by the role of its pods."""
    place = {"container": "kept"} if kind == "azure" else {"bucket": "kept"}
    ref = {"credentialsSecretRef": {"name": "store"}} if named else {}
    return {"snapshots": {"repository": {kind: place | ref | fields}}}


def held(**data: str) -> Json:
    return {"data": {key: base64.b64encode(text.encode()).decode() for key, text in data.items()}}


def chance() -> Chance:
    return Chance(lambda: "token", EPOCH)


def keystore(made: credentials.Credentials) -> dict[str, str]:
    """What the Secret that the nodes mount holds."""
    found = [item for item in made.secrets if item["metadata"]["name"] == "photos-es-keystore"]
    return {key: observed.text(item, key) for item in found for key in item["data"]}


def make(cluster: Any, secret: Json | None, there: Json | None = None) -> credentials.Credentials:
    children = {("Secret", there["metadata"]["name"]): there} if there else {}
    return credentials.make(cluster, Observed(children, given={"store": secret}), chance())


def pods(cluster: Any, secret: Json | None = None, there: Json | None = None) -> Json:
    """The pod template of the nodes."""
    items = desired.build(cluster, (), credentials=make(cluster, secret, there))
    return next(i for i in items if i["kind"] == "StatefulSet")["spec"]["template"]


def settings(cluster: Any) -> Json:
    config = next(i for i in world.objects(cluster) if i["kind"] == "ConfigMap")
    found: Json = yaml.safe_load(config["data"][names.CONFIG_KEY])
    return found


def ours(made: credentials.Credentials) -> Json:
    return next(i for i in made.secrets if i["metadata"]["name"] == "photos-es-keystore")


@pytest.mark.parametrize(
    ("kind", "entries"),
    [
        ("s3", {"s3.client.default.access_key": "AKIA", "s3.client.default.secret_key": "s3cret"}),
        ("gcs", {"gcs.client.default.credentials_file": SERVICE_ACCOUNT}),
        ("azure", {"azure.client.default.account": "photos", "azure.client.default.key": "a2V5"}),
    ],
)
def test_the_secret_becomes_settings_of_the_keystore(kind, entries):
    assert keystore(make(of(spec(kind)), held(**HELD[kind]))) == entries


def test_the_name_of_the_client_is_the_same_in_the_keystore_the_settings_and_the_repository():
    cluster = of(spec(client="backup", region="eu-1", endpoint="https://minio:9000", pathStyleAccess=True))
    assert set(keystore(make(cluster, held(**KEYS)))) == {
        "s3.client.backup.access_key",
        "s3.client.backup.secret_key",
    }
    assert {k: v for k, v in settings(cluster).items() if k.startswith("s3.")} == {
        "s3.client.backup.region": "eu-1",
        "s3.client.backup.endpoint": "https://minio:9000",
        "s3.client.backup.path_style_access": True,
    }
    [step] = registrations(cluster, held(**KEYS))
    assert step.body["settings"]["client"] == "backup"


def test_a_line_break_that_an_editor_left_is_no_part_of_a_key():
    made = make(of(spec()), held(access_key="AKIA\n", secret_key="s3cret\r\n"))
    assert keystore(made)["s3.client.default.secret_key"] == "s3cret"


def test_other_keys_of_the_secret_are_left_alone():
    made = make(of(spec()), held(**KEYS, session_token="t", region="eu-1"))
    assert set(keystore(made)) == {f"s3.client.default.{k}" for k in (*KEYS, "session_token")}


def test_nothing_that_is_secret_is_in_the_pod_template_or_in_the_settings():
    cluster = of(spec(endpoint="https://minio:9000"))
    text = json.dumps([pods(cluster, held(**KEYS)), settings(cluster)])
    assert "s3cret" not in text
    assert "AKIA" not in text


def test_the_nodes_mount_the_keystores_secret_in_one_container_that_runs_before_them():
    pod = pods(of(spec()), held(**KEYS))["spec"]
    assert [c["name"] for c in pod["initContainers"]] == ["prepare", "keystore"]
    mounting = [
        c["name"]
        for c in [*pod["initContainers"], *pod["containers"]]
        if any(m["name"] == "match-keystore" for m in c["volumeMounts"])
    ]
    assert mounting == ["keystore"]
    assert {"name": "match-keystore", "secret": {"secretName": "photos-es-keystore"}} in pod["volumes"]


@pytest.mark.parametrize("mode", ["Enabled", "Disabled"])
def test_the_containers_that_make_the_keystore_meet_the_restricted_pod_security_standard(mode):
    secured = {"elasticsearch": {"security": {"mode": mode}}}
    pod = pods(of(spec() | secured), held(**KEYS))["spec"]
    assert pod["securityContext"]["runAsNonRoot"]
    for container in pod["initContainers"]:
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert container["image"] == pod["containers"][0]["image"]
    config = [m["name"] for m in pod["containers"][0]["volumeMounts"] if m["mountPath"].endswith("/config")]
    assert config == ["match-settings"]


def test_a_changed_secret_changes_the_pods_and_the_same_one_does_not():
    cluster = of(spec())
    first, again = pods(cluster, held(**KEYS)), pods(cluster, held(**KEYS))
    other = pods(cluster, held(**KEYS | {"secret_key": "new"}))
    assert first == again
    assert first["metadata"]["annotations"] != other["metadata"]["annotations"]
    assert first["spec"] == other["spec"]


def test_pods_without_an_object_store_are_as_they_were():
    for repository in ({"claim": {"name": "backup"}}, {"name": "theirs"}):
        pod = pods(of({"snapshots": {"repository": repository}}))
        assert names.KEYSTORE_ANNOTATION not in pod["metadata"]["annotations"]
        assert [c["name"] for c in pod["spec"]["initContainers"]] == ["prepare"]


def test_without_a_secret_the_role_of_the_pod_is_used_and_no_keystore_made():
    pod = pods(of(spec(named=False)))
    assert names.KEYSTORE_ANNOTATION not in pod["metadata"]["annotations"]
    assert not [v for v in pod["spec"]["volumes"] if v["name"] == "match-keystore"]
    assert "AWS_WEB_IDENTITY_TOKEN_FILE" in pod["spec"]["initContainers"][-1]["command"][2]
    assert [c["name"] for c in pods(of(spec("gcs", named=False)))["spec"]["initContainers"]] == ["prepare"]


# --- a Secret that is missing or cannot be used ----------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "secret", "sentence"),
    [
        ("s3", None, "there is no Secret store, which snapshots.repository.s3.credentialsSecretRef names"),
        ("s3", {}, "holds nothing under access_key and secret_key"),
        ("s3", {"access_key": "AKIA"}, "holds nothing under secret_key"),
        ("s3", {"access_key": "AKIA", "secret_key": "\n"}, "holds nothing under secret_key"),
        ("gcs", {}, "holds nothing under credentials_file"),
        ("gcs", {"credentials_file": "not JSON"}, "holds no JSON under credentials_file"),
        ("gcs", {"credentials_file": "[1]"}, "holds no JSON under credentials_file"),
        (
            "gcs",
            {"credentials_file": '{"type": "authorized_user", "client_id": "1"}'},
            "it lacks client_email and private_key and private_key_id",
        ),
        ("azure", {"key": "a2V5"}, "holds nothing under account"),
        ("azure", {"account": "a", "key": "k", "sas_token": "t"}, "holds both key and sas_token"),
    ],
)
def test_what_is_wrong_with_the_secret_is_a_condition_and_touches_no_node(kind, secret, sentence):
    cluster = of(spec(kind))
    given = None if secret is None else held(**secret)
    found = condition(cluster, given)
    assert (found["status"], found["reason"]) == ("False", "CredentialsMissing")
    assert sentence in found["message"]
    assert keystore(make(cluster, given)) == {}
    assert pods(cluster, given) == pods(of())
    assert registrations(cluster, given) == []


def test_a_secret_that_is_gone_or_spoilt_changes_nothing_that_runs():
    cluster = of(spec())
    good = make(cluster, held(**KEYS))
    for later in (None, held(access_key="AKIA")):
        assert keystore(make(cluster, later, ours(good))) == keystore(good)
        assert pods(cluster, later, ours(good)) == pods(cluster, held(**KEYS))


def test_a_mended_secret_takes_effect():
    cluster = of(spec())
    before = ours(make(cluster, held(**KEYS)))
    mended = held(**KEYS | {"secret_key": "new"})
    assert keystore(make(cluster, mended, before))["s3.client.default.secret_key"] == "new"
    assert pods(cluster, mended, before) != pods(cluster, held(**KEYS))


def test_the_keystores_secret_goes_when_it_is_no_longer_asked_for():
    before = ours(make(of(spec()), held(**KEYS)))
    assert keystore(make(of(spec(named=False)), None, before)) == {}
    assert keystore(make(of(), None, before)) == {}


def test_an_azure_account_without_a_key_is_that_of_the_machines_managed_identity():
    made = make(of(spec("azure")), held(account="photos"))
    assert keystore(made) == {"azure.client.default.account": "photos"}


# --- the plan and the words ------------------------------------------------------------------------------


def look(cluster: Any, secret: Json | None, repository: Repository) -> Observed:
    """A settled cluster whose nodes have the credentials that there are."""
    items = desired.build(cluster, (), credentials=make(cluster, secret))
    elastic = replace(world.elastic(cluster), repository=repository)
    return Observed(world.settled(cluster, items), elastic=elastic, given={"store": secret})


def planned(cluster: Any, seen: Observed, secret: Json | None) -> plan.Plan:
    return plan.make(cluster, desired.build(cluster, (), credentials=make(cluster, secret)), seen)


def registrations(cluster: Any, secret: Json | None) -> list[PutRepository]:
    seen = look(cluster, secret, Repository("match-images", None))
    return [s for s in planned(cluster, seen, secret).aside if isinstance(s, PutRepository)]


def condition(cluster: Any, secret: Json | None, trouble: str = "", **repository: Any) -> Json:
    seen = look(cluster, secret, Repository("match-images", **({"body": None} | repository)))
    made = status.make(cluster, seen, replace(planned(cluster, seen, secret), trouble=trouble), EPOCH)
    found: Json = next(c for c in made["conditions"] if c["type"] == "SnapshotsReady")
    return found


@pytest.mark.parametrize(("kind", "place"), [("s3", "bucket"), ("gcs", "bucket"), ("azure", "container")])
def test_the_repository_is_registered_as_elasticsearch_calls_it(kind, place):
    cluster = of(spec(kind))
    [step] = registrations(cluster, held(**HELD[kind]))
    said = {place: "kept", "base_path": "lab/photos", "client": "default", "readonly": "false"}
    assert step.body == {"type": kind, "settings": said}
    registered = look(cluster, held(**HELD[kind]), Repository("match-images", step.body))
    assert planned(cluster, registered, held(**HELD[kind])).aside == ()


def test_another_path_and_reading_only_are_part_of_the_registration():
    given = spec(basePath="old/photos")
    given["snapshots"]["repository"]["readOnly"] = True
    [step] = registrations(of(given), held(**KEYS))
    assert (step.body["settings"]["base_path"], step.body["settings"]["readonly"]) == ("old/photos", "true")


def test_nothing_is_registered_before_every_node_has_the_new_credentials():
    cluster = of(spec())
    seen = look(cluster, held(**KEYS), Repository("match-images", None))
    seen.children["StatefulSet", NODES]["status"]["updateRevision"] = "r2"
    made = planned(cluster, seen, held(**KEYS))
    assert made.steps
    assert made.aside == ()


def test_a_changed_secret_reaches_the_nodes_secret_before_their_template():
    cluster, new = of(spec()), held(**KEYS | {"secret_key": "new"})
    body = registrations(cluster, held(**KEYS))[0].body
    seen = look(cluster, held(**KEYS), Repository("match-images", body))
    changed = [s.item["metadata"]["name"] for s in planned(cluster, seen, new).steps if isinstance(s, Apply)]
    assert changed[-2:] == ["photos-es-keystore", NODES]


REFUSED = "it answers 500 repository_exception: [match-images] repository type [s3] does not exist"


def test_what_elasticsearch_says_of_the_repository_is_in_the_condition():
    refused = condition(of(spec()), held(**KEYS), trouble=f"registering: {REFUSED}")
    assert (refused["reason"], refused["message"]) == ("Refused", f"Elasticsearch: registering: {REFUSED}")
    body = registrations(of(spec()), held(**KEYS))[0].body
    gone = condition(of(spec()), held(**KEYS), body=body, silence="404 NoSuchBucket")
    assert (gone["reason"], "404 NoSuchBucket" in gone["message"]) == ("Unusable", True)
    assert condition(of(spec()), held(**KEYS), body=body)["status"] == "True"


@pytest.mark.parametrize("kind", [names.SNAPSHOT_KIND, names.RESTORE_KIND])
@pytest.mark.parametrize(
    ("secret", "trouble", "sentence"),
    [
        (held(**KEYS), REFUSED, "repository type [s3] does not exist"),
        (None, "", "there is no Secret store"),
        (held(**KEYS), "", "Elasticsearch knows no repository match-images"),
    ],
)
def test_requests_say_why_the_repository_cannot_be_used(kind, secret, trouble, sentence):
    cluster = of(spec())
    item = {"kind": kind, "metadata": {"name": "a", "uid": "0123456789"}, "spec": {"cluster": "photos"}}
    item["spec"] |= {"snapshot": "s", "overwrite": False}
    seen = replace(look(cluster, secret, Repository("match-images", None)), requests=(item,))
    [answer] = requests.answers(cluster, seen, trouble)
    assert answer.phase == "Pending"
    assert answer.message.startswith("waiting for the snapshot repository match-images: ")
    assert sentence in answer.message


def test_the_last_words_of_a_container_that_failed_are_said():
    said = "Created elasticsearch keystore\nthis image of Elasticsearch has no module repository-s3\n"
    ended = {"exitCode": 1, "reason": "Error", "message": said}
    waiting = {"reason": "CrashLoopBackOff", "message": "back-off 40s restarting failed container"}
    pod = world.pod("p", names.ELASTICSEARCH, ready=False)
    pod["status"]["initContainerStatuses"] = [
        {"state": {"waiting": waiting}, "lastState": {"terminated": ended}}
    ]
    assert observed.problem(pod) == (
        "CrashLoopBackOff after exit code 1 (Error): this image of Elasticsearch has no module repository-s3"
    )


def test_of_an_external_elasticsearch_the_repository_is_registered_and_its_keystore_left_alone():
    cluster = of(world.external() | spec(named=False))
    made = make(cluster, None)
    assert (keystore(made), made.keystore) == ({}, "")
    assert registrations(cluster, None)[0].body["type"] == "s3"


def test_rendered_manifests_show_the_keystore_without_reading_a_secret():
    item = next(i for i in world.objects(of(spec())) if i["kind"] == "StatefulSet")
    other = next(
        i
        for i in world.objects(of(spec(credentialsSecretRef={"name": "other"})))
        if i["kind"] == "StatefulSet"
    )
    shown = item["spec"]["template"]
    assert [c["name"] for c in shown["spec"]["initContainers"]] == ["prepare", "keystore"]
    assert shown != other["spec"]["template"]
