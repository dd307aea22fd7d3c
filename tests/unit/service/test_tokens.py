"""Which tokens are good and for what, and when their issuer is asked for its keys."""

import threading
import time
from typing import Any

import jwt
import pytest

from issuing import (
    AUDIENCE,
    EC,
    EC384,
    ED,
    OTHER_RSA,
    RSA,
    WEAK_RSA,
    Site,
    handmade,
    jwk,
    public_pem,
)  # fmt: skip
from match_service.errors import FetchError, IssuerAwayError, NotAuthenticatedError
from match_service.issuer import FRESH_SECONDS, GOOD_SECONDS, PAUSE_SECONDS, Issuer
from match_service.model import SCOPES, Subject
from match_service.settings import Oidc, Settings, SettingsError
from match_service.tokens import MAX_LENGTH, Tokens


class World:
    """A site that may be away, a clock that is set by hand, and what reads them."""

    def __init__(self, **oidc: Any) -> None:
        self.site = Site()
        self.now = 1000.0
        self.away = False
        self.hold: threading.Event | None = None
        self.asking = threading.Event()
        issuer = Issuer(self.site.url, self._get, lambda: self.now, wait=0.01)
        self.tokens = Tokens(Oidc(self.site.url, (AUDIENCE, "also"), **oidc), issuer)

    def _get(self, url: str) -> bytes:
        if self.hold:
            self.asking.set()
            self.hold.wait(30)
        if self.away:
            raise FetchError("It is away.")
        return self.site.document(url.removeprefix(self.site.url))

    def subject(self, *args: Any, **claims: Any) -> Subject:
        return self.tokens.subject(self.site.token(*args, **claims))


@pytest.fixture
def world() -> World:
    return World()


def refused(tokens: Tokens, token: str) -> str:
    with pytest.raises(NotAuthenticatedError) as caught:
        tokens.subject(token)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "key", "algorithm"),
    [
        ("rsa", RSA, "RS256"),
        ("rsa", RSA, "RS512"),
        ("rsa", RSA, "PS256"),
        ("ec", EC, "ES256"),
        ("ed", ED, "EdDSA"),
    ],
)
def test_a_token_of_the_issuer_is_good_by_each_kind_of_its_keys(
    world: World, name: str, key: Any, algorithm: str
) -> None:
    assert world.subject(name, key, {"alg": algorithm}) == Subject("ann", "read")


def test_a_good_token_may_be_for_several_audiences_and_be_an_access_token(world: World) -> None:
    assert world.subject(aud=["x", "also"], header={"typ": "at+JWT"}).name == "ann"


@pytest.mark.parametrize(
    ("claims", "sentence"),
    [
        ({"aud": "other"}, "is for another audience"),
        ({"aud": []}, "lacks the claim aud"),
        ({"aud": None}, "lacks the claim aud"),
        ({"iss": "https://issuer.example/"}, "is of another issuer"),
        ({"iss": None}, "lacks the claim iss"),
        ({"exp": 1}, "has expired"),
        ({"exp": None}, "lacks the claim exp"),
        ({"exp": "soon"}, "is malformed"),
        ({"exp": float("nan")}, "is malformed"),
        ({"nbf": 10**11}, "is not good yet"),
        ({"nbf": {}}, "is malformed"),
        ({"iat": 10**11}, "is not good yet"),
        ({"sub": None}, "lacks the claim sub"),
        ({"sub": ""}, "names no subject of 1 to 255 characters"),
        ({"sub": "x" * 256}, "names no subject of 1 to 255 characters"),
        ({"sub": 7}, "is malformed"),
    ],
)
def test_a_token_with_wrong_claims_is_refused_with_a_reason(
    world: World, claims: dict[str, Any], sentence: str
) -> None:
    assert refused(world.tokens, world.site.token(**claims)) == f"The token {sentence}."


def test_clocks_may_differ_a_little(world: World) -> None:
    now = time.time()
    assert world.subject(exp=now - 15, nbf=now + 15, iat=now + 15).name == "ann"


def test_a_token_is_refused_that_is_signed_by_somebody_else(world: World) -> None:
    token = world.site.token
    assert refused(world.tokens, token("rsa", OTHER_RSA)) == "The token has a wrong signature."
    assert refused(world.tokens, token()[:-8] + "AAAAAAAA") == "The token has a wrong signature."
    unknown = "The token is signed with a key that its issuer does not have."
    assert refused(world.tokens, token("new", OTHER_RSA)) == unknown
    assert refused(world.tokens, token("ec", RSA)) == unknown
    assert refused(world.tokens, token("ec", EC384, {"alg": "ES384"})) == unknown


