import copy
import hashlib
import json

import pytest
import yaml

import world
from match_operator import names
from match_operator.config import Config
from match_operator.errors import InvalidSpecError


def of_kind(items, kind):
    return [item for item in items if item["kind"] == kind]


def test_everything_of_a_minimal_cluster_is_built_in_order():
    built = [(i["kind"], i["metadata"]["name"]) for i in world.objects(world.cluster())]
    assert built == [
        ("NetworkPolicy", "photos-api"),
        ("NetworkPolicy", "photos-es"),
        ("ConfigMap", "photos-es-default"),
        ("Service", "photos-es-nodes"),
        ("Service", "photos-es-http"),
        ("StatefulSet", "photos-es-default"),
        ("PodDisruptionBudget", "photos-es"),
        ("Service", "photos-api"),
        ("Deployment", "photos-api"),
        ("PodDisruptionBudget", "photos-api"),
    ]


def test_building_twice_gives_the_same_and_changes_nothing():
    cluster = world.cluster()
    first = copy.deepcopy(world.objects(cluster))
    assert world.objects(cluster) == first


def test_every_object_is_owned_labelled_and_fingerprinted():
    for item in world.objects(world.cluster()):
        metadata = item["metadata"]
        assert metadata["ownerReferences"][0]["uid"] == world.UID
        assert metadata["labels"][names.CLUSTER_LABEL] == "photos"
        assert len(metadata["annotations"][names.APPLIED_ANNOTATION]) == 16


def test_only_an_unformed_cluster_names_its_first_masters():
    cluster = world.cluster()

    def settings(formed):
        config = of_kind(world.objects(cluster, formed=formed), "ConfigMap")[0]
        return yaml.safe_load(config["data"][names.CONFIG_KEY])

    assert settings(False)["cluster.initial_master_nodes"] == [f"photos-es-default-{i}" for i in range(3)]
    assert "cluster.initial_master_nodes" not in settings(True)


def test_forming_does_not_change_the_pods():
    def template(formed):
        return of_kind(world.objects(world.cluster(), formed=formed), "StatefulSet")[0]["spec"]["template"]

    assert template(True) == template(False)


def test_a_changed_setting_changes_the_pods():
    def template(config):
        nodes = {"elasticsearch": {"nodeSets": [{"name": "default", "config": config}]}}
        return of_kind(world.objects(world.cluster(nodes)), "StatefulSet")[0]["spec"]["template"]

    assert template({}) != template({"indices.breaker.total.limit": "80%"})


def test_pods_meet_the_restricted_pod_security_standard():
    for item in world.objects(world.cluster()):
        if item["kind"] not in ("StatefulSet", "Deployment"):
            continue
        spec = item["spec"]["template"]["spec"]
        assert spec["securityContext"]["runAsNonRoot"]
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not spec["automountServiceAccountToken"]
        for container in spec["containers"]:
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            assert container["securityContext"]["allowPrivilegeEscalation"] is False


def test_a_pod_template_adds_without_replacing():
    template = {"spec": {"nodeSelector": {"disk": "ssd"}, "containers": [{"name": "api", "tty": True}]}}
    deployment = of_kind(world.objects(world.cluster({"api": {"podTemplate": template}})), "Deployment")[0]
    spec = deployment["spec"]["template"]["spec"]
    assert spec["nodeSelector"] == {"disk": "ssd"}
    assert spec["containers"][0]["tty"]
    assert spec["containers"][0]["image"] == "match-service:1"


@pytest.mark.parametrize("containers", [{"name": "x"}, ["x"], [{"image": "nameless"}]])
def test_a_malformed_pod_template_is_a_sentence(containers):
    with pytest.raises(InvalidSpecError, match=r"api\.podTemplate\.spec\.containers must be a list"):
        world.objects(world.cluster({"api": {"podTemplate": {"spec": {"containers": containers}}}}))


