"""Who may do what with the real server: keys, scopes, rates, request ids, and what the log holds."""

import json
import re
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from match_service.keys import new
from pictures import jpeg
from serving import Answer, Server, server

SCOPES = ("read", "write", "admin")
TOKENS = {scope: new(scope, scope) for scope in SCOPES}
SLOW, SLOW_LINE = new("slow", "read")


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "keys"
    path.write_text("\n".join([line for _, line in TOKENS.values()] + [f"{SLOW_LINE}:3/hour"]))
    return path


@pytest.fixture(scope="module")
def service(keys: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("service")
    with server(folder, MATCH_API_KEYS_FILE=str(keys), MATCH_HOST="127.0.0.1", MATCH_AUTH="open") as running:
        yield running


def basic(user: str, password: str) -> str:
    return "Basic " + b64encode(f"{user}:{password}".encode()).decode()


def bearer(token: str) -> str:
    return f"Bearer {token}"


def test_the_probes_need_no_key(service: Server) -> None:
    assert [service.send("GET", f"/{path}").status for path in ("livez", "readyz", "ping")] == [200] * 3


@pytest.mark.parametrize(
    "header",
    [
        {"Authorization": bearer(TOKENS["read"][0])},
        {"Authorization": f"bearer  {TOKENS['read'][0]}"},
        {"X_Api_Key": TOKENS["read"][0]},
        {"Authorization": basic("read", TOKENS["read"][0])},
        {"Authorization": basic("", TOKENS["read"][0])},
    ],
)
def test_a_key_may_be_brought_in_each_of_the_usual_ways(service: Server, header: dict[str, str]) -> None:
    assert service.send("GET", "/count", **header).status == 200


@pytest.mark.parametrize(
    "header",
    [
        {},
        {"Authorization": bearer("")},
        {"Authorization": bearer("wrong")},
        {"Authorization": TOKENS["read"][0]},
        {"Authorization": "Digest x"},
        {"Authorization": "Basic !!"},
        {"Authorization": "Basic /////w=="},
        {"Authorization": "Basic \u00e9"},
        {"Authorization": basic("write", TOKENS["read"][0])},
        {"Authorization": basic(TOKENS["read"][0], "")},
        {"X_Api_Key": TOKENS["read"][1]},
    ],
)
def test_without_a_key_that_is_known_nothing_is_answered(service: Server, header: dict[str, str]) -> None:
    for method, path in (("GET", "/count"), ("POST", "/add"), ("POST", "/search"), ("GET", "/list")):
        answer = service.send(method, path, **header)
        assert answer.status == 401
        assert answer.error.startswith(("An API key is required", "The API key is not known."))
        assert answer.json["method"] == path[1:]
        assert "Bearer" in answer.headers["WWW-Authenticate"]


CROSS = {"Sec_Fetch_Site": "cross-site", "Origin": "https://evil.example"}
FOREIGN = [
    CROSS,
    {"Sec_Fetch_Site": "same-site", "Origin": "https://evil.match.example"},
    {"Origin": "https://evil.example"},
    {"Origin": "http://match.example:1", "Host": "match.example"},
    {"Origin": "null"},
]


class TestAPasswordThatABrowserRemembers:
    """It is sent by the browser with the forms and pictures of any page."""

    @pytest.mark.parametrize("headers", FOREIGN)
    def test_is_of_no_use_to_a_page_of_another_origin(self, service: Server, headers: dict[str, str]) -> None:
        known = {"Authorization": basic("write", TOKENS["write"][0])}
        for method, path in (("DELETE", "/delete?filepath=a"), ("POST", "/add"), ("POST", "/count")):
            answer = service.send(method, path, **known, **headers)
            assert (answer.status, "web pages of other origins" in answer.error) == (403, True)
        assert service.send("GET", "/count", **known, **headers).status == 200

    @pytest.mark.parametrize(
        "headers",
        [
            {},
            {"Sec_Fetch_Site": "same-origin", "Origin": "https://match.example", "Host": "inner:8888"},
            {"Sec_Fetch_Site": "none"},
            {"Origin": "https://Match.example", "Host": "match.example"},
            {"Origin": "http://match.example:8888", "Host": "match.example:8888"},
        ],
    )
    def test_is_good_for_the_page_and_for_programs(self, service: Server, headers: dict[str, str]) -> None:
        known = {"Authorization": basic("write", TOKENS["write"][0])}
        assert service.send("DELETE", "/delete?filepath=a", **known, **headers).status == 200

    def test_is_told_from_a_key_that_a_program_sends(self, service: Server) -> None:
        key = TOKENS["write"][0]
        for known in ({"Authorization": bearer(key)}, {"X_Api_Key": key}):
            assert service.send("DELETE", "/delete?filepath=a", **known, **CROSS).status == 200

    def test_changes_nothing_by_get_either(self, keys: Path, tmp_path: Path) -> None:
        with server(tmp_path, MATCH_API_KEYS_FILE=str(keys), MATCH_TINEYE_REST="true") as running:
            known = {"Authorization": basic("admin", TOKENS["admin"][0])}
            path = "/rest/delete/?filepaths%5B0%5D=a"
            assert running.send("GET", path, **known).status == 200
            assert running.send("GET", path, **known, Sec_Fetch_Site="cross-site").status == 403


def _asked(service: Server, scope: str, method: str, path: str) -> Answer:
    return service.send(method, path, Authorization=bearer(TOKENS[scope][0]))


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/count", "read write admin"),
        ("GET", "/list", "read write admin"),
        ("POST", "/search", "read write admin"),
        ("POST", "/compare", "read write admin"),
        ("POST", "/add", "write admin"),
        ("DELETE", "/delete?filepath=x", "write admin"),
    ],
)
def test_each_endpoint_needs_its_scope(service: Server, method: str, path: str, allowed: str) -> None:
    permitted = [scope for scope in SCOPES if _asked(service, scope, method, path).status != 403]
    assert permitted == allowed.split()
    if "read" not in permitted:
        sentence = _asked(service, "read", method, path).error
        assert re.fullmatch(r"The API key read may read; this needs (write|admin)\.", sentence)


