"""The keys that the operator makes are what the service lets in, and stay so while they are replaced."""

import itertools
from datetime import UTC, datetime, timedelta

import pytest

import world
from match_operator import credentials, names
from match_operator.credentials import keys as keys_of_the_operator
from match_operator.observed import Observed, text
from match_service import keys

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SHOWN, HASHED = ("Secret", "photos-api-key"), ("Secret", "photos-api-keys")


class Keys:
    """The Secrets of one MatchCluster, over which the operator is made to look again and again."""

    def __init__(self) -> None:
        self.there, self.now = {}, NOW
        self._numbers = itertools.count()

    def look(self, writes: int = 2) -> None:
        """One look, of whose writes only so many arrive."""
        chance = credentials.Chance(lambda: f"random-{next(self._numbers)}", self.now)
        made = keys_of_the_operator.secrets(world.cluster(), Observed(self.there), chance)
        self.there = self.there | {("Secret", s["metadata"]["name"]): s for s in made[:writes]}

    def key(self, scope: str) -> str:
        return text(self.there[SHOWN], scope)

    def scope_of(self, key: str) -> str | None:
        """What the service makes of a key that a request brings."""
        digest = keys.hashlib.sha256(key.encode()).digest()
        found = keys.parse(text(self.there[HASHED], "keys").splitlines(), "keys")
        return next((entry.scope for entry in found if entry.digest == digest), None)


@pytest.fixture(name="made")
def _made():
    made = Keys()
    made.look()
    return made


@pytest.mark.parametrize("scope", keys.SCOPES)
def test_each_scope_has_a_key_that_the_service_knows(made, scope):
    assert made.scope_of(made.key(scope)) == scope
    assert made.key(scope).startswith(keys.PREFIX)


def test_the_pods_mount_hashes_and_no_key(made):
    (volume,) = [v for v in pod_spec(world.cluster())["volumes"] if v["name"] == "keys"]
    mounted = [
        text(made.there["Secret", volume["secret"]["secretName"]], i["key"])
        for i in volume["secret"]["items"]
    ]
    assert len(mounted) == 1
    assert not [scope for scope in keys.SCOPES if made.key(scope) in mounted[0]]


def pod_spec(cluster):
    return next(i for i in world.objects(cluster) if i["kind"] == "Deployment")["spec"]["template"]["spec"]


def test_a_second_look_changes_nothing(made):
    before = dict(made.there)
    made.look()
    assert made.there == before


def test_the_key_after_a_deletion_was_known_to_the_pods_before_it(made):
    known_before = text(made.there[HASHED], "keys")
    del made.there[SHOWN]
    made.look()
    digest = keys.hashlib.sha256(made.key("write").encode()).hexdigest()
    assert f":write:{digest}" in known_before


def test_a_replaced_key_is_good_for_an_hour_more(made):
    old = made.key("admin")
    del made.there[SHOWN]
    made.look()
    made.now += timedelta(minutes=59)
    made.look()
    assert made.key("admin") != old
    assert made.scope_of(old) == made.scope_of(made.key("admin")) == "admin"
    made.now += timedelta(minutes=2)
    made.look()
    assert made.scope_of(old) is None
    assert made.scope_of(made.key("admin")) == "admin"


def test_deleting_both_secrets_ends_every_key_at_once(made):
    old = [made.key(scope) for scope in keys.SCOPES]
    made.there.clear()
    made.look()
    assert [made.scope_of(key) for key in old] == [None] * 3


def test_losing_the_hashes_alone_changes_no_key(made):
    before = made.there[SHOWN]
    del made.there[HASHED]
    made.look()
    assert made.there[SHOWN] == before
    assert made.scope_of(made.key("read")) == "read"


def test_a_crash_between_the_two_writes_leaves_no_key_unknown(made):
    old = made.key("read")
    del made.there[SHOWN]
    made.look(writes=1)
    assert made.scope_of(made.key("read")) == "read"  # the pods know it though the second write is lost
    made.look()
    assert made.scope_of(made.key("read")) == made.scope_of(old) == "read"


def test_a_key_put_into_the_secret_by_hand_counts(made):
    made.there[SHOWN]["data"]["read"] = "bXktb3duLWtleS1mcm9tLXRoZS12YXVsdAo="
    made.look()
    assert made.scope_of("my-own-key-from-the-vault") == "read"


def test_an_open_api_has_no_keys():
    chance = credentials.Chance(lambda: "x", NOW)
    cluster = world.cluster({"api": {"auth": {"mode": "Open"}}})
    made = credentials.make(cluster, Observed({}), chance).secrets
    assert not [s for s in made if "keys" in s["metadata"]["name"]]
    assert names.KEYS_FILE not in {v["name"] for v in pod_spec(cluster)["volumes"]}
