"""Tokens of an issuer in a MatchCluster: what the API's pods are told is what the service understands."""

import re

import pytest

import world
from match_operator import names
from match_service.settings import Oidc, Settings

ISSUER = {"issuer": "https://login.example/realms/staff", "audiences": ["match", "also"]}
GROUPS = {"scopeClaim": "groups", "scopes": {"read": ["staff"], "admin": ["ops, here"]}}
OIDC_SCHEMA = world.SCHEMA["properties"]["spec"]["properties"]["api"]["properties"]["auth"]["properties"][
    "oidc"
]


def spec(**oidc):
    return {"api": {"auth": {"oidc": ISSUER | oidc}}}


def api_pod(cluster):
    [made] = [item for item in world.objects(cluster) if item["kind"] == "Deployment"]
    return made["spec"]["template"]["spec"]


def env(cluster):
    [container] = api_pod(cluster)["containers"]
    return {entry["name"]: entry["value"] for entry in container["env"]}


def test_the_service_reads_what_the_spec_says():
    settings = Settings.from_environ(env(world.cluster(spec(**GROUPS))))
    scopes = (("read", ("staff",)), ("admin", ("ops, here",)))
    assert settings.oidc == Oidc(ISSUER["issuer"], ("match", "also"), "groups", scopes)
    plain = Settings.from_environ(env(world.cluster(spec())))
    assert plain.oidc == Oidc(ISSUER["issuer"], ("match", "also"))


def test_keys_are_good_beside_tokens():
    assert Settings.from_environ(env(world.cluster(spec()))).keys_file
    given = spec()
    given["api"]["auth"]["secretRef"] = {"name": "mine"}
    assert world.cluster(given).api.auth.secret == "mine"
    assert world.cluster(given).api.auth.oidc


def test_the_issuers_authority_is_mounted_where_the_service_looks_for_it():
    cluster = world.cluster(spec(caSecretRef={"name": "ca", "key": "tls.crt"}))
    pod = api_pod(cluster)
    [container] = pod["containers"]
    folder, _, file = env(cluster)["MATCH_OIDC_CA"].rpartition("/")
    [mount] = [m for m in container["volumeMounts"] if m["mountPath"] == folder]
    [volume] = [v for v in pod["volumes"] if v["name"] == mount["name"]]
    assert volume["secret"] == {"secretName": "ca", "items": [{"key": "tls.crt", "path": file}]}
    assert cluster.given_secrets == ("ca",)


def test_without_an_issuer_nothing_is_said_of_one():
    assert not [name for name in env(world.cluster()) if name.startswith("MATCH_OIDC")]
    assert "issuer-ca" not in str(api_pod(world.cluster(spec())))


def test_who_asks_for_tokens_is_not_open_any_more():
    """A MatchCluster from before there were keys."""
    kept = {names.RESOLVED_ANNOTATION: '{"apiAuth": "Open"}'}
    assert world.cluster(annotations=kept).api.auth.mode == "Open"
    asked = world.cluster(spec(), annotations=kept)
    assert asked.api.auth.mode == "Generated"
    assert "MATCH_AUTH" not in env(asked)


def test_the_policies_let_the_api_connect_to_the_issuer():
    policies = [
        item["spec"] for item in world.objects(world.cluster(spec())) if item["kind"] == "NetworkPolicy"
    ]
    assert policies
    assert all(policy["policyTypes"] == ["Ingress"] for policy in policies)


@pytest.mark.parametrize(
    ("issuer", "good"),
    [
        ("https://login.example", True),
        ("https://login.example:8443/a/b/", True),
        ("https://[fd00::1]/x", True),
        ("http://login.example", False),
        ("https://a:b@login.example", False),
        ("https://login.example/?x=y", False),
        ("login.example", False),
    ],
)
def test_only_an_issuer_that_the_service_would_take_is_admitted(issuer, good):
    pattern = OIDC_SCHEMA["properties"]["issuer"]["pattern"]
    assert bool(re.search(pattern, issuer)) is good
