"""Users and certificates of Elasticsearch: made once, kept, and replaced with nobody shut out."""

import base64
import itertools
import json
from datetime import UTC, datetime, timedelta

import pytest
import yaml
from cryptography import x509

import world
from match_operator import access, credentials, names, plan
from match_operator.observed import Observed, text

NOW = datetime(2026, 1, 1, tzinfo=UTC)
USERS, CERTIFICATES, AUTHORITY = "photos-es-users", "photos-es-certificates", "photos-es-authority"
API, OPERATOR = "photos-es-api-user", "photos-es-operator-user"


class Secrets:
    """The Secrets of one MatchCluster, over which the operator looks again and again."""

    def __init__(self, spec=None) -> None:
        self.cluster, self.there, self.now = world.cluster(spec), {}, NOW
        self._numbers = itertools.count()
        self.look()

    def look(self, writes: int = 99) -> None:
        """One look, of whose writes only so many arrive."""
        chance = credentials.Chance(lambda: f"random-{next(self._numbers)}", self.now)
        made = credentials.make(self.cluster, Observed(self.there), chance).secrets
        self.there = self.there | {("Secret", s["metadata"]["name"]): s for s in made[:writes]}

    def later(self, **time: float) -> None:
        self.now += timedelta(**time)
        self.look()

    def delete(self, *secrets: str) -> None:
        for name in secrets:
            del self.there["Secret", name]
        self.look()

    def text(self, secret: str, key: str) -> str:
        return text(self.there["Secret", secret], key)

    def known(self, user: str) -> bool:
        """Whether the nodes know a user."""
        return any(line.startswith(f"{user}:") for line in self.text(USERS, "users").splitlines())

    def trusted(self) -> list[x509.Certificate]:
        return x509.load_pem_x509_certificates(self.text(CERTIFICATES, "ca.crt").encode())

    def shown(self) -> x509.Certificate:
        return x509.load_pem_x509_certificate(self.text(CERTIFICATES, "tls.crt").encode())

    def signer(self) -> x509.Certificate:
        """Which of the trusted authorities has signed what the nodes show."""
        return next(a for a in self.trusted() if a.subject == self.shown().issuer and signed(self.shown(), a))


def signed(leaf: x509.Certificate, by: x509.Certificate) -> bool:
    try:
        leaf.verify_directly_issued_by(by)
    except Exception:  # noqa: BLE001 - any reason at all
        return False
    return True


@pytest.fixture(name="made")
def _made():
    return Secrets()


def test_nothing_is_made_anew_that_is_there(made):
    before = dict(made.there)
    made.look()
    assert made.there == before


def test_the_operator_and_the_api_come_as_users_of_their_own(made):
    found = {made.text(name, "username") for name in (API, OPERATOR, "photos-es-migration-user")}
    assert len(found) == 3
    assert all(made.known(user) for user in found)
    access_ = access.to_elasticsearch(made.cluster, Observed(made.there))
    assert access_.url == "https://photos-es-http.lab.svc:9200"
    assert (access_.username, access_.password) == (
        made.text(OPERATOR, "username"),
        made.text(OPERATOR, "password"),
    )


def test_the_nodes_mount_no_password_and_no_key_of_an_authority(made):
    node_set = next(i for i in world.objects(made.cluster) if i["kind"] == "StatefulSet")
    mounted = [
        made.text(v["secret"]["secretName"], item["key"])
        for v in node_set["spec"]["template"]["spec"]["volumes"]
        if "secret" in v
        for item in v["secret"]["items"]
    ]
    hidden = [
        made.text(API, "password"),
        made.text(AUTHORITY, "tls.key"),
        made.text(CERTIFICATES, "next.key"),
    ]
    assert len(mounted) == 6
    assert not [secret for secret in hidden for file in mounted if secret in file]


def test_what_may_change_is_mounted_as_folders_which_change_with_it():
    for item in world.objects(world.cluster()):
        if item["kind"] not in ("StatefulSet", "Deployment"):
            continue
        spec = item["spec"]["template"]["spec"]
        secrets = {v["name"] for v in spec["volumes"] if "secret" in v}
        mounts = [m for m in spec["containers"][0]["volumeMounts"] if m["name"] in secrets]
        assert len(mounts) == len(secrets) > 1
        assert not [m for m in mounts if "subPath" in m]


def test_a_role_reaches_the_own_indices_only_and_looks_after_no_user(made):
    assert "&" not in made.text(USERS, "roles.yml"), "Elasticsearch reads no references in YAML"
    roles = yaml.safe_load(made.text(USERS, "roles.yml"))
    assert {n for part in roles["match_api"]["indices"] for n in part["names"]} == {
        "images", "images-*", "match-review-images",
    }  # fmt: skip
    assert "cluster" not in roles["match_api"]
    assert roles["match_operator"]["cluster"] == ["manage"]


def test_an_api_image_from_before_may_make_the_index_of_reviews_as_it_asks_to_each_time():
    """It would take a refusal for a broken Elasticsearch, though the index is there."""

    made = Secrets()
    before = json.dumps({"apiImage": "match-service:0", "security": "Enabled"})
    for annotations, may in (({names.RESOLVED_ANNOTATION: before}, [["match-review-images"]]), ({}, [])):
        made.cluster = world.cluster(annotations=annotations)
        made.look()
        found = yaml.safe_load(made.text(USERS, "roles.yml"))["match_api"]["indices"]
        assert [part["names"] for part in found if "create_index" in part["privileges"]] == may


