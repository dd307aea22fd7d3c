"""Story: whatever I change and whatever breaks, people go on searching and adding, and no image is lost."""

import os
import time

import pytest

from door import Door
from reliability import FAULT, Limit
from stories import Namespace, kill_operator, wait
from traffic import NOTHING, measured

pytestmark = pytest.mark.skipif(
    "RELIABILITY" not in os.environ, reason="minutes long: `make reliability` tells it"
)
NAME = "photos"
LOST_SECONDS = 100
"""Kubernetes calls a node lost after 50 s and gives its pods up after 30 more."""
UNREACHABLE_SECONDS = 60


@pytest.fixture(autouse=True)
def _settled(photos: Namespace) -> None:
    photos.wait_ready(NAME)


def uids(photos: Namespace, component: str) -> dict[str, str]:
    return {name: pod["metadata"]["uid"] for name, pod in photos.pods(NAME, component).items()}


def ready(photos: Namespace, component: str) -> set[str]:
    """UIDs of the pods that are ready and stay."""
    return {
        pod["metadata"]["uid"]
        for pod in photos.pods(NAME, component).values()
        if not pod["metadata"].get("deletionTimestamp")
        and any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", []))
    }


def kill(photos: Namespace, component: str, *names: str) -> None:
    """End pods at once, and wait until others are ready in their place and all is as asked."""
    before = uids(photos, component)
    photos.kill(*names)
    gone = {before[name] for name in names}
    wait(
        lambda: len(ready(photos, component) - gone) == len(before),
        180,
        lambda: photos.kubectl("get", "pods", "-o", "wide"),
    )
    photos.wait_ready(NAME)


def test_an_elasticsearch_pod_is_killed(photos: Namespace):
    with measured(photos, NAME, "an Elasticsearch pod killed", FAULT) as seen:
        kill(photos, "elasticsearch", elected(seen.elasticsearch))
    assert seen.told() == NOTHING


def elected(elasticsearch: Door) -> str:
    """The node whose loss costs most: the elected master."""
    (found,) = elasticsearch.ask("/_cat/master", h="node", format="json")
    return str(found["node"])


def test_an_api_pod_is_killed(photos: Namespace):
    with measured(photos, NAME, "an API pod killed", FAULT):
        kill(photos, "api", min(uids(photos, "api")))


def test_every_api_pod_is_killed(photos: Namespace):
    with measured(photos, NAME, "every API pod killed", FAULT):
        kill(photos, "api", *uids(photos, "api"))


def test_resources_change(photos: Namespace):
    resources = {"requests": {"cpu": "60m", "memory": "1Gi"}, "limits": {"memory": "1Gi"}}
    before = uids(photos, "elasticsearch")
    with measured(photos, NAME, "resources of the nodes changed") as seen:
        photos.change_nodes(NAME, resources=resources)
        photos.wait_ready(NAME)
    assert not set(before.values()) & set(uids(photos, "elasticsearch").values())
    assert seen.told() == NOTHING


def test_the_operator_is_killed_at_each_step_of_a_change(photos: Namespace):
    before, kills = uids(photos, "elasticsearch"), 0
    with measured(photos, NAME, "a setting changed, the operator killed at each step") as seen:
        known = photos.steps(NAME)
        photos.change_nodes(NAME, config={"indices.breaker.total.limit": "82%"})

        def settled() -> bool:
            nonlocal known, kills
            now = photos.steps(NAME)
            if now - known:
                kill_operator(photos.lab)
                kills += 1
            known |= now
            status = photos.get("matchcluster", NAME)
            return (
                status["status"]["phase"] == "Ready"
                and status["status"]["observedGeneration"] == status["metadata"]["generation"]
            )

        wait(settled, 600, lambda: str(photos.status(NAME)))
    print(f"the operator was killed {kills} times")
    assert kills >= len(before)
    assert not set(before.values()) & set(uids(photos, "elasticsearch").values())
    assert seen.told() == NOTHING


def test_volumes_grow(photos: Namespace):
    before = uids(photos, "elasticsearch")
    with measured(photos, NAME, "volumes grown") as seen:
        photos.change_nodes(NAME, storage={"size": "2Gi"})
        photos.wait_ready(NAME)
    claims = photos.get("pvc", "", "-l", f"match.dev/cluster={NAME}")["items"]
    assert {claim["status"]["capacity"]["storage"] for claim in claims} == {"2Gi"}
    assert uids(photos, "elasticsearch") == before
    assert seen.told() == NOTHING


def test_a_node_is_lost_and_comes_back(photos: Namespace):
    if not photos.lab.local:
        pytest.skip("the nodes of a cluster of your own are yours")
    with measured(photos, NAME, "a Kubernetes node lost and back", FAULT) as seen:
        pods = photos.pods(NAME, "elasticsearch")
        lost = pods[elected(seen.elasticsearch)]["spec"]["nodeName"]
        photos.lab.lose_node(lost)
        try:
            time.sleep(LOST_SECONDS)  # the quantity is the time for which it is away
            print(f"\n{lost} is away: {photos.status(NAME).get('operation', 'not noticed yet')}")
        finally:
            photos.lab.restore_node(lost)
        wait(
            lambda: len(ready(photos, "elasticsearch")) == len(pods) and len(ready(photos, "api")) == 2,
            180,
            lambda: photos.kubectl("get", "pods", "-o", "wide"),
        )
        photos.wait_ready(NAME)
    assert seen.told() == NOTHING


def test_elasticsearch_is_unreachable_for_a_minute(photos: Namespace):
    if not photos.lab.local:
        pytest.skip("the network of a cluster of your own is yours")
    before = uids(photos, "elasticsearch") | uids(photos, "api")
    limit = Limit(fails=True, gap=UNREACHABLE_SECONDS + 10)
    with measured(photos, NAME, "Elasticsearch unreachable for a minute", limit) as seen:
        with photos.lab.cut(9200):
            time.sleep(UNREACHABLE_SECONDS)  # the quantity is the time for which it is away
        wait(lambda: len(ready(photos, "api")) == 2, 60, lambda: photos.kubectl("get", "pods"))
        photos.wait_ready(NAME)
    assert seen.failures, "nothing was cut off"
    assert uids(photos, "elasticsearch") | uids(photos, "api") == before, "an outage restarts nothing"
    assert seen.told() == NOTHING
