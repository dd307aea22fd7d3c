"""Story: I delete a cluster: all goes but the volumes, and a new one of its name finds the images again."""

import json

from stories import RELEASE, SYSTEM, Namespace, namespace_object, picture, small_nodes, wait

KINDS = "statefulset,deployment,service,configmap,poddisruptionbudget,pod"


def test_a_deleted_cluster_leaves_its_volumes_and_a_new_one_finds_them(stories: Namespace):
    stories.apply("again", small_nodes(1))
    stories.wait_ready("again")
    with stories.api("again") as api:
        api.add("kept.jpg", picture(80))
    stories.kubectl("delete", "matchcluster", "again", "--wait=true")
    selector = ("-l", "match.dev/cluster=again")
    wait(lambda: not stories.get(KINDS, "", *selector)["items"], 120, lambda: stories.kubectl("get", KINDS))
    assert len(stories.get("persistentvolumeclaim", "", *selector)["items"]) == 1
    stories.apply("again", small_nodes(1))
    stories.wait_ready("again")
    with stories.api("again") as api:
        assert api.search(picture(80))[0]["filepath"] == "kept.jpg"
    stories.kubectl("delete", "matchcluster", "again", "--wait=true")


def test_a_namespace_goes_although_the_operator_is_gone(operator, stories: Namespace):
    gone = Namespace(operator, "match-e2e-gone")
    gone.apply("orphan", small_nodes(1))
    wait(lambda: bool(gone.status("orphan")), 30, lambda: "no status")
    deployment = f"deployment/{RELEASE}-match-operator"
    operator.kubectl("-n", SYSTEM, "scale", deployment, "--replicas=0")
    try:
        operator.kubectl("delete", "namespace", gone.name, "--wait=true", "--timeout=120s")
    finally:
        operator.kubectl("apply", "-f", "-", input=json.dumps(namespace_object(gone.name)))
        operator.kubectl("-n", SYSTEM, "scale", deployment, "--replicas=1")
