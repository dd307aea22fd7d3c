"""The reconcile against a real API server. A quota keeps pods from starting, so every test takes a second."""

import json
from typing import Any

import pytest
from kubernetes import config as kubernetes_config

import world
from apiserver import Bench
from labcluster.progress import LabError
from match_operator.clients.kube import Kube
from match_operator.config import Config
from match_operator.reconcile import Reconciler

pytestmark = pytest.mark.cluster


def test_a_second_reconcile_finds_nothing_to_do(bench: Bench):
    bench.apply()
    bench.reconcile()
    bench.reconcile()
    before = managed(bench)
    bench.reconcile()
    assert managed(bench) == before


def test_values_that_the_api_server_rewrites_are_settled_as_it_has_them(bench: Bench):
    bench.apply(
        {"api": {"podTemplate": ODD}, "elasticsearch": {"nodeSets": [{"name": "a", "podTemplate": ODD}]}}
    )
    reconcile = Reconciler(bench.config, bench.kube)
    for _ in range(3):
        reconcile((bench.namespace, "photos"))
    assert "Repairing" not in {reason for reason, _ in events(bench)}
    bench.kubectl("patch", "deployment", "photos-api", "--type=merge", "-p", HOST_NETWORK)
    reconcile((bench.namespace, "photos"))
    assert "hostNetwork" not in bench.get("deployment", "photos-api")["spec"]["template"]["spec"]
    assert {message for reason, message in events(bench) if reason == "Repairing"} == {
        "repairing spec.template.spec.hostNetwork of Deployment photos-api"
    }


SPREAD = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"x": "y"}}}
ODD = {
    "spec": {
        "hostNetwork": False,
        "tolerations": [{"key": "a", "operator": "Equal", "value": "", "effect": "NoSchedule"}],
        "topologySpreadConstraints": [
            SPREAD | {"maxSkew": 2, "whenUnsatisfiable": "DoNotSchedule"},
            SPREAD | {"maxSkew": 1, "whenUnsatisfiable": "ScheduleAnyway"},
        ],
        "volumes": [{"name": "v", "emptyDir": {"medium": "", "sizeLimit": "1024Mi"}}],
        "containers": [
            {
                "name": "side",
                "image": "side:1",
                "env": [{"name": "EMPTY", "value": ""}],
                "volumeMounts": [{"name": "v", "mountPath": "/v", "readOnly": False}],
                "livenessProbe": {
                    "tcpSocket": {"port": 1},
                    "initialDelaySeconds": 0,
                    "timeoutSeconds": 0,
                },
            }
        ],
    }
}
"""Values that Kubernetes keeps in another form: empty ones not at all, and some zeros as its default."""
HOST_NETWORK = json.dumps({"spec": {"template": {"spec": {"hostNetwork": True}}}})


def managed(bench: Bench) -> dict[str, Any]:
    """When and what the operator last wrote of each object."""
    kinds = "matchcluster,statefulset,deployment,service,configmap,secret,poddisruptionbudget,networkpolicy"
    text = bench.kubectl("get", kinds, "--show-managed-fields", "-o", "json")
    return {
        f"{i['kind']}/{i['metadata']['name']}": [
            f for f in i["metadata"]["managedFields"] if f["manager"] == "match-operator"
        ]
        for i in json.loads(text)["items"]
        if i["metadata"]["name"] != "kube-root-ca.crt"
    }


def test_a_deleted_secret_is_made_again_with_another_key_and_the_others_stay(bench: Bench):
    bench.apply()
    bench.reconcile()
    before = {name: bench.get("secret", name)["data"] for name in SECRETS}
    bench.kubectl("delete", "secret", "photos-api-key", "photos-es-api-user")
    bench.reconcile()
    after = {name: bench.get("secret", name)["data"] for name in SECRETS}
    changed = {name for name in SECRETS if after[name] != before[name]}
    assert changed == {"photos-api-key", "photos-api-keys", "photos-es-api-user", "photos-es-users"}


SECRETS = (
    "photos-api-key",
    "photos-api-keys",
    "photos-es-api-user",
    "photos-es-operator-user",
    "photos-es-elastic-user",
    "photos-es-users",
    "photos-es-authority",
    "photos-es-certificates",
)


def test_who_makes_the_certificate_cannot_change(bench: Bench):
    bench.apply()
    with pytest.raises(LabError, match="who makes the nodes' certificate cannot change"):
        bench.apply({"elasticsearch": {"security": {"certificateSecretRef": {"name": "mine"}}}})


def test_a_policy_that_is_none_is_refused_in_a_condition(bench: Bench):
    bench.apply({"networkPolicy": {"apiFrom": [{"podSelector": {"matchLabels": 7}}]}})
    bench.reconcile()
    assert "the API server refuses what the spec leads to" in bench.stalled()


def test_a_right_that_the_operator_lacks_is_named(bench: Bench):
    rules = [
        {"apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list"]},
        {"apiGroups": ["", "match.dev", "networking.k8s.io", "policy"], "resources": ["*"], "verbs": ["*"]},
    ]
    bench.create({**RBAC, "kind": "Role", "metadata": {"name": "half"}, "rules": rules})
    bench.kubectl("create", "rolebinding", "half", "--role=half", "--user=half")
    client = kubernetes_config.new_client_from_config(str(bench.lab.kubeconfig), context=bench.lab.context)
    client.set_default_header("Impersonate-User", "half")
    bench.apply()
    Reconciler(bench.config, Kube(client))((bench.namespace, "photos"))
    client.close()
    assert "the operator may not do what it has to" in bench.stalled()
    assert 'cannot patch resource "statefulsets"' in bench.stalled()
    assert bench.get("poddisruptionbudget", "photos-api")


