"""The chart renders what the operator needs and no right more, and refuses values it does not know."""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from labcluster import tools

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts/match-operator"
KUBERNETES = "1.34.4"
LEASE = "match-operator-lease"
Render = Callable[..., list[dict[str, Any]]]


@pytest.fixture(scope="module", name="helm")
def _helm() -> Callable[..., subprocess.CompletedProcess[str]]:
    binary = tools.helm()

    def run(*args: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([str(binary), *args], capture_output=True, text=True, check=False)

    return run


@pytest.fixture(scope="module", name="template")
def _template(
    helm: Callable[..., subprocess.CompletedProcess[str]],
) -> Callable[..., subprocess.CompletedProcess[str]]:
    def run(**values: Any) -> subprocess.CompletedProcess[str]:
        settings = [f"--set-json={key}={json.dumps(value)}" for key, value in values.items()]
        target = ("--namespace", "match-system", "--kube-version", KUBERNETES)
        return helm("template", "match-operator", str(CHART), *target, *settings)

    return run


@pytest.fixture(scope="module", name="render")
def _render(template: Callable[..., subprocess.CompletedProcess[str]]) -> Render:
    def run(**values: Any) -> list[dict[str, Any]]:
        done = template(**values)
        assert done.returncode == 0, done.stderr
        return [document for document in yaml.safe_load_all(done.stdout) if document]

    return run


def of_kind(objects: list[dict[str, Any]], *kinds: str) -> list[dict[str, Any]]:
    return [item for item in objects if item["kind"] in kinds]


def pod_of(objects: list[dict[str, Any]]) -> dict[str, Any]:
    (deployment,) = of_kind(objects, "Deployment")
    pod: dict[str, Any] = deployment["spec"]["template"]
    return pod


def env_of(objects: list[dict[str, Any]]) -> dict[str, str]:
    env = pod_of(objects)["spec"]["containers"][0]["env"]
    return {item["name"]: item["value"] for item in env if "value" in item}


def rules_of(objects: list[dict[str, Any]]) -> list[dict[str, list[str]]]:
    return [rule for role in of_kind(objects, "Role", "ClusterRole") for rule in role["rules"]]


def test_helm_lint_has_no_complaint(helm: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    done = helm("lint", "--strict", str(CHART))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("copy", "written"),
    [("crd", "matchclusters"), ("matchsnapshots", "matchsnapshots"), ("matchrestores", "matchrestores")],
)
def test_the_charts_schemas_are_byte_copies_of_crds(copy: str, written: str) -> None:
    """`make crd` makes it so."""
    assert (CHART / f"files/{copy}.yaml").read_bytes() == (ROOT / f"crds/{written}.yaml").read_bytes()


def test_the_rendered_schemas_say_what_crds_says_and_outlive_the_release(render: Render) -> None:
    rendered = {crd["metadata"]["name"]: crd for crd in of_kind(render(), "CustomResourceDefinition")}
    sources = [yaml.safe_load(path.read_text("utf-8")) for path in (ROOT / "crds").glob("*.yaml")]
    assert set(rendered) == {source["metadata"]["name"] for source in sources}
    for source in sources:
        crd = rendered[source["metadata"]["name"]]
        assert crd["spec"] == source["spec"]
        assert crd["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


def test_the_schema_can_be_left_to_others(render: Render) -> None:
    assert of_kind(render(**{"crds.install": False}), "CustomResourceDefinition") == []


@pytest.mark.parametrize("namespaces", [[], ["photos", "press"]])
def test_the_operator_has_no_wildcard_and_no_right_that_gives_itself_more(
    render: Render, namespaces: list[str]
) -> None:
    rules = rules_of(render(watchNamespaces=namespaces))
    assert rules
    for rule in rules:
        assert set(rule) - {"resourceNames"} == {"apiGroups", "resources", "verbs"}
        assert "*" not in {*rule["apiGroups"], *rule["resources"], *rule["verbs"]}
        assert not {"escalate", "bind", "impersonate", "deletecollection"} & set(rule["verbs"])
        assert not {"pods/exec", "nodes", "roles", "clusterroles"} & set(rule["resources"])


def test_without_namespaces_the_operator_cares_for_all(render: Render) -> None:
    objects = render()
    assert [o["metadata"]["name"] for o in of_kind(objects, "ClusterRole", "ClusterRoleBinding")] == [
        "match-system:match-operator"
    ] * 2
    assert {o["metadata"]["name"] for o in of_kind(objects, "Role", "RoleBinding")} == {LEASE}
    assert env_of(objects)["MATCH_WATCH_NAMESPACES"] == ""


def test_named_namespaces_get_roles_and_nothing_is_cluster_wide(render: Render) -> None:
    objects = render(watchNamespaces=["photos", "press"])
    assert of_kind(objects, "ClusterRole", "ClusterRoleBinding") == []
    for kind in ("Role", "RoleBinding"):
        found = [o["metadata"] for o in of_kind(objects, kind)]
        assert [o["namespace"] for o in found if o["name"] != LEASE] == ["photos", "press"]
    for binding in of_kind(objects, "RoleBinding"):
        (account,) = of_kind(objects, "ServiceAccount")
        assert binding["subjects"] == [
            {"kind": "ServiceAccount", "name": account["metadata"]["name"], "namespace": "match-system"}
        ]
    assert env_of(objects)["MATCH_WATCH_NAMESPACES"] == "photos,press"


def test_both_modes_grant_the_same_rights(render: Render) -> None:
    assert rules_of(render()) == rules_of(render(watchNamespaces=["photos"]))


def test_images_are_set_by_tag_or_digest_and_default_to_the_version(render: Render) -> None:
    version = yaml.safe_load((CHART / "Chart.yaml").read_text("utf-8"))["appVersion"]
    digest = "sha256:" + "0" * 64

    def image(**values: Any) -> str:
        return str(pod_of(render(**values))["spec"]["containers"][0]["image"])

    assert image() == f"ghcr.io/match-operator/match-operator:{version}"
    assert image(image={"repository": "registry:5000/op", "tag": "t"}) == "registry:5000/op:t"
    assert image(image={"repository": "op", "tag": "t", "digest": digest}) == f"op@{digest}"


def test_default_images_reach_the_operator_only_when_given(render: Render) -> None:
    names = {"MATCH_DEFAULT_ELASTICSEARCH_IMAGE", "MATCH_DEFAULT_API_IMAGE"}
    assert not names & set(env_of(render()))
    env = env_of(
        render(
            defaults={"elasticsearchImage": "es:1", "apiImage": "api:1"},
            extraEnv=[{"name": "A", "value": "b"}],
        )
    )
    assert env["MATCH_DEFAULT_ELASTICSEARCH_IMAGE"] == "es:1"
    assert env["MATCH_DEFAULT_API_IMAGE"] == "api:1"
    assert env["A"] == "b"


def test_network_policies_know_the_operator_by_its_label_and_namespace(render: Render) -> None:
    objects = render()
    assert pod_of(objects)["metadata"]["labels"]["match.dev/operator"] == "true"
    assert env_of(objects)["MATCH_OPERATOR_NAMESPACE"] == "match-system"


def test_the_operators_pod_meets_the_restricted_standard(render: Render) -> None:
    spec = pod_of(render())["spec"]
    (container,) = spec["containers"]
    assert spec["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert set(container["resources"]) == {"requests", "limits"}


def test_one_operator_follows_another_without_a_gap_and_holds_a_lease_it_may_have(render: Render) -> None:
    objects = render(replicas=2)
    (deployment,) = of_kind(objects, "Deployment")
    assert deployment["spec"]["replicas"] == 2
    assert deployment["spec"]["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    namespace, _, name = env_of(objects)["MATCH_LEASE"].partition("/")
    (role,) = [r for r in of_kind(objects, "Role") if r["metadata"]["name"] == LEASE]
    assert role["metadata"]["namespace"] == namespace == "match-system"
    assert [r.get("resourceNames") for r in role["rules"]] == [None, [name]]
    env = pod_of(objects)["spec"]["containers"][0]["env"]
    (identity,) = [item["valueFrom"] for item in env if item["name"] == "MATCH_IDENTITY"]
    assert identity == {"fieldRef": {"fieldPath": "metadata.name"}}


def test_several_operators_keep_apart_and_a_drain_takes_one_at_a_time(render: Render) -> None:
    assert of_kind(render(), "PodDisruptionBudget") == []
    assert "affinity" not in pod_of(render())["spec"]
    objects = render(replicas=2)
    labels = pod_of(objects)["metadata"]["labels"]
    (budget,) = of_kind(objects, "PodDisruptionBudget")
    assert budget["spec"]["maxUnavailable"] == 1
    assert budget["spec"]["selector"]["matchLabels"].items() <= labels.items()
    preferred = pod_of(objects)["spec"]["affinity"]["podAntiAffinity"]
    (term,) = preferred["preferredDuringSchedulingIgnoredDuringExecution"]
    assert term["podAffinityTerm"]["labelSelector"]["matchLabels"].items() <= labels.items()
    mine = {"nodeAffinity": {}}
    assert pod_of(render(replicas=2, affinity=mine))["spec"]["affinity"] == mine


def test_the_operators_probes_ask_for_health(render: Render) -> None:
    objects = render()
    container = pod_of(objects)["spec"]["containers"][0]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"health": 8080, "metrics": 8081}
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"] == {"path": "/healthz", "port": "health"}


def test_metrics_get_a_service_on_request(render: Render) -> None:
    assert of_kind(render(), "Service") == []
    objects = render(**{"metrics.service.enabled": True})
    (service,) = of_kind(objects, "Service")
    labels = pod_of(objects)["metadata"]["labels"]
    assert service["spec"]["selector"].items() <= labels.items()
    assert [port["port"] for port in service["spec"]["ports"]] == [8081]


@pytest.mark.parametrize(
    "values",
    [
        {"replicas": -1},
        {"image.name": "x"},
        {"watchNamespaces": "photos"},
        {"log.format": "xml"},
        {"resyncSeconds": 0},
    ],
    ids=str,
)
def test_unknown_and_wrong_values_are_refused(
    template: Callable[..., subprocess.CompletedProcess[str]], values: dict[str, Any]
) -> None:
    done = template(**values)
    assert done.returncode != 0
    assert next(iter(values)).split(".")[0] in done.stderr


def undescribed(schema: dict[str, Any], path: str = "") -> Iterator[str]:
    """Paths of properties without a description and of objects that accept anything by omission."""
    for name, part in schema.get("properties", {}).items():
        here = f"{path}.{name}"
        if not part.get("description"):
            yield here
        yield from undescribed(part, here)


def test_every_value_is_described_and_every_default_is_known_to_the_schema() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text("utf-8"))
    values = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))
    assert list(undescribed(schema)) == []
    assert set(values) == set(schema["properties"]) - {"global"}


