"""Story: somebody deletes or edits a child by hand, and it comes back as it was."""

import json

import pytest

from stories import Namespace, picture, wait

CHILDREN = (
    ("service", "photos-api"),
    ("service", "photos-es-http"),
    ("configmap", "photos-es-default"),
    ("poddisruptionbudget", "photos-es"),
    ("deployment", "photos-api"),
)


@pytest.mark.parametrize(("kind", "name"), CHILDREN)
def test_a_deleted_child_is_restored(photos: Namespace, kind: str, name: str):
    before = photos.get(kind, name)["metadata"]["uid"]
    photos.kubectl("delete", kind, name, "--wait=true")
    wait(lambda: restored(photos, kind, name, before), 30, lambda: photos.kubectl("get", kind))
    photos.wait_ready("photos")


def restored(photos: Namespace, kind: str, name: str, before: str) -> bool:
    there = [i for i in photos.get(kind)["items"] if i["metadata"]["name"] == name]
    return bool(there) and there[0]["metadata"]["uid"] != before


def test_a_hand_edit_is_undone(photos: Namespace):
    edit = {
        "spec": {
            "template": {"spec": {"containers": [{"name": "api", "env": [{"name": "PORT", "value": "1"}]}]}}
        }
    }
    photos.kubectl("patch", "deployment", "photos-api", "-p", json.dumps(edit))
    wait(lambda: port(photos) == "8080", 30, lambda: port(photos))
    photos.wait_ready("photos")


def port(photos: Namespace) -> str:
    container = photos.get("deployment", "photos-api")["spec"]["template"]["spec"]["containers"][0]
    return next(e["value"] for e in container["env"] if e["name"] == "PORT")


def test_a_deleted_node_comes_back_with_its_data(photos: Namespace):
    with photos.api("photos") as api:
        api.add("survivor.jpg", picture(30))
        photos.kubectl("delete", "pod", "photos-es-default-1", "--wait=true")
        photos.wait_ready("photos")
        assert api.search(picture(30))[0]["filepath"] == "survivor.jpg"
