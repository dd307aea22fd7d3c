"""matchctl's commands, as far as they need no cluster."""

import argparse
import shlex
import socket
import subprocess
import threading
from datetime import UTC, datetime

import pytest
import yaml

import world
from match_operator import ctl, names
from match_operator.commands import diff, doctor, logs, manifests, port_forward, render, schema
from match_operator.errors import InvalidSpecError
from match_operator.observed import Observed

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def body(spec=None):
    identity = {"apiVersion": names.API_VERSION, "kind": names.KIND, "metadata": {"name": "photos"}}
    return identity | {"spec": spec or {}}


# --- render ----------------------------------------------------------------------------------------------


def rendered(tmp_path, capsys, *bodies):
    file = tmp_path / "file.yaml"
    file.write_text(yaml.safe_dump_all(bodies))
    options = argparse.Namespace(
        filename=str(file), namespace="lab", elasticsearch_image="es:{version}", api_image="api:1"
    )
    assert render.run(options, None) == 0
    return list(yaml.safe_load_all(capsys.readouterr().out))


def test_what_is_rendered_is_what_the_operator_would_make(tmp_path, capsys):
    out = rendered(tmp_path, capsys, {"kind": "Secret"}, body({"api": {"replicas": 5}}))
    cluster = world.cluster({"api": {"replicas": 5}})
    assert [(i["kind"], i["metadata"]["name"]) for i in out] == [
        (i["kind"], i["metadata"]["name"]) for i in world.objects(cluster)
    ]
    deployment = next(i for i in out if i["kind"] == "Deployment")
    assert deployment["spec"]["replicas"] == 5
    assert deployment["metadata"]["namespace"] == "lab"


def test_defaults_are_those_an_api_server_would_fill_in():
    given = {"elasticsearch": {"nodeSets": [{"name": "a", "storage": {"size": "1Gi"}}]}}
    assert schema.completed(body(given))["spec"] == world.body(given)["spec"]


def test_a_misspelt_field_is_named_with_its_path():
    wrong = {"elasticsearch": {"nodeSets": [{"name": "a", "cuont": 1}]}}
    with pytest.raises(InvalidSpecError, match=r"spec\.elasticsearch\.nodeSets\[0\]\.cuont"):
        schema.completed(body(wrong))


@pytest.mark.parametrize("text", ["kind: Secret", "{", ""])
def test_a_file_without_a_matchcluster_is_said(tmp_path, text):
    file = tmp_path / "file.yaml"
    file.write_text(text)
    with pytest.raises(InvalidSpecError, match=r"file\.yaml"):
        manifests.read(str(file))


# --- diff ------------------------------------------------------------------------------------------------


def difference(before, after, seen=None):
    live = world.body(before) if before is not None else None
    return list(diff.changes(live, world.body(after), seen or Observed({})))


def test_nothing_changed_is_no_difference():
    assert difference({}, {}) == []


def test_a_new_cluster_lists_what_is_made():
    assert "+ StatefulSet photos-es-default" in difference(None, {})


def test_a_changed_field_is_shown_with_both_values_and_what_it_costs():
    lines = difference({}, {"api": {"allOrientations": False, "replicas": 3}})
    assert "~ Deployment photos-api" in lines
    assert "    spec.replicas: 2 -> 3" in lines
    assert any('"true" -> "false"' in line for line in lines)
    assert lines[-1] == "* the pods of Deployment photos-api are replaced, one after another"


def test_a_changed_setting_is_shown_as_a_line_of_elasticsearch_yml():
    lines = difference({}, world.node_sets(("default", {"config": {"a.b": 1}})))
    assert "    data.elasticsearch.yml: +a.b: 1" in lines


def test_nodes_that_would_leave_are_named():
    seen = world.seen(world.cluster(), elastic=None)
    lines = difference({}, world.node_sets(("default", {"count": 1})), seen)
    assert lines[-1] == (
        "* photos-es-default-1, photos-es-default-2: their shards are moved, then they are removed"
    )


def test_what_the_operator_would_refuse_is_said_with_the_way_out():
    seen = world.seen(world.cluster(), elastic=None, status={"elasticsearch": {"version": "8.19.21"}})
    wrong = world.node_sets(("default", {"storage": {"size": "1Gi"}}), version="8.1.0")
    said = list(diff.problems(world.body(wrong), seen))
    assert [line.split(":")[0] for line in said] == ["! VolumeShrinkUnsupported", "! DowngradeUnsupported"]


# --- logs ------------------------------------------------------------------------------------------------


def test_each_line_of_a_log_says_whose_it_is(capsys):
    logs.write("photos-api-1", ["a", "b"])
    assert capsys.readouterr().out == "photos-api-1 a\nphotos-api-1 b\n"


# --- doctor ----------------------------------------------------------------------------------------------


def healthy():
    labels = {"app.kubernetes.io/name": "match-operator"}
    is_default = {"storageclass.kubernetes.io/is-default-class": "true"}
    return {
        "/version": {"major": "1", "minor": "34+", "gitVersion": "v1.34.4"},
        **{f"customresourcedefinitions/{plural}.match.dev": schema.crd(plural) for plural in schema.COPIES},
        "/deployments": {
            "items": [
                {
                    "metadata": {"name": "op", "namespace": "x", "labels": labels},
                    "status": {"readyReplicas": 1},
                }
            ]
        },
        "/storageclasses": {
            "items": [{"metadata": {"name": "fast", "annotations": is_default}, "allowVolumeExpansion": True}]
        },
        "/matchclusters": {"items": []},
    }


