"""Story: I change the API while people search, and nobody notices."""

from stories import Namespace, Searcher, picture


def test_a_rollout_of_the_api_fails_not_one_search(photos: Namespace):
    with photos.api("photos") as api:
        api.add("busy.jpg", picture(20))
        with Searcher(api, picture(20), "busy.jpg") as searcher:
            photos.patch("photos", {"api": {"replicas": 3, "allOrientations": False}})
            photos.wait_ready("photos")
            photos.kubectl("scale", "matchcluster", "photos", "--replicas=1")
            photos.wait_ready("photos")
        assert photos.status("photos")["api"]["summary"] == "1/1"
        photos.patch("photos", {"api": {"replicas": 2, "allOrientations": True}})
        photos.wait_ready("photos")
    print(f"\n{searcher.requests} searches during two changes of the API, {len(searcher.failures)} failed")
    assert searcher.failures == []
    assert searcher.requests > 20