def test_no_algorithm_is_taken_by_which_a_public_key_could_sign(world: World) -> None:
    claims = world.site.claims()
    for algorithm, secret in (("HS256", public_pem(RSA)), ("none", b""), ("None", b""), ("", b""), ([], b"")):
        header = {"alg": algorithm, "kid": "rsa", "typ": "JWT"}
        assert "must be signed with one of RS256" in refused(world.tokens, handmade(header, claims, secret))
    assert world.site.asked == 0


def test_what_the_issuer_signs_to_say_something_else_is_no_access(world: World) -> None:
    for kind in ("logout+jwt", "dpop+jwt", 7):
        assert "of a kind that is no access" in refused(world.tokens, world.site.token(header={"typ": kind}))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "a.b",
        "a.b.c",
        "..",
        "a.b.c.d",
        "é.é.é",
        "\ud800.x.y",
        handmade({"alg": "RS256"}, 7),
        "[" * 9000 + "..",
    ],
)
def test_what_is_no_token_is_refused(world: World, text: str) -> None:
    assert refused(world.tokens, text)


def test_a_huge_token_is_refused_before_it_is_read(world: World) -> None:
    long = world.site.token(scope="read " * MAX_LENGTH)
    assert refused(world.tokens, long) == f"The token is longer than {MAX_LENGTH} characters."


def test_keys_that_must_not_be_used_are_not(world: World) -> None:
    world.site.keys = [
        {"kty": "oct", "kid": "secret", "k": "c2VjcmV0"},
        jwk("encrypts", RSA, use="enc"),
        jwk("only", RSA, alg="PS256"),
        jwk("weak", WEAK_RSA),
        {"kty": "RSA", "kid": "torn", "n": "!"},
        {"kty": "EC", "kid": 7},
        {"kty": "EC", "kid": "bent", "crv": []},
    ]
    unknown = "The token is signed with a key that its issuer does not have."
    assert refused(world.tokens, world.site.token("encrypts")) == unknown
    assert refused(world.tokens, world.site.token("only")) == unknown
    assert world.subject("only", header={"alg": "PS256"}).name == "ann"
    with pytest.warns(match="RSA key is 1024 bits"):
        token = world.site.token("weak", WEAK_RSA)
    assert refused(world.tokens, token) == "The token is malformed."


