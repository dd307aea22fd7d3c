from datetime import UTC, datetime, timedelta

import jsonschema
import pytest

import world
from match_operator import names, plan, status, unread

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
STATUS_SCHEMA = world.SCHEMA["properties"]["status"]


def make(cluster, seen, now=NOW):
    todo = plan.make(cluster, world.objects(cluster), seen)
    made = status.make(cluster, seen, todo, now)
    jsonschema.validate(made, STATUS_SCHEMA | {"additionalProperties": False})
    return made


def of(spec=None, **metadata):
    kept = world.cluster(spec).resolved.annotation
    return world.cluster(spec, annotations={names.RESOLVED_ANNOTATION: kept}, **metadata)


def condition(made, kind):
    return next(c for c in made["conditions"] if c["type"] == kind)


def verdicts(made):
    return {c["type"]: c["status"] for c in made["conditions"]}


READY = {
    "Ready": "True", "Reconciling": "False", "Stalled": "False",
    "ElasticsearchReady": "True", "IndexReady": "True", "ApiReady": "True",
}  # fmt: skip


def test_a_settled_cluster_is_ready_and_waits_for_nothing():
    made = make(of(), world.seen(of()))
    assert made["phase"] == "Ready"
    assert verdicts(made) == READY
    assert "operation" not in made
    assert made["elasticsearch"]["summary"] == "3/3"
    assert made["index"] == {"documents": 7, "backing": "images-000001", "replicas": 1}


def test_where_the_keys_of_the_api_are_is_told():
    assert make(of(), world.seen(of()))["api"]["keys"] == "photos-api-key"
    opened = of({"api": {"auth": {"mode": "Open"}}})
    assert "keys" not in make(opened, world.seen(opened))["api"]


def test_a_secret_of_the_users_that_is_not_there_is_named():
    asked = of({"api": {"auth": {"secretRef": {"name": "mine"}}}})
    missing = make(asked, world.seen(asked, given={"mine": None}))
    assert condition(missing, "ApiReady")["message"].endswith(
        "; there is no Secret mine with the file keys, which api.auth.secretRef names"
    )
    there = make(asked, world.seen(asked, given={"mine": {"data": {"keys": "YQ=="}}}))
    assert (condition(there, "ApiReady")["status"], there["api"]["keys"]) == ("True", "mine")


def test_a_secret_with_the_issuers_authority_that_is_not_there_is_named():
    issuer = {"issuer": "https://i.example", "audiences": ["a"], "caSecretRef": {"name": "ca"}}
    asked = of({"api": {"auth": {"oidc": issuer}}})
    missing = make(asked, world.seen(asked, given={"ca": None}))
    assert condition(missing, "ApiReady")["message"].endswith(
        "; there is no Secret ca with ca.crt, which api.auth.oidc.caSecretRef names"
    )
    there = make(asked, world.seen(asked, given={"ca": {"data": {"ca.crt": "YQ=="}}}))
    assert condition(there, "ApiReady")["status"] == "True"


def test_a_new_cluster_says_which_pod_it_waits_for_and_why():
    seen = world.seen(of(), elastic=None)
    pod = seen.children["Pod", "photos-es-default-1"]
    pod["status"] = {
        "conditions": [
            {"type": "PodScheduled", "status": "False", "message": "0/1 nodes: insufficient memory"}
        ]
    }
    made = make(of(), seen)
    assert made["phase"] == "Creating"
    assert made["operation"]["waitingFor"] == (
        "2 of 3 Elasticsearch nodes are ready and its health is unknown; pod photos-es-default-1: "
        "it cannot be scheduled: 0/1 nodes: insufficient memory"
    )
    assert condition(made, "Ready")["message"] == made["operation"]["waitingFor"]


def test_a_pod_on_a_lost_kubernetes_node_says_so_and_what_to_do():
    seen = world.seen(of())
    pod = seen.children["Pod", "photos-es-default-1"]
    pod["metadata"]["deletionTimestamp"] = "2026-01-02T03:04:00Z"
    pod["spec"]["nodeName"] = "worker-7"
    pod["status"]["conditions"] = [
        {"type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager"},
        {"type": "Ready", "status": "False"},
    ]
    said = condition(make(of(), seen), "ElasticsearchReady")["message"]
    assert "pod photos-es-default-1: its Kubernetes node worker-7 is lost" in said
    assert "kubectl delete node worker-7" in said


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (
            {"state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}},
            "ImagePullBackOff: no",
        ),
        (
            {
                "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}},
                "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}},
            },
            "CrashLoopBackOff after exit code 137 (OOMKilled): back-off",
        ),
    ],
)
def test_the_kubelets_reason_is_passed_on(state, words):
    seen = world.seen(of())
    seen.children["Pod", "photos-es-default-0"]["status"] = {"containerStatuses": [state]}
    assert words in condition(make(of(), seen), "ElasticsearchReady")["message"]