def advice(answers):
    def get(_version, url):
        return answers[url.partition("?")[0]]

    return [finding.advice for finding in doctor.examine(get, NOW) if finding.advice]


def test_a_healthy_cluster_needs_no_advice():
    assert advice(healthy()) == []


@pytest.mark.parametrize(
    ("path", "answer", "said"),
    [
        ("/version", {"major": "1", "minor": "27", "gitVersion": "v1.27.1"}, "upgrade it to 1.30"),
        ("customresourcedefinitions/matchclusters.match.dev", {"message": "not found"}, "install the chart"),
        (
            "customresourcedefinitions/matchsnapshots.match.dev",
            {"message": "not found", "code": 404},
            "only the schedule makes snapshots; install the chart",
        ),
        (
            "customresourcedefinitions/matchrestores.match.dev",
            {"message": "not found", "code": 404},
            "no snapshot can be restored; install the chart",
        ),
        (
            "customresourcedefinitions/matchrestores.match.dev",
            {"message": "matchrestores.match.dev is forbidden", "code": 403},
            "it could not be read: matchrestores.match.dev is forbidden",
        ),
        ("/deployments", {"items": []}, "install the chart"),
        ("/deployments", {"message": "deployments is forbidden"}, "deployments is forbidden"),
        ("/storageclasses", {"items": []}, "name one in storage.className"),
    ],
)
def test_what_is_missing_comes_with_what_to_do(path, answer, said):
    (only,) = advice(healthy() | {path: answer})
    assert said in only


@pytest.mark.parametrize(
    ("plural", "field"),
    [
        ("matchclusters", "elasticsearch"),
        ("matchsnapshots", "cluster"),
        ("matchrestores", "snapshot"),
    ],
)
def test_an_older_schema_is_told_by_a_field_it_lacks(plural, field):
    old = schema.crd(plural)
    spec = old["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    del spec["properties"][field]
    path = f"customresourcedefinitions/{old['metadata']['name']}"
    (only,) = advice(healthy() | {path: old})
    assert f"lacks spec.{field}" in only
    assert f"kubectl apply --server-side -f crds/{plural}.yaml" in only


def test_a_schema_that_kubernetes_does_not_serve_is_said_with_its_reason():
    refused = schema.crd("matchrestores")
    condition = {"type": "NamesAccepted", "status": "False", "message": '"mtr" is already in use'}
    refused["status"] = {"conditions": [condition]}
    (only,) = advice(healthy() | {"customresourcedefinitions/matchrestores.match.dev": refused})
    assert only == 'Kubernetes does not serve it: "mtr" is already in use'


def test_a_class_whose_volumes_cannot_grow_is_said_before_one_is_full():
    answers = healthy()
    answers["/storageclasses"]["items"][0]["allowVolumeExpansion"] = False
    (only,) = advice(answers)
    assert "set allowVolumeExpansion: true" in only


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ({}, "no operator looks at its namespace"),
        ({"conditions": [{"type": "Stalled", "status": "True", "message": "set x"}]}, "set x"),
        ({"conditions": [{"type": "Ready", "status": "False", "message": "no room"}]}, "no room"),
    ],
)
def test_a_matchcluster_that_is_not_well_is_named(status, said):
    metadata = {"name": "photos", "namespace": "x", "creationTimestamp": "2026-01-01T00:00:00Z"}
    (only,) = advice(healthy() | {"/matchclusters": {"items": [{"metadata": metadata, "status": status}]}})
    assert said in only


# --- completion, port-forward ----------------------------------------------------------------------------


def completed(words, tmp_path, capsys):
    """What bash offers after some words."""
    with pytest.raises(SystemExit):
        ctl.main(["completion", "bash"])
    script = tmp_path / "script"
    script.write_text(capsys.readouterr().out)
    lines = [
        f"source {script}",
        f"COMP_WORDS=({' '.join(words)}); COMP_CWORD={len(words) - 1}",
        f"_shtab_matchctl matchctl {shlex.quote(words[-1])} {words[-2]}",
        'printf "%s\\n" "${COMPREPLY[@]}"',
    ]
    done = subprocess.run(["bash", "-c", "\n".join(lines)], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_bash_completes_commands_and_options(tmp_path, capsys):
    assert completed(["matchctl", "re"], tmp_path, capsys) == {"render", "restart", "restore", "resume"}
    assert "--component" in completed(["matchctl", "logs", "--"], tmp_path, capsys)


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_every_command_is_in_the_completion(shell, capsys):
    with pytest.raises(SystemExit):
        ctl.main(["completion", shell])
    said = capsys.readouterr().out
    assert [n for n in ("status", "diff", "port-forward", "pause", "doctor", "size") if n not in said] == []


def test_bytes_go_both_ways_until_one_side_ends():
    here, us = socket.socketpair()
    there, pod = socket.socketpair()
    thread = threading.Thread(target=port_forward.pump, args=(us, there))
    thread.start()
    here.sendall(b"question")
    assert pod.recv(100) == b"question"
    pod.sendall(b"answer" * 5_000)
    pod.close()
    received = b""
    while len(received) < 30_000 and (more := here.recv(65536)):
        received += more
    assert received == b"answer" * 5_000
    thread.join(5)
    assert not thread.is_alive()
    for each in (here, us, there):
        each.close()
