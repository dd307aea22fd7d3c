"""Story: I change a setting of Elasticsearch while people search and add, and nothing is lost."""

from stories import Namespace, Searcher, picture, small_nodes


def test_a_rolling_restart_loses_no_image_and_fails_no_search(photos: Namespace):
    before = {p["metadata"]["uid"] for p in pods(photos)}
    with photos.api("photos") as api:
        api.add("rolling.jpg", picture(70))
        with Searcher(api, picture(70), "rolling.jpg") as searcher:
            nodes = small_nodes(3, config={"indices.breaker.total.limit": "84%"})["elasticsearch"]["nodeSets"]
            photos.patch("photos", {"elasticsearch": {"nodeSets": nodes}})
            photos.wait_ready("photos")
        assert api.search(picture(70))[0]["filepath"] == "rolling.jpg"
    print(f"\n{searcher.requests} searches during a rolling restart, {len(searcher.failures)} failed")
    assert searcher.failures == []
    assert not before & {p["metadata"]["uid"] for p in pods(photos)}


def pods(photos: Namespace) -> list[dict]:
    selector = "match.dev/cluster=photos,app.kubernetes.io/component=elasticsearch"
    return photos.get("pods", "", "-l", selector)["items"]
