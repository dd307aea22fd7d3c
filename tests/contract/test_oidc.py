"""Tokens of an OpenID Connect issuer at the real server: the issuer is a real one too, over HTTP and TLS."""

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from issuing import AUDIENCE, EC, OTHER_RSA, RSA, Site, certificate, handmade, issuer, jwk, public_pem
from match_service.keys import new
from pictures import jpeg
from serving import Answer, Server, server

KEY, KEY_LINE = new("script", "write")
EVERYWHERE = "0.0.0.0"  # noqa: S104 - which tokens or keys allow
SECONDS = 10
"""More than an issuer that hangs can cost a request, and less than anybody would call a hang."""


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with issuer() as running:
        yield running


def settings(site: Site, **more: str) -> dict[str, str]:
    return {"MATCH_OIDC_ISSUER": site.url, "MATCH_OIDC_AUDIENCE": AUDIENCE, **more}


@pytest.fixture(scope="module")
def service(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("service")
    (folder / "keys").write_text(KEY_LINE)
    with server(folder, **settings(site, MATCH_API_KEYS_FILE="keys", MATCH_HOST=EVERYWHERE)) as running:
        yield running


def ask(service: Server, token: str, method: str = "GET", path: str = "/count") -> Answer:
    return service.send(method, path, Authorization=f"Bearer {token}")


def test_tokens_and_keys_are_good_side_by_side(service: Server, site: Site) -> None:
    assert ask(service, site.token()).status == 200
    assert ask(service, site.token("ec", EC)).status == 200
    assert ask(service, KEY).status == 200
    assert service.send("GET", "/count").error.startswith("An API key or a token is required")
    assert ask(service, "match_guessed").error == "The API key is not known."


def test_a_token_is_good_for_what_its_scope_says(service: Server, site: Site) -> None:
    asked = [("GET", "/count"), ("DELETE", "/delete?filepath=x"), ("POST", "/purge")]
    allowed = {
        scope: [ask(service, site.token(scope=scope), *each).status for each in asked]
        for scope in ("openid", "read", "write", "admin")
    }
    assert allowed == {
        "openid": [403, 403, 403],
        "read": [200, 403, 403],
        "write": [200, 200, 403],
        "admin": [200, 200, 400],
    }
    refused = ask(service, site.token(), "POST", "/purge")
    assert refused.error == "The token of ann may read; this needs admin."
    assert (
        ask(service, site.token(scope="x")).error
        == "The token of ann is good for nothing here; this needs read."
    )


def test_tokens_that_are_forged_are_refused(service: Server, site: Site) -> None:
    claims, header = site.claims(scope="admin"), {"kid": "rsa", "typ": "JWT"}
    forged = [
        handmade(header | {"alg": "HS256"}, claims, public_pem(RSA)),
        handmade(header | {"alg": "none"}, claims),
        site.token("rsa", OTHER_RSA),
        site.token("unknown", OTHER_RSA),
        site.token(header={"jwk": jwk("own", OTHER_RSA), "jku": "http://localhost:1/"}, key=OTHER_RSA),
        site.token(aud="other"),
        site.token(exp=1),
        site.token() + "x",
    ]
    for token in forged:
        answer = ask(service, token)
        assert (answer.status, answer.json["method"]) == (401, "count"), answer.error
        assert "Bearer" in answer.headers["WWW-Authenticate"]


def test_a_huge_token_is_answered(service: Server, site: Site) -> None:
    assert ask(service, site.token(scope="x " * 20_000)).status == 431
    assert ask(service, site.token(scope="read " + "x " * 2_000)).status == 200


def test_a_new_key_of_the_issuer_is_taken_without_a_restart(tmp_path: Path) -> None:
    with issuer() as site, server(tmp_path, **settings(site)) as running:
        site.keys = [jwk("old", RSA)]
        assert ask(running, site.token("old")).status == 200
        site.keys = [jwk("new", OTHER_RSA), jwk("old", RSA)]
        assert ask(running, site.token("old")).status == 200
        deadline = time.monotonic() + 30
        while ask(running, site.token("new", OTHER_RSA)).status != 200:
            assert time.monotonic() < deadline
            time.sleep(0.5)
        assert site.asked == 2


def test_rates_hold_for_each_subject(site: Site, tmp_path: Path) -> None:
    with server(tmp_path, **settings(site, MATCH_RATE_LIMIT="3/hour")) as running:
        answers = [ask(running, site.token(exp=int(time.time()) + 60 + n)) for n in range(4)]
        assert [answer.status for answer in answers] == [200, 200, 200, 429]
        assert ask(running, site.token(sub="bob")).status == 200


def test_the_log_names_the_subject_and_never_the_token(site: Site, tmp_path: Path) -> None:
    tokens = [site.token(sub="ann@example.org"), site.token(exp=1), site.token("new", OTHER_RSA)]
    with server(tmp_path, **settings(site)) as running:
        statuses = [ask(running, token).status for token in tokens]
        running.form("POST", "/search", files={"image": jpeg(1)})
        assert running.terminate() == 0
    assert statuses == [200, 401, 401]
    written = "".join(running.log)
    lines = [json.loads(x[x.index("{") :]) for x in running.log if "match_service.access" in x]
    assert [line["subject"] for line in lines] == ["ann@example.org", None, None, None]
    assert [line["key"] for line in lines] == [None] * 4
    assert not [part for token in tokens for part in token.split(".") if part in written]


def test_while_the_issuer_is_away_tokens_are_answered_503_and_keys_are_good(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(KEY_LINE)
    with socket.create_server(("localhost", 0)) as silent:  # takes connections and never answers
        port = silent.getsockname()[1]
        site = Site(f"http://localhost:{port}")
        with server(tmp_path, **settings(site, MATCH_API_KEYS_FILE="keys")) as running:
            for _ in range(2):
                began = time.monotonic()
                answer = ask(running, site.token())
                assert (answer.status, answer.headers["Retry-After"]) == (503, "2")
                assert "their issuer does not give its keys" in answer.error
                assert time.monotonic() - began < SECONDS
            assert ask(running, KEY).status == 200
            silent.close()
            with issuer(port):
                deadline = time.monotonic() + 30
                while ask(running, site.token()).status != 200:
                    assert time.monotonic() < deadline
                    time.sleep(0.5)


def test_an_issuer_with_an_authority_of_its_own_is_trusted_by_name_only(tmp_path: Path) -> None:
    file = certificate(tmp_path / "tls.pem")
    with issuer(certificate=file) as site:
        with server(tmp_path, **settings(site, MATCH_OIDC_CA=str(file))) as running:
            assert ask(running, site.token()).status == 200
        with server(tmp_path, **settings(site)) as running:
            assert ask(running, site.token()).status == 503


def test_without_a_key_file_a_token_alone_is_asked_for(site: Site, tmp_path: Path) -> None:
    with server(tmp_path, **settings(site, MATCH_HOST=EVERYWHERE, MATCH_AUTH="open")) as running:
        assert running.send("GET", "/count").error.startswith("A token is required, as Authorization: Bearer")
        assert ask(running, "match_guessed").error == "The token is malformed."
        assert ask(running, site.token()).status == 200
