"""Who may connect to what, as the policies say it: read by a small judge of policies."""

import json

import pytest

import world
from match_operator import names
from match_operator.config import Config

CONFIG = Config(operator_namespace="match-system")
OPERATOR = {names.OPERATOR_LABEL: "true"}
ELSEWHERE = {names.NAMESPACE_LABEL: "elsewhere"}
SYSTEM = {names.NAMESPACE_LABEL: "match-system"}
HERE = {names.NAMESPACE_LABEL: "lab"}


def pods(component):
    return names.labels("photos", component)


def admits(cluster, component, port, pod, namespace):
    """Whether a pod of such labels, in a namespace of such labels, may connect to a component's port."""
    policies = [
        item["spec"]
        for item in world.objects(cluster)
        if item["kind"] == "NetworkPolicy" and matches(item["spec"]["podSelector"], pods(component))
    ]
    return not policies or any(
        {"port": port, "protocol": "TCP"} in rule["ports"]
        and ("from" not in rule or any(is_peer(peer, pod, namespace) for peer in rule["from"]))
        for policy in policies
        for rule in policy["ingress"]
    )


def is_peer(peer, pod, namespace):
    where = peer.get("namespaceSelector", {"matchLabels": HERE})
    return matches(where, namespace) and matches(peer.get("podSelector", {}), pod)


def matches(selector, labels):
    return selector.get("matchLabels", {}).items() <= labels.items()


@pytest.mark.parametrize(
    ("component", "port", "pod", "namespace", "may"),
    [
        ("elasticsearch", 9200, pods("api"), HERE, True),
        ("elasticsearch", 9200, pods("migration"), HERE, True),
        ("elasticsearch", 9200, OPERATOR, SYSTEM, True),
        ("elasticsearch", 9300, pods("elasticsearch"), HERE, True),
        ("api", 8080, {}, ELSEWHERE, True),
        ("api", 8081, {}, ELSEWHERE, False),
        ("api", 8081, {}, HERE, False),
        ("elasticsearch", 9200, OPERATOR, ELSEWHERE, False),
        ("elasticsearch", 9200, {}, HERE, False),
        ("elasticsearch", 9200, pods("api"), ELSEWHERE, False),
        ("elasticsearch", 9200, names.labels("other", "api"), HERE, False),
        ("elasticsearch", 9300, pods("api"), HERE, False),
        ("elasticsearch", 9300, names.labels("other", "elasticsearch"), HERE, False),
        ("elasticsearch", 9300, OPERATOR, SYSTEM, False),
        ("api", 22, {}, HERE, False),
    ],
)
def test_only_what_is_needed_is_admitted(component, port, pod, namespace, may):
    assert admits(world.cluster(config=CONFIG), component, port, pod, namespace) is may


def test_an_operator_that_does_not_know_where_it_runs_is_admitted_from_anywhere():
    assert admits(world.cluster(), "elasticsearch", 9200, OPERATOR, ELSEWHERE)
    assert not admits(world.cluster(), "elasticsearch", 9200, {}, ELSEWHERE)


def test_others_are_admitted_by_name():
    kibana = {"podSelector": {"matchLabels": {"app": "kibana"}}}
    policy = {"elasticsearchFrom": [kibana], "apiFrom": [{"podSelector": {"matchLabels": {"app": "web"}}}]}
    cluster = world.cluster({"networkPolicy": policy})
    assert admits(cluster, "elasticsearch", 9200, {"app": "kibana"}, HERE)
    assert not admits(cluster, "elasticsearch", 9300, {"app": "kibana"}, HERE)
    assert admits(cluster, "api", 8080, {"app": "web"}, HERE)
    assert not admits(cluster, "api", 8080, {"app": "other"}, HERE)


def test_a_cluster_from_before_there_were_policies_gets_none_until_it_is_asked():
    old = json.loads(world.cluster().resolved.annotation)
    del old["networkPolicies"]
    kept = {names.RESOLVED_ANNOTATION: json.dumps(old)}
    assert not world.cluster(annotations=kept).network.enabled
    assert world.cluster({"networkPolicy": {"mode": "Enabled"}}, annotations=kept).network.enabled