def test_an_autoscaler_drives_the_matchcluster_itself():
    cluster = world.cluster({"api": {"autoscaling": {"max": 5}}})
    scaler = of_kind(world.objects(cluster), "HorizontalPodAutoscaler")[0]["spec"]
    assert scaler["scaleTargetRef"] == {
        "apiVersion": "match.dev/v1alpha1",
        "kind": "MatchCluster",
        "name": "photos",
    }
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (2, 5)


def test_budgets_let_a_drain_take_one_pod_and_any_broken_one():
    for budget in of_kind(world.objects(world.cluster()), "PodDisruptionBudget"):
        assert budget["spec"]["maxUnavailable"] == 1
        assert budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


def test_all_nodes_start_together_and_find_one_another_before_any_is_ready():
    """Else a cluster that lost all its nodes would wait for a quorum that waits for it."""
    objects = world.objects(world.cluster())
    (node_set,) = of_kind(objects, "StatefulSet")
    assert node_set["spec"]["podManagementPolicy"] == "Parallel"
    by_name = {i["metadata"]["name"]: i["spec"] for i in of_kind(objects, "Service")}
    assert by_name[node_set["spec"]["serviceName"]]["publishNotReadyAddresses"]
    (container,) = node_set["spec"]["template"]["spec"]["containers"]
    assert set(container["readinessProbe"]) == {"tcpSocket", "periodSeconds", "failureThreshold"}


def test_nothing_that_is_made_can_hang_a_deletion():
    for item in world.objects(world.cluster({"api": {"autoscaling": {"max": 5}}})):
        assert "finalizers" not in item["metadata"]
        assert "blockOwnerDeletion" not in item["metadata"]["ownerReferences"][0]


def pod_templates(cluster):
    return {
        i["metadata"]["name"]: i["spec"]["template"]
        for i in world.objects(cluster)
        if i["kind"] in ("StatefulSet", "Deployment")
    }


@pytest.mark.parametrize(
    "newer",
    [
        Config(elasticsearch_version="9.9.9", elasticsearch_image="other:{version}", api_image="other:2"),
        Config(watch_namespaces=("a",), resync_seconds=5, workers=1, log_format="json"),
    ],
    ids=["other defaults", "other settings"],
)
def test_another_operator_restarts_nothing(newer):
    kept = {names.RESOLVED_ANNOTATION: world.cluster().resolved.annotation}
    assert pod_templates(world.cluster(config=newer, annotations=kept)) == pod_templates(world.cluster())


PROBES = "apiImageWithoutHealthPort"


def from_before(*unknown):
    """A cluster that was last looked at by an operator which did not keep ``unknown`` with it."""
    kept = json.loads(world.cluster().resolved.annotation)
    old = json.dumps({key: value for key, value in kept.items() if key not in unknown})
    return world.cluster(annotations={names.RESOLVED_ANNOTATION: old})


@pytest.mark.parametrize(
    ("cluster", "digest"),
    [
        (from_before("apiAuth", "security", "nodeAwareness", PROBES, "keepalive"), "b3297d22fe8c5547"),
        (from_before("nodeAwareness", PROBES, "keepalive"), "e53a96b4d41e0288"),
        (from_before("keepalive"), "2e3ec83bc9e9b593"),
        (from_before(), "ebd339197b77d53c"),
    ],
    ids=["before there were keys", "before there was node awareness", "before there was keepalive", "now"],
)
def test_pods_are_made_as_every_operator_before_made_them(cluster, digest):
    """A new digest here means that the release restarts every cluster there is: say so in CHANGELOG.md."""
    text = json.dumps(pod_templates(cluster), sort_keys=True)
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == digest


def test_a_cluster_from_before_there_were_keys_stays_open_until_it_is_asked_for_them():
    assert from_before("apiAuth").api.auth.mode == "Open"
    asked = world.cluster(
        {"api": {"auth": {"mode": "Generated"}}},
        annotations={names.RESOLVED_ANNOTATION: from_before("apiAuth").resolved.annotation},
    )
    assert asked.api.auth.mode == "Generated"