def test_ready_stays_true_while_a_change_rolls_out():
    before = make(of(), world.seen(of()))
    after = of({"api": {"replicas": 3}}, generation=2)
    seen = world.seen(of(), status=before)
    seen.children["Deployment", "photos-api"]["spec"]["replicas"] = 3
    made = make(after, seen)
    assert (made["phase"], verdicts(made)["Ready"], verdicts(made)["Reconciling"]) == (
        "Updating",
        "True",
        "True",
    )
    assert made["operation"]["waitingFor"] == "2 of 3 API pods are ready, 2 of them of the current version"


def test_a_lost_node_is_degraded_and_not_updating():
    before = make(of(), world.seen(of()))
    seen = world.seen(of(), without=[("Pod", "photos-es-default-0")], status=before,
                      elastic=world.elastic(of(), health="yellow"))  # fmt: skip
    made = make(of(), seen)
    assert (made["phase"], verdicts(made)["Ready"]) == ("Degraded", "True")


def test_a_silent_elasticsearch_is_not_ready():
    before = make(of(), world.seen(of()))
    made = make(of(), world.seen(of(), elastic=None, silence="it does not answer", status=before))
    assert (made["phase"], verdicts(made)["Ready"]) == ("Degraded", "False")
    assert "it does not answer" in condition(made, "Ready")["message"]
    assert made["index"]["documents"] == 7


def test_a_refused_change_stalls_with_the_way_out_and_keeps_serving():
    before = make(of(), world.seen(of()))
    spec = world.node_sets(("default", {"storage": {"size": "1Gi"}}))
    smaller = of(spec, generation=2)
    made = make(smaller, world.seen(of(), status=before))
    assert made["phase"] == "Stalled"
    assert verdicts(made)["Ready"] == "True"
    assert "set storage.size to 20Gi or more" in condition(made, "Stalled")["message"]


def test_leaving_nodes_and_what_is_left_on_them_are_said():
    before = make(of(), world.seen(of()))
    fewer = of(world.node_sets(("default", {"count": 2})), generation=2)
    made = make(fewer, world.seen(of(), status=before))
    assert (made["phase"], verdicts(made)["Ready"]) == ("Updating", "True")
    assert made["elasticsearch"]["leaving"] == ["photos-es-default-2"]
    assert made["elasticsearch"]["summary"] == "2/2"
    full = world.elastic(of(), shards=world.copies(of(), ["photos-es-default-2", "photos-es-default-0"]))
    made = make(fewer, world.seen(of(), status=before, elastic=full))
    assert made["elasticsearch"]["shardsLeft"] == 1
    assert made["operation"]["waitingFor"] == "waiting for 1 shards (1.0 GiB) to leave photos-es-default-2"


def test_clamped_replicas_are_said():
    one = of({"elasticsearch": {"nodeSets": [{"name": "a", "count": 1}]}})
    made = make(one, world.seen(one))
    assert made["phase"] == "Ready"
    assert condition(made, "IndexReady")["reason"] == "ReplicasClamped"


def test_transition_times_move_only_with_the_status():
    before = make(of(), world.seen(of()))
    later = make(of(), world.seen(of(), status=before), NOW + timedelta(hours=1))
    assert later == before
    silent = make(of(), world.seen(of(), elastic=None, status=before), NOW + timedelta(hours=1))
    assert condition(silent, "Ready")["lastTransitionTime"] == "2026-01-02T04:04:05Z"
    assert condition(silent, "Stalled")["lastTransitionTime"] == "2026-01-02T03:04:05Z"


def test_an_invalid_spec_says_so_and_leaves_the_rest_of_the_status():
    before = make(of(), world.seen(of()))
    body = world.body(generation=2) | {"status": before}
    made = unread.make(body, plan.Problem("InvalidSpec", "x must be y"), world.seen(of()), "green", NOW)
    jsonschema.validate(made, STATUS_SCHEMA)
    assert made["phase"] == "Invalid"
    assert made["observedGeneration"] == 2
    assert verdicts(made) == READY | {"Stalled": "True"}
    assert condition(made, "Stalled")["message"] == "x must be y"
    assert made["elasticsearch"] == before["elasticsearch"]
    assert made["index"] == before["index"]


def test_a_paused_cluster_says_so():
    assert make(of({"paused": True}), world.seen(of()))["phase"] == "Paused"


def test_a_count_alone_is_written_only_when_due():
    before = make(of(), world.seen(of()))
    counted = make(of(), world.seen(of(), elastic=world.elastic(of(), documents=8), status=before))
    assert not status.differs(counted, before, count_is_due=False)
    assert status.differs(counted, before, count_is_due=True)
    assert not status.differs(before, before, count_is_due=True)


def test_a_health_that_is_not_green_says_why():
    seen = world.seen(
        of(), elastic=world.elastic(of(), health="yellow", unassigned="node a does not take it: disk full")
    )
    told = make(of(), seen)
    message = next(c["message"] for c in told["conditions"] if c["type"] == "ElasticsearchReady")
    assert message.endswith("its health is yellow; node a does not take it: disk full")
