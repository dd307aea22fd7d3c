"""TinEye MatchEngine's API as its public clients speak it, byte by byte what they send and expect."""

from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from PIL import ImageOps

import elastic
from labcluster.elasticsearch import shared_node
from match_service.keys import new
from pictures import encode, jpeg, picture
from serving import Server, server
from website import website

STORES = ["embedded", pytest.param("elasticsearch", marks=pytest.mark.elastic)]


@pytest.fixture(scope="module", params=STORES)
def service(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    settings = {"MATCH_TINEYE_REST": "true", "MATCH_FETCH_PRIVATE_HOSTS": "localhost"}
    if request.param == "elasticsearch":
        settings |= elastic.settings(shared_node())
    with server(tmp_path_factory.mktemp("service"), **settings) as running:
        yield running


@pytest.fixture(autouse=True)
def _empty(service: Server) -> None:
    """Each test begins with nothing stored, by the client's own means."""
    filepaths = get(service, "list", limit=0)["result"]
    if filepaths:
        get(service, "delete", **{f"filepaths[{n}]": path for n, path in enumerate(filepaths)})


def get(service: Server, method: str, prefix: str = "", **params: Any) -> Any:
    """As tineyeservices_python asks where there is no file: everything in the query string."""
    answer = service.send("GET", f"{prefix}/rest/{method}/?{urlencode(params)}")
    assert answer.status == 200
    return answer.json


def post(service: Server, method: str, files: dict[str, bytes], **params: Any) -> Any:
    """As it asks with files: multipart beside parameters in the query string."""
    answer = service.form("POST", f"/rest/{method}/?{urlencode(params)}", {}, files)
    assert answer.status == 200
    return answer.json


def envelope(method: str, *result: Any, status: str = "ok", error: tuple[str, ...] = ()) -> dict[str, Any]:
    return {"status": status, "error": list(error), "method": method, "result": list(result)}


def mirrored() -> bytes:
    return encode(ImageOps.mirror(picture(1)), "PNG")


def test_images_are_added_by_upload_with_names_beside_them_or_their_own(service: Server) -> None:
    names = {"filepaths[0]": "folder/1.jpg"}
    added = post(service, "add", {"images[0]": jpeg(1), "images[1]": jpeg(2)}, **names)
    assert added == envelope("add")
    assert get(service, "list", offset=0, limit=20)["result"] == ["folder/1.jpg", "images[1].bin"]
    assert get(service, "count") == envelope("count", 2)


def test_images_are_added_by_url_with_a_get(service: Server) -> None:
    with website(lambda name: jpeg(int(name))) as site:
        params = {"urls[0]": f"{site}/1", "filepaths[0]": "1", "urls[1]": f"{site}/x", "filepaths[1]": "x"}
        added = get(service, "add", **params)
        assert (added["status"], added["result"]) == ("warn", [])
        assert added["error"][0].startswith("x: The URL's server")
        failed = get(service, "search", url=f"{site}/x")
        assert (failed["status"], failed["result"], len(failed["error"])) == ("fail", [], 1)
    assert get(service, "list")["result"] == ["1"]


def test_a_search_gives_the_image_itself_as_well(service: Server) -> None:
    post(service, "add", {"images[0]": jpeg(1)}, **{"filepaths[0]": "a"})
    row = {"filepath": "a", "score": 100.0, "overlay": ""}
    usual = {"min_score": 0, "offset": 0, "limit": 10, "check_horizontal_flip": False}
    assert post(service, "search", {"image": jpeg(1)}, **usual) == envelope("search", row)
    assert get(service, "search", filepath="a", **usual) == envelope("search", row)
    form = service.form("POST", "/ann/rest/search/", {"filepath": "a", "limit": "0"})
    assert form.json == envelope("search", row)
    assert get(service, "search", filepath="a", **{**usual, "offset": 1}) == envelope("search")
    assert post(service, "search", {"image": jpeg(2)}, **usual) == envelope("search")


def test_a_mirrored_image_is_found_where_that_is_asked_for(service: Server) -> None:
    post(service, "add", {"images[0]": jpeg(1)}, **{"filepaths[0]": "a"})
    assert post(service, "search", {"image": mirrored()})["result"] == []
    (row,) = post(service, "search", {"image": mirrored()}, check_horizontal_flip=True)["result"]
    assert row["score"] > 90
    assert (
        post(service, "search", {"image": mirrored()}, check_horizontal_flip=True, min_score=100)["result"]
        == []
    )


def test_images_that_do_not_match_compare_to_nothing(service: Server) -> None:
    pair = {"image1": jpeg(1), "image2": mirrored()}
    assert post(service, "compare", pair, check_horizontal_flip=False) == envelope("compare")
    (row,) = post(service, "compare", pair, check_horizontal_flip=True)["result"]
    assert row["score"] > 90
    assert post(service, "compare", pair, check_horizontal_flip=True, min_score=100)["result"] == []
    same = {"image1": jpeg(1), "image2": jpeg(1)}
    assert post(service, "compare", same, min_score=100)["result"] == [{"score": 100.0}]


def test_what_is_not_there_to_delete_is_told(service: Server) -> None:
    post(service, "add", {"images[0]": jpeg(1)}, **{"filepaths[0]": "a"})
    params = {"filepaths[0]": "a", "filepaths[1]": "b"}
    error = ("b: Failed to remove from index.",)
    assert get(service, "delete", **params) == envelope("delete", status="warn", error=error)
    assert get(service, "delete", **{"filepaths[0]": "b"})["status"] == "fail"


def test_a_refusal_is_a_200_that_says_fail(service: Server) -> None:
    for method, sentence in (
        ("add", "images[0] or urls[0] is required."),
        ("delete", "filepaths[0] is required."),
        ("search", "url or image is required."),
        ("compare", "url1 or image1 is required."),
    ):
        assert get(service, method) == envelope(method, status="fail", error=(sentence,))
    assert get(service, "ping", prefix="/ann") == envelope("ping")
    assert service.send("GET", "/rest/nothing/").status == 404


def test_it_is_not_there_unless_it_is_asked_for(tmp_path: Path) -> None:
    with server(tmp_path) as running:
        assert running.send("GET", "/rest/ping/").status == 404


def test_keys_are_asked_for_as_by_matchengine(tmp_path: Path) -> None:
    reader, line = new("ann", "read")
    (tmp_path / "keys").write_text(line)
    settings = {"MATCH_TINEYE_REST": "1", "MATCH_API_KEYS_FILE": str(tmp_path / "keys")}
    with server(tmp_path, **settings) as running:
        basic = {"Authorization": "Basic " + b64encode(f"ann:{reader}".encode()).decode()}
        assert running.send("GET", "/ann/rest/count/", **basic).json == envelope("count", 0)
        assert running.send("GET", "/ann/rest/delete/?filepaths[0]=a", **basic).status == 403
        assert running.send("GET", "/rest/count/").status == 401


def test_a_web_page_of_somebody_else_may_not_change_anything(service: Server) -> None:
    answer = service.send("GET", "/rest/delete/?filepaths[0]=a", Sec_Fetch_Site="cross-site")
    assert answer.status == 403