def test_an_api_image_from_before_is_probed_where_it_answers_until_another_follows():
    """Chosen by an older operator and kept, it knows of no port for probes and would never become ready."""
    kept = {names.RESOLVED_ANNOTATION: from_before(PROBES).resolved.annotation}

    def probed(cluster):
        [container] = pod_templates(cluster)["photos-api"]["spec"]["containers"]
        told = any(each["name"] == "MATCH_HEALTH_PORT" for each in container["env"])
        return container["livenessProbe"]["httpGet"]["port"], told

    assert probed(from_before(PROBES)) == probed(world.cluster(annotations=kept)) == ("http", False)
    newer = world.cluster({"api": {"image": "match-service:2"}}, annotations=kept)
    assert probed(newer) == probed(world.cluster()) == ("health", True)


def test_keys_of_the_users_own_are_mounted_from_where_they_are():
    cluster = world.cluster({"api": {"auth": {"secretRef": {"name": "mine", "key": "file"}}}})
    spec = pod_templates(cluster)["photos-api"]["spec"]
    (volume,) = [v for v in spec["volumes"] if v["name"] == "keys"]
    assert volume["secret"] == {"secretName": "mine", "items": [{"key": "file", "path": "keys"}]}
    assert cluster.given_secrets == ("mine",)


def test_a_short_silence_of_elasticsearch_takes_no_api_pod_out_of_service():
    """They would all go at once, and whoever asks would find nobody."""
    [container] = pod_templates(world.cluster())["photos-api"]["spec"]["containers"]
    probe = container["readinessProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] >= 30


def test_an_overloaded_api_pod_is_given_two_minutes_before_it_is_restarted():
    """A restart resets its connections and leaves its share of the load to the others."""
    [container] = pod_templates(world.cluster())["photos-api"]["spec"]["containers"]
    probe = container["livenessProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] >= 120


def test_the_kubelet_asks_on_a_port_that_no_client_can_reach():
    """In the queue of the clients it would find a busy pod dead."""
    [container] = pod_templates(world.cluster())["photos-api"]["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    env = {each["name"]: each["value"] for each in container["env"]}
    assert env["MATCH_HEALTH_PORT"] == str(ports["health"]) != env["PORT"]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"]["port"] == "health"
    services = of_kind(world.objects(world.cluster()), "Service")
    assert not [s for s in services for port in s["spec"]["ports"] if port["targetPort"] == "health"]


def test_a_restart_that_was_asked_for_changes_only_the_pods_it_means():
    before = pod_templates(world.cluster())
    for annotation, meant in (
        (names.RESTART_ELASTICSEARCH_ANNOTATION, "photos-es-default"),
        (names.RESTART_API_ANNOTATION, "photos-api"),
    ):
        after = pod_templates(world.cluster(annotations={annotation: "2026-01-01"}))
        assert [name for name in after if after[name] != before[name]] == [meant]


def test_a_restart_stays_done_when_the_annotation_that_asked_goes():
    asked = world.cluster(annotations={names.RESTART_API_ANNOTATION: "now"})
    kept = {names.RESOLVED_ANNOTATION: asked.resolved.annotation}
    assert pod_templates(world.cluster(annotations=kept)) == pod_templates(asked)
    again = world.cluster(annotations=kept | {names.RESTART_API_ANNOTATION: "later"})
    assert pod_templates(again) != pod_templates(asked)


def test_node_sets_in_zones_keep_copies_of_a_shard_apart():
    zones = world.node_sets(*((z, {"count": 1, "zone": f"eu-{z}"}) for z in "abc"))
    objects = world.objects(world.cluster(zones))
    for zone, config in zip("abc", of_kind(objects, "ConfigMap"), strict=True):
        settings = yaml.safe_load(config["data"][names.CONFIG_KEY])
        assert settings["node.attr.zone"] == f"eu-{zone}"
        assert settings["cluster.routing.allocation.awareness.attributes"] == "zone"
    for zone, node_set in zip("abc", of_kind(objects, "StatefulSet"), strict=True):
        selector = node_set["spec"]["template"]["spec"]["nodeSelector"]
        assert selector == {"topology.kubernetes.io/zone": f"eu-{zone}"}