def test_monitoring_is_off_until_it_is_asked_for(render: Render) -> None:
    kinds = ("ServiceMonitor", "PrometheusRule", "ConfigMap", "Service")
    assert of_kind(render(), *kinds) == []


def test_a_service_monitor_brings_its_service_and_keeps_the_labels_of_series(render: Render) -> None:
    values = {"enabled": True, "interval": "10s", "labels": {"release": "prometheus"}}
    objects = render(**{"metrics.serviceMonitor": values})
    (service,), (monitor,) = of_kind(objects, "Service"), of_kind(objects, "ServiceMonitor")
    selected = monitor["spec"]["selector"]["matchLabels"]
    assert selected.items() <= service["metadata"]["labels"].items()
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    (endpoint,) = monitor["spec"]["endpoints"]
    assert endpoint == {"port": service["spec"]["ports"][0]["name"], "interval": "10s", "honorLabels": True}


def test_rules_and_dashboard_are_those_of_the_files(render: Render) -> None:
    objects = render(**{"metrics.rules.enabled": True, "metrics.dashboard.enabled": True})
    (rule,), (dashboard,) = of_kind(objects, "PrometheusRule"), of_kind(objects, "ConfigMap")
    assert rule["spec"] == yaml.safe_load((CHART / "files/alerts.yaml").read_text("utf-8"))
    (text,) = dashboard["data"].values()
    assert text == (CHART / "files/dashboard.json").read_text("utf-8")
    assert dashboard["metadata"]["labels"]["grafana_dashboard"] == "1"


def test_the_production_example_is_taken(helm: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    values = str(ROOT / "examples/helm/values-production.yaml")
    target = ("--namespace", "match-system", "--kube-version", KUBERNETES)
    done = helm("template", "match-operator", str(CHART), *target, "-f", values)
    assert done.returncode == 0, done.stderr
    kinds = {item["kind"] for item in yaml.safe_load_all(done.stdout) if item}
    assert {"ServiceMonitor", "PrometheusRule", "ConfigMap", "PodDisruptionBudget"} <= kinds