def test_a_key_that_asks_too_often_is_told_when_to_come_back(service: Server) -> None:
    answers = [service.send("GET", "/count", X_Api_Key=SLOW) for _ in range(5)]
    assert [answer.status for answer in answers] == [200, 200, 200, 429, 429]
    assert answers[-1].error == "More than 3 per 1 hour requests; try again later."
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 7200
    assert _asked(service, "read", "GET", "/count").status == 200


def test_keys_change_without_a_restart(service: Server, keys: Path) -> None:
    before = keys.read_text()
    token, line = new("late", "read")
    assert service.send("GET", "/count", X_Api_Key=token).status == 401
    keys.write_text(f"{before}\n{line}\n")
    assert service.send("GET", "/count", X_Api_Key=token).status == 200
    keys.write_text(before)
    assert service.send("GET", "/count", X_Api_Key=token).status == 401


@pytest.mark.parametrize(
    ("given", "kept"), [("abc-1.2:3", True), ("", False), ("x" * 129, False), ("a b", False), ("é", False)]
)
def test_a_request_has_one_id_from_its_sender_or_from_here(service: Server, given: str, kept: bool) -> None:
    for path in ("/count", "/nothing", "/livez"):
        answer = service.send("GET", path, X_Request_Id=given)
        assert (answer.headers["X-Request-Id"] == given) is kept
        assert re.fullmatch(r"[0-9a-f]{32}", answer.headers["X-Request-Id"]) or kept


def _log(running: Server) -> list[dict[str, Any]]:
    lines = [line for line in running.log if "match_service.access" in line]
    return [json.loads(line[line.index("{") :]) for line in lines]


def test_the_log_has_every_request_and_nothing_secret(keys: Path, tmp_path: Path) -> None:
    with server(tmp_path, MATCH_API_KEYS_FILE=str(keys)) as running:
        headers = {"Authorization": bearer(TOKENS["write"][0]), "X_Request_Id": "one"}
        running.send("DELETE", "/delete?filepath=private-name", **headers)
        form = b'--b\r\nContent-Disposition: form-data; name="image"; filename="x"\r\n\r\n%s\r\n--b--\r\n'
        body = form % jpeg(1)
        kind = {"Content_Type": "multipart/form-data; boundary=b"}
        running.send("POST", "/search", body, X_Api_Key=TOKENS["read"][0], **kind)
        running.send("GET", "/count", X_Api_Key="match_guessed")
        running.send("GET", '/no\\"where%0a')
        assert running.terminate() == 0
    lines = _log(running)
    assert [(line["method"], line["status"], line["key"]) for line in lines] == [
        ("DELETE", 200, "write"),
        ("POST", 200, "read"),
        ("GET", 401, None),
        ("GET", 404, None),
    ]
    assert lines[0]["id"] == "one"
    assert (lines[1]["path"], lines[1]["in"]) == ("/search", len(body))
    assert lines[1]["out"] > 0
    assert lines[1]["ms"] > 0
    assert lines[3]["path"] == '/no\\"where\n'
    written = "".join(running.log)
    secret = [token for token, _ in TOKENS.values()] + ["private-name", "match_guessed", "JFIF"]
    assert [word for word in secret if word in written] == []


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with server(tmp_path_factory.mktemp("local"), MATCH_RATE_LIMIT="40/hour") as running:
        yield running


class TestWithoutKeys:
    """Nobody but this machine is answered, and no web page of somebody else through its browser."""

    @pytest.mark.parametrize("host", ["localhost", "127.0.0.1:80", "[::1]:8888", "LOCALHOST", "x.localhost"])
    def test_this_machine_is_answered_by_any_of_its_names(self, local: Server, host: str) -> None:
        assert local.send("GET", "/count", Host=host).status == 200

    @pytest.mark.parametrize("host", ["evil.example", "192.168.1.1", "localhost.evil.example", "["])
    def test_a_name_that_was_made_to_point_here_is_not(self, local: Server, host: str) -> None:
        answer = local.send("GET", "/count", Host=host)
        assert (answer.status, "localhost only" in answer.error) == (403, True)

    @pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost.evil.example"])
    def test_a_page_of_somebody_else_may_not_write(self, local: Server, origin: str) -> None:
        assert local.send("POST", "/add", Origin=origin).status == 403
        assert local.send("DELETE", "/delete?filepath=a", Origin=origin).status == 403
        assert local.send("DELETE", "/delete?filepath=a", Origin="http://localhost:3000").status == 200

    def test_an_address_that_asks_too_often_is_told_so(self, local: Server) -> None:
        statuses = [local.send("GET", "/count").status for _ in range(41)]
        assert statuses[-1] == 429
        assert local.send("GET", "/livez").status == 200


def test_who_says_open_is_open(tmp_path: Path) -> None:
    with server(tmp_path, MATCH_AUTH="open") as running:
        assert running.send("GET", "/count", Host="match.example").status == 200
        assert running.send("POST", "/add", Host="match.example", Origin="https://a.example").status == 400