def test_a_replaced_password_was_known_before_and_the_old_one_stays_for_an_hour(made):
    old, files = made.text(API, "username"), made.text(USERS, "users")
    made.delete(API)
    new = made.text(API, "username")
    assert new != old
    assert f"{new}:" in files
    made.later(minutes=59)
    assert made.known(old)
    made.later(minutes=2)
    assert (made.known(old), made.known(new)) == (False, True)


def test_a_crash_between_the_writes_leaves_both_users_known(made):
    old = made.text(API, "username")
    del made.there["Secret", API]
    made.look(writes=4)
    new = made.text(API, "username")
    made.look()
    assert made.known(old)
    assert made.known(new)


def test_the_password_for_people_changes_under_the_same_name(made):
    before = made.text("photos-es-elastic-user", "password")
    made.delete("photos-es-elastic-user")
    assert made.text("photos-es-elastic-user", "username") == "elastic"
    assert made.text("photos-es-elastic-user", "password") != before
    assert made.text(USERS, "users").count("elastic:") == 1


def test_the_nodes_show_a_certificate_for_where_they_are_asked(made):
    hosts = made.shown().extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "photos-es-http.lab.svc" in hosts.get_values_for_type(x509.DNSName)
    assert made.signer() in made.trusted()


@pytest.mark.parametrize("days", [100, 300, 600, 1200])
def test_a_certificate_is_made_anew_long_before_it_ends(made, days):
    """However long the operator was away, as long as it comes back before the end."""
    for _ in range(0, days, 100):
        made.later(days=100)
        assert made.shown().not_valid_after_utc - made.now >= timedelta(days=120)
        assert made.signer()


def test_the_authority_is_followed_by_one_that_all_have_trusted_for_long(made):
    seen, signers = {}, []
    for month in range(12 * 25):
        made.later(days=30)
        for one in made.trusted():
            seen.setdefault(one.serial_number, month)
        signer = made.signer()
        assert signer.not_valid_after_utc > made.shown().not_valid_after_utc
        if signer.serial_number not in signers:
            signers.append(signer.serial_number)
            assert len(signers) == 1 or month - seen[signer.serial_number] >= 11
    assert len(signers) >= 3


def test_deleting_the_authority_has_the_next_one_sign_which_all_trust_already(made):
    trusted, old = made.trusted(), made.signer()
    made.delete(AUTHORITY)
    assert made.signer() != old
    assert made.signer() in trusted
    assert old in made.trusted(), "nodes that have not read the new certificate yet still show the old one"
    made.later(minutes=61)
    assert old not in made.trusted()


def test_deleting_the_certificate_has_a_new_one_signed_by_the_same_authority(made):
    before, signer = made.shown(), made.signer()
    made.delete(CERTIFICATES)
    assert made.shown() != before
    assert made.signer() == signer


def test_a_damaged_certificate_or_authority_is_made_anew(made):
    for secret in (AUTHORITY, CERTIFICATES):
        made.there["Secret", secret]["data"] |= {"tls.key": base64.b64encode(b"damaged").decode()}
        made.look()
        assert made.signer()


OWN = {"elasticsearch": {"security": {"certificateSecretRef": {"name": "mine"}}}}


def test_a_certificate_of_the_users_own_is_mounted_and_trusted():
    made = Secrets(OWN)
    assert ("Secret", CERTIFICATES) not in made.there
    given = {"mine": {"data": {"ca.crt": base64.b64encode(b"theirs").decode()}}}
    assert access.to_elasticsearch(made.cluster, Observed(made.there, given=given)).authority == "theirs"
    volumes = [
        v["secret"]["secretName"]
        for item in world.objects(made.cluster)
        if item["kind"] in ("StatefulSet", "Deployment")
        for v in item["spec"]["template"]["spec"]["volumes"]
        if "secret" in v
    ]
    assert volumes.count("mine") == 2


def test_without_security_nothing_is_made_for_elasticsearch():
    made = Secrets({"elasticsearch": {"security": {"mode": "Disabled"}}})
    assert {name for _, name in made.there} == {"photos-api-key", "photos-api-keys"}
    assert access.to_elasticsearch(made.cluster, Observed({})).url == "http://photos-es-http.lab.svc:9200"


def running(secured, spec=None):
    """A MatchCluster whose nodes were founded with or without security."""
    founded = {"clusterUUID": "u-1"} | ({} if secured is None else {"secured": secured})
    return world.body(spec) | {"status": {"elasticsearch": founded}}


def parsed(body):
    return world.api.from_body(body, world.CONFIG)


def test_nodes_from_before_there_was_security_stay_without_it():
    cluster = parsed(running(None))
    assert (cluster.security.enabled, cluster.resolved.security) == (False, "Disabled")
    assert not list(plan.security.problems(cluster))


@pytest.mark.parametrize(("founded", "asked"), [(True, "Disabled"), (False, "Enabled"), (None, "Enabled")])
def test_security_that_cannot_change_any_more_is_refused_and_stays_as_it_is(founded, asked):
    cluster = parsed(running(founded, {"elasticsearch": {"security": {"mode": asked}}}))
    assert cluster.security.enabled == bool(founded)
    (problem,) = plan.security.problems(cluster)
    assert problem.reason == "SecurityImmutable"
    assert f"set {'Enabled' if founded else 'Disabled'}" in problem.message


def test_a_cluster_made_again_over_its_volumes_may_have_it():
    cluster = parsed(world.body())
    assert cluster.security.enabled
    assert names.RESOLVED_ANNOTATION not in world.body()["metadata"].get("annotations", {})