@pytest.mark.parametrize("kind", [ValueError, TypeError])
def test_a_key_that_cannot_be_read_keeps_the_others_from_nobody(
    world: World, kind: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As some are in PyJWT and some in cryptography, and in versions of theirs."""
    read = jwt.PyJWK

    def strict(entry: dict[str, Any], algorithm: str) -> jwt.PyJWK:
        if entry["kid"] == "tiny":
            raise kind
        return read(entry, algorithm)

    monkeypatch.setattr(jwt, "PyJWK", strict)
    world.site.keys.insert(0, {"kty": "RSA", "kid": "tiny", "n": "AQAB", "e": "AQAB"})
    assert world.subject().name == "ann"


def test_a_token_that_names_no_key_means_the_only_one(world: World) -> None:
    assert world.subject(None).name == "ann"
    world = World()
    world.site.keys.append(jwk("second", OTHER_RSA))
    assert "does not have" in refused(world.tokens, world.site.token(None))


class TestScopes:
    """What a token is good for."""

    @pytest.mark.parametrize(
        ("claim", "scope"),
        [
            ("read", "read"),
            ("openid admin read", "admin"),
            (["write", 7], "write"),
            ("reader", ""),
            (7, ""),
            (None, ""),
        ],
    )
    def test_the_most_that_the_claim_says_counts(self, world: World, claim: Any, scope: str) -> None:
        subject = world.subject(scope=claim)
        assert subject.scope == scope
        needs = [each for each in SCOPES if subject.may(each)]
        assert needs == list(SCOPES[: SCOPES.index(scope) + 1] if scope else ())

    def test_groups_and_roles_stand_for_scopes_as_the_settings_say(self) -> None:
        scopes = (("read", ("staff",)), ("admin", ("CN=Ops, OU=x", "ops")))
        world = World(scope_claim="realm.roles", scopes=scopes)
        for roles, scope in (
            (["staff"], "read"),
            (["staff", "ops"], "admin"),
            (["admin"], ""),
            ("CN=Ops, OU=x", "admin"),
        ):
            assert world.subject(realm={"roles": roles}).scope == scope
        assert world.subject(realm="staff").scope == ""

    def test_a_claim_may_have_dots_in_its_name(self) -> None:
        world = World(scope_claim="https://match.example/roles")
        assert world.subject(**{"https://match.example/roles": ["write"]}).scope == "write"


class TestKeys:
    """When the issuer is asked."""

    def test_once_for_many_tokens(self, world: World) -> None:
        for _ in range(5):
            world.subject()
        assert world.site.asked == 1

    def test_a_new_key_is_found_when_a_token_names_it(self, world: World) -> None:
        world.subject()
        world.now += PAUSE_SECONDS
        world.site.keys = [jwk("next", OTHER_RSA)]
        assert world.subject("next", OTHER_RSA).name == "ann"
        assert "does not have" in refused(world.tokens, world.site.token("rsa"))

    def test_names_that_are_made_up_ask_it_no_more_than_once_in_a_while(self, world: World) -> None:
        world.subject()
        for number in range(100):
            world.now += PAUSE_SECONDS / 50
            refused(world.tokens, world.site.token(f"new-{number}", OTHER_RSA))
        assert world.site.asked == 3

    def test_a_key_that_was_withdrawn_ends(self, world: World) -> None:
        world.subject()
        world.site.keys = [jwk("next", OTHER_RSA)]
        world.now += FRESH_SECONDS - 1
        assert world.subject().name == "ann"
        world.now += 2
        assert "does not have" in refused(world.tokens, world.site.token())

    def test_while_it_is_away_known_keys_are_good_for_an_hour(self, world: World) -> None:
        world.subject()
        world.away = True
        world.now += GOOD_SECONDS - 1
        assert world.subject().name == "ann"
        with pytest.raises(IssuerAwayError, match="does not give its keys"):
            world.subject("new", OTHER_RSA)
        world.now += 2
        with pytest.raises(IssuerAwayError):
            world.subject()
        world.away = False
        world.now += PAUSE_SECONDS
        assert world.subject().name == "ann"

    @pytest.mark.parametrize(
        "about",
        [
            {"issuer": "https://other.example"},
            {"jwks_uri": "http://issuer.example/keys"},
            {"jwks_uri": "file:///keys"},
            {"jwks_uri": None},
        ],
    )
    def test_an_issuer_that_answers_strangely_is_not_believed(
        self, world: World, about: dict[str, Any]
    ) -> None:
        world.site.about = about
        with pytest.raises(IssuerAwayError):
            world.subject()

    def test_what_waits_for_an_issuer_that_hangs_gives_up_or_uses_what_is_known(self, world: World) -> None:
        world.subject()
        world.now += FRESH_SECONDS + 1
        world.hold = threading.Event()
        first = threading.Thread(target=world.subject)
        first.start()
        assert world.asking.wait(30)
        assert world.subject().name == "ann"
        with pytest.raises(IssuerAwayError, match="slow to give its keys"):
            world.subject("new", OTHER_RSA)
        world.hold.set()
        first.join()


GOOD = {"MATCH_OIDC_ISSUER": "https://issuer.example/realm", "MATCH_OIDC_AUDIENCE": "match"}


def test_the_environment_says_whose_tokens_are_good_and_for_what() -> None:
    assert Settings.from_environ({}).oidc is None
    plain = Settings.from_environ(GOOD).oidc
    assert plain == Oidc("https://issuer.example/realm", ("match",))
    scopes = '{"read": ["staff"], "admin": ["ops", "root"]}'
    more = {"MATCH_OIDC_SCOPE_CLAIM": "groups", "MATCH_OIDC_SCOPES": scopes, "MATCH_OIDC_CA": "/ca.crt"}
    oidc = Settings.from_environ(GOOD | more | {"MATCH_OIDC_AUDIENCE": "a, b"}).oidc
    assert oidc is not None
    assert (oidc.audiences, oidc.scope_claim, str(oidc.authorities)) == (("a", "b"), "groups", "/ca.crt")
    assert oidc.scopes == (("read", ("staff",)), ("admin", ("ops", "root")))


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"MATCH_OIDC_ISSUER": ""}, "MATCH_OIDC_AUDIENCE is of no use without"),
        ({"MATCH_OIDC_AUDIENCE": " ,"}, "MATCH_OIDC_AUDIENCE is required"),
        *(
            ({"MATCH_OIDC_ISSUER": url}, "must be an https:// address")
            for url in (
                "http://issuer.example",
                "issuer",
                "https://a:b@c",
                "https://a?b",
                "file:///x",
                "https://[",
            )
        ),
        *(
            ({"MATCH_OIDC_SCOPES": text}, "MATCH_OIDC_SCOPES must be JSON like")
            for text in (
                "read",
                "[]",
                "[7]",
                "{}",
                '{"all": ["x"]}',
                '{"read": "x"}',
                '{"read": [7]}',
                '{"read": [""]}',
                "[" * 9999,
            )
        ),
    ],
)
def test_settings_that_would_open_a_door_are_refused(changed: dict[str, str], sentence: str) -> None:
    with pytest.raises(SettingsError, match=sentence):
        Settings.from_environ(GOOD | changed)


def test_an_issuer_on_this_machine_needs_no_tls() -> None:
    assert Settings.from_environ(GOOD | {"MATCH_OIDC_ISSUER": "http://localhost:5556/dex"}).oidc
