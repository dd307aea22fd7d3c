"""Story: I apply a MatchCluster, wait for Ready, and use it."""

from stories import Namespace, picture


def test_a_cluster_becomes_ready_and_finds_what_was_added(photos: Namespace):
    with photos.api("photos") as api:
        api.add("mine/1.jpg", picture(1), metadata='{"album": 7}')
        api.add("mine/2.jpg", picture(2))
        found = api.search(picture(1))
        assert [(m["filepath"], m["score"], m["metadata"]) for m in found] == [
            ("mine/1.jpg", 100.0, {"album": 7})
        ]
        api.delete("mine/2.jpg")
        assert api.search(picture(2)) == []
        assert api.count() == 1


def test_the_status_says_what_there_is(photos: Namespace):
    status = photos.status("photos")
    assert status["elasticsearch"]["health"] == "green"
    assert status["elasticsearch"]["summary"] == "3/3"
    assert status["elasticsearch"]["clusterUUID"]
    assert status["elasticsearch"]["secured"]
    shown = {key: status["api"][key] for key in ("replicas", "readyReplicas", "summary", "keys")}
    assert shown == {"replicas": 2, "readyReplicas": 2, "summary": "2/2", "keys": "photos-api-key"}
    assert "operation" not in status


def test_the_first_masters_are_named_no_longer(photos: Namespace):
    config = photos.get("configmap", "photos-es-default")["data"]["elasticsearch.yml"]
    assert "initial_master_nodes" not in config
