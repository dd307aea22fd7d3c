"""Story: the API asks for a key; I replace it by deleting a Secret, and no request fails."""

import requests

from stories import Api, Namespace, Searcher, picture, wait


def refused(url: str, key: str) -> bool:
    return requests.get(f"{url}/count", headers={"X-Api-Key": key}, timeout=10).status_code == 401


def test_nobody_without_a_key_is_let_in_and_each_key_may_what_its_scope_says(photos: Namespace):
    with photos.api("photos") as api:
        api.add("keys.jpg", picture(110))
        assert refused(api.url, "")
        assert refused(api.url, "match_guessed")
        reader = Api(api.url, photos.key("photos", "read"))
        assert reader.search(picture(110))[0]["filepath"] == "keys.jpg"
        answer = requests.delete(
            f"{api.url}/delete", data={"filepath": "keys.jpg"}, headers={"X-Api-Key": reader.key}, timeout=10
        )
        assert answer.status_code == 403


def test_a_key_is_replaced_by_deleting_its_secret_and_no_request_fails(photos: Namespace):
    pods = set(photos.pods("photos", "api"))
    with photos.api("photos") as api:
        api.add("keys.jpg", picture(110))
        with Searcher(api, picture(110), "keys.jpg") as old:
            photos.kubectl("delete", "secret", "photos-api-key")
            wait(lambda: bool(photos.get("secret", "", "photos-api-key", "--ignore-not-found")), 30, str)
            renewed = photos.key("photos")
            assert renewed != api.key
            with Searcher(Api(api.url, renewed), picture(110), "keys.jpg") as new:
                wait(lambda: new.requests > 60, 120, lambda: str(new.requests))
    print(f"\n{old.requests} searches with the old key and {new.requests} with the new one")
    assert (old.failures, new.failures) == ([], [])
    assert set(photos.pods("photos", "api")) == pods, "nothing was restarted"