RBAC = {"apiVersion": "rbac.authorization.k8s.io/v1"}


def test_no_object_carries_a_finalizer(bench: Bench):
    bench.apply()
    bench.reconcile()
    items = json.loads(bench.kubectl("get", "matchcluster,statefulset,deployment,service", "-o", "json"))[
        "items"
    ]
    assert [i["metadata"].get("finalizers") for i in items] == [None] * len(items)


def test_a_field_taken_out_of_the_spec_goes_from_the_child(bench: Bench):
    bench.apply({"api": {"podTemplate": {"spec": {"nodeSelector": {"disk": "ssd"}}}}})
    bench.reconcile()
    assert bench.get("deployment", "photos-api")["spec"]["template"]["spec"]["nodeSelector"] == {
        "disk": "ssd"
    }
    bench.apply()
    bench.reconcile()
    assert "nodeSelector" not in bench.get("deployment", "photos-api")["spec"]["template"]["spec"]


def test_an_autoscaler_comes_and_goes(bench: Bench):
    bench.apply({"api": {"autoscaling": {"max": 4}}})
    bench.reconcile()
    assert bench.get("hpa", "photos-api")["spec"]["maxReplicas"] == 4
    bench.apply()
    bench.reconcile()
    assert bench.kubectl("get", "hpa", "photos-api", "--ignore-not-found") == ""


def test_what_somebody_else_added_is_left_alone(bench: Bench):
    bench.apply()
    bench.reconcile()
    bench.kubectl("annotate", "service", "photos-api", "team=search")
    bench.reconcile()
    assert bench.get("service", "photos-api")["metadata"]["annotations"]["team"] == "search"


def test_an_object_of_somebody_elses_is_not_taken(bench: Bench):
    bench.kubectl("create", "configmap", "photos-es-default", "--from-literal=mine=1")
    bench.apply()
    bench.reconcile()
    assert bench.status()["phase"] == "Invalid"
    assert "does not belong to this MatchCluster" in bench.stalled()
    assert bench.get("configmap", "photos-es-default")["data"] == {"mine": "1"}
    bench.kubectl("delete", "configmap", "photos-es-default")
    bench.reconcile()
    assert bench.status()["phase"] == "Creating"


def test_a_newer_operator_changes_nothing(bench: Bench):
    bench.apply()
    bench.reconcile()
    before = managed(bench)
    newer = Config(elasticsearch_version="9.9.9", elasticsearch_image="other:{version}", api_image="other:2")
    bench.reconcile(newer)
    assert {k: v for k, v in managed(bench).items() if not k.startswith("MatchCluster")} == {
        k: v for k, v in before.items() if not k.startswith("MatchCluster")
    }


def test_a_paused_cluster_is_not_changed(bench: Bench):
    bench.apply({"paused": True})
    bench.reconcile()
    assert bench.kubectl("get", "statefulset,deployment") == ""
    assert bench.status()["phase"] == "Paused"


def test_scaling_the_matchcluster_scales_the_api(bench: Bench):
    bench.apply()
    bench.kubectl("scale", "matchcluster", "photos", "--replicas=5")
    bench.reconcile()
    assert bench.get("deployment", "photos-api")["spec"]["replicas"] == 5


def test_the_api_servers_defaults_are_those_the_unit_tests_assume(bench: Bench):
    given = {"elasticsearch": {"nodeSets": [{"name": "default"}]}, "api": {"autoscaling": {"max": 3}}}
    bench.apply(given)
    assert bench.get("matchcluster", "photos")["spec"] == world.body(given)["spec"]


@pytest.mark.parametrize("name", ["1photos", "photos.de", "p" * 31])
def test_a_name_that_services_could_not_have_is_refused(bench: Bench, name: str):
    with pytest.raises(LabError, match="the name of a MatchCluster") as refusal:
        bench.apply(name=name)
    assert refusal


def test_a_misspelt_field_is_refused(bench: Bench):
    with pytest.raises(LabError, match="unknown field"):
        bench.apply({"elasticsearch": {"nodeSet": []}})


def events(bench: Bench) -> dict[tuple[str, str], int]:
    """How often each decision about the MatchCluster was told."""
    items = json.loads(bench.kubectl("get", "events", "-o", "json"))["items"]
    ours = [e for e in items if e["involvedObject"]["kind"] == "MatchCluster"]
    told = {(e["reason"], e["message"]): e["count"] for e in ours}
    assert len(told) == len(ours)
    return told


def test_decisions_are_told_as_events_and_looks_are_not(bench: Bench):
    bench.apply()
    for _ in range(3):
        bench.reconcile()
    before = events(bench)
    assert {reason for reason, _ in before} >= {"Applying", "Creating"}
    for _ in range(3):
        bench.reconcile()
    assert events(bench) == before
    bench.kubectl("delete", "service", "photos-api")
    bench.reconcile()
    added = {key: count for key, count in events(bench).items() if key not in before}
    assert added == {("Applying", "creating Service photos-api"): 1}


def test_the_same_decision_is_one_event_that_counts(bench: Bench):
    bench.apply()
    bench.reconcile()
    for _ in range(2):
        bench.kubectl("delete", "service", "photos-api")
        bench.reconcile()
    assert events(bench)["Applying", "creating Service photos-api"] == 2
