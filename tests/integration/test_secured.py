"""What the operator makes for a secured Elasticsearch, in a real one: users that may enough and no more, and
certificates and passwords that change while it runs.
"""

import itertools
import os
import secrets
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from elasticsearch import AuthenticationException, AuthorizationException, Elasticsearch

import match_index
import world
from labcluster import elasticsearch, progress
from match_operator import credentials, names
from match_operator.access import Access
from match_operator.clients.elastic import ElasticClient
from match_operator.credentials import users
from match_operator.observed import Observed, text
from pictures import jpeg
from serving import Server, environment, server

pytestmark = pytest.mark.elastic
ALIAS = "images"
ONE, TWO = (match_index.backing_index(ALIAS, number) for number in (1, 2))
CERTIFICATES = "photos-es-certificates"
FILES = {"ca.crt": "ca.crt", "tls.crt": "node.crt", "tls.key": "node.key"}
"""Where the local node has what a Secret holds."""


def made(there: dict[tuple[str, str], Any], numbers: Iterator[int]) -> dict[tuple[str, str], Any]:
    """The Secrets after a look of the operator at those that are there."""
    chance = credentials.Chance(lambda: f"a-long-password-{next(numbers)}", datetime.now(UTC))
    found = credentials.make(world.cluster(), Observed(there), chance).secrets
    return {("Secret", item["metadata"]["name"]): item for item in found}


class Secured:
    """One node, and the operator's Secrets over which it is made to look again and again."""

    def __init__(self, formation: elasticsearch.Formation) -> None:
        self.node, self.formation, self.there = formation.nodes[0], formation, {}
        self.authority = formation.authority.read_text() if formation.authority else ""
        self._numbers = itertools.count()

    def look(self) -> None:
        """The operator looks; users and roles come to the node as the kubelet would bring them."""
        self.there = made(self.there, self._numbers)
        for file in users.FILES:
            self.write(self.node.config / file, self.text(names.elasticsearch_users("photos"), file))

    def write(self, path: Path, content: str) -> None:
        """From one moment to the next, as the kubelet does."""
        new = path.with_suffix(".new")
        new.write_text(content)
        if os.geteuid() == 0:
            os.chown(new, elasticsearch.USER, 0)
        new.rename(path)

    def text(self, secret: str, key: str) -> str:
        return text(self.there["Secret", secret], key)

    def user(self, who: str) -> tuple[str, str]:
        secret = names.elasticsearch_user("photos", who)
        return self.text(secret, "username"), self.text(secret, "password")

    def successor(self, who: str) -> tuple[str, str]:
        """Who ``user`` is to be when its Secret is next deleted."""
        secret = ("Secret", names.elasticsearch_user("photos", who))
        after = made({key: item for key, item in self.there.items() if key != secret}, self._numbers)[secret]
        return text(after, "username"), text(after, "password")

    def client(self, user: tuple[str, str]) -> Elasticsearch:
        return Elasticsearch(self.node.url, basic_auth=user, ca_certs=str(self.formation.authority))

    def knows(self, user: tuple[str, str]) -> bool:
        with self.client(user) as client:
            try:
                client.security.authenticate()
            except AuthenticationException:
                return False
        return True

    def shown(self) -> str:
        """The serial number of the certificate that the node shows now."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        host, port = self.node.url.removeprefix("https://").split(":")
        with socket.create_connection((host, int(port)), 10) as plain, context.wrap_socket(plain) as secure:
            found = secure.getpeercert(binary_form=True)
        return str(x509.load_der_x509_certificate(found or b"").serial_number)


@pytest.fixture(scope="module", name="secured")
def _secured() -> Iterator[Secured]:
    with elasticsearch.nodes(1, secure=True, heap="384m") as formation:
        found = Secured(formation)
        found.look()
        progress.until(lambda: found.knows(found.user(names.OPERATOR)), 30, "the operator's user known")
        yield found


@pytest.fixture(name="operator")
def _operator(secured: Secured) -> Iterator[ElasticClient]:
    """The operator's client, as its user, with an index as it makes it."""
    username, password = secured.user(names.OPERATOR)
    client = ElasticClient(Access(secured.node.url, username, password, authority=secured.authority))
    template = match_index.template_body(ALIAS, 1, 0, "20ms")
    client.put_template(match_index.template_name(ALIAS), template)
    client.create_index(ONE, match_index.index_body(ALIAS))
    client.create_index(match_index.review_index(ALIAS), match_index.review_body())
    yield client
    client.close()


def environ(secured: Secured, tmp_path: Path, who: str) -> dict[str, str]:
    """How a pod of ours comes to the node, with its Secret as a folder."""
    folder, new = tmp_path / who, tmp_path / secrets.token_hex(4)
    new.mkdir()
    for name, value in zip(("username", "password"), secured.user(who), strict=True):
        (new / name).write_text(value)
    # From one moment to the next, as the kubelet does.
    link = tmp_path / f"{new.name}.link"
    link.symlink_to(new)
    link.rename(folder)
    return {
        "ELASTICSEARCH_URL": secured.node.url,
        "ELASTICSEARCH_INDEX": ALIAS,
        "ELASTICSEARCH_CREDENTIALS": str(folder),
        "ELASTICSEARCH_CA_CERTS": str(secured.formation.authority),
        "MATCH_MANAGE_INDEX": "false",
    }


def test_the_operator_may_all_that_it_does(secured: Secured, operator: ElasticClient) -> None:
    seen = operator.observe(ALIAS)
    node = next(iter(seen.nodes.values()))
    assert (seen.health, set(seen.indices), seen.review) == ("green", {ONE}, True)
    operator.update_index(ONE, {"refresh_interval": "20ms"})
    operator.change_settings({"cluster.routing.allocation.enable": "primaries"})
    operator.change_settings({"cluster.routing.allocation.enable": None})
    operator.exclude_voter("somebody-absent")
    operator.admit_voters()
    operator.put_shutdown(node.id, "match-operator restarts it")
    assert operator.observe(ALIAS).shutdowns
    operator.drop_shutdown(node.id)
    operator.flush()
    badge = match_index.operators_badge(ALIAS)
    operator.create_index(TWO, {"aliases": {badge: {}}})
    operator.allow_writes(ALIAS, ONE, TWO, [badge])
    operator.abandon_index(ALIAS, ONE, [TWO])


def test_the_operator_reads_no_other_documents_and_makes_no_user(
    secured: Secured, operator: ElasticClient
) -> None:
    with secured.client(("elastic", secured.formation.password)) as admin:
        admin.index(index="theirs", document={"a": 1}, refresh=True)
    with secured.client(secured.user(names.OPERATOR)) as client:
        for forbidden in (
            lambda: client.search(index="theirs"),
            lambda: client.security.put_user(username="mine", password="a-password", roles=["superuser"]),
        ):
            with pytest.raises(AuthorizationException):
                forbidden()


@pytest.fixture(name="service")
def _service(secured: Secured, operator: ElasticClient, tmp_path: Path) -> Iterator[Server]:
    with server(tmp_path, WORKER_COUNT="1", **environ(secured, tmp_path, names.API)) as running:
        yield running


def test_the_api_may_all_that_it_does(service: Server) -> None:
    for number in range(3):
        assert service.add(f"{number}.jpg", jpeg(number)).status == 200
        assert service.add(f"copy-{number}.jpg", jpeg(number)).status == 200
    assert service.search(jpeg(1))[0]["score"] == 100.0
    progress.until(
        lambda: service.send("GET", "/readyz").json["result"][0]["search"] == "mirror", 30, "the mirror read"
    )
    assert service.search(jpeg(1))[0]["score"] == 100.0
    assert (service.count(), len(service.list())) == (6, 6)
    assert service.send("GET", "/image?filepath=0.jpg").status == 200
    assert service.delete("copy-0.jpg").status == 200
    assert service.form("POST", "/duplicates", {"min_score": "90"}).status == 200
    progress.until(
        lambda: service.send("GET", "/duplicates").result[0]["state"] == "done", 60, "duplicates found"
    )
    assert service.send("GET", "/duplicates").result[0]["count"] == 2
    exported = service.send("GET", "/export").body
    assert service.form("POST", "/purge", {"dry_run": "false", "filter": "{}"}).status in (200, 400)
    assert service.send("POST", "/import", exported, Content_Type="application/x-ndjson").status == 200
    assert service.count() == 5


def test_the_api_may_nothing_else(secured: Secured, operator: ElasticClient) -> None:
    with secured.client(secured.user(names.API)) as api:
        for forbidden in (
            lambda: api.indices.delete(index=ONE),
            lambda: api.indices.create(index="images-000009"),
            lambda: api.indices.put_settings(index=ONE, settings={"index.blocks.write": True}),
            lambda: api.indices.update_aliases(actions=[{"remove": {"index": ONE, "alias": ALIAS}}]),
            lambda: api.index(index="theirs", document={}),
            lambda: api.search(index=".security-7"),
            lambda: api.cluster.put_settings(persistent={"indices.recovery.max_bytes_per_sec": "1mb"}),
            api.cluster.health,
        ):
            with pytest.raises(AuthorizationException):
                forbidden()


def test_a_collection_is_moved_by_a_user_of_its_own(
    secured: Secured, operator: ElasticClient, service: Server, tmp_path: Path
) -> None:
    service.add("moved.jpg", jpeg(9))
    operator.create_index(TWO, {})
    command = [sys.executable, "-m", "match_service", "migrate", "--from", ONE, "--to", TWO]
    settings = environment(tmp_path, **environ(secured, tmp_path, names.MIGRATION))
    subprocess.run(command, env=settings, check=True, timeout=120)
    assert set(operator.observe(ALIAS).indices) == {TWO}
    assert "moved.jpg" in service.list()
    with secured.client(("elastic", secured.formation.password)) as admin:
        admin.indices.delete(index=f"{ONE},{TWO}", ignore_unavailable=True)


def test_a_new_password_was_known_to_the_node_before_and_the_old_one_stays(secured: Secured) -> None:
    old = secured.user(names.API)
    del secured.there["Secret", names.elasticsearch_user("photos", names.API)]
    files = secured.text(names.elasticsearch_users("photos"), "users")
    secured.look()
    new = secured.user(names.API)
    assert new != old
    # What the node had before it could read what was written now:
    secured.write(secured.node.config / "users", files)
    assert secured.knows(new)
    assert secured.knows(old)
    secured.look()
    assert secured.knows(new)
    assert secured.knows(old)


def test_no_request_of_the_api_fails_while_its_password_is_replaced(
    secured: Secured, service: Server, tmp_path: Path
) -> None:
    service.add("steady.jpg", jpeg(5))
    failures, answered, stop = [], itertools.count(), threading.Event()

    def ask() -> None:
        while not stop.wait(0.02):
            answer = service.form("POST", "/search", {}, {"image": jpeg(5)})
            if answer.status != 200:
                failures.append(answer.body)
            next(answered)

    clients = [threading.Thread(target=ask) for _ in range(4)]
    for client in clients:
        client.start()
    old = secured.user(names.API)
    for _ in range(3):
        # Nodes hear of a successor within two minutes, so replacing more often than that is not promised.
        progress.until(lambda: secured.knows(secured.successor(names.API)), 30, "the next user known")
        del secured.there["Secret", names.elasticsearch_user("photos", names.API)]
        secured.look()
        given = environ(secured, tmp_path, names.API)["ELASTICSEARCH_CREDENTIALS"]
        assert (Path(given) / "username").read_text() == secured.user(names.API)[0] != old[0]
        so_far = next(answered)
        progress.until(lambda so_far=so_far: next(answered) > so_far + 200, 60, "requests answered")
    stop.set()
    for client in clients:
        client.join()
    assert failures == []


def test_the_password_for_people_changes_within_seconds(secured: Secured) -> None:
    old = secured.user(names.OPERATOR)
    for secret in (names.elasticsearch_user("photos", names.OPERATOR), names.elasticsearch_users("photos")):
        del secured.there["Secret", secret]
    secured.look()
    progress.until(lambda: secured.knows(secured.user(names.OPERATOR)), 30, "the new user known")
    progress.until(lambda: not secured.knows(old), 30, "the old user forgotten")


def test_certificates_are_read_anew_while_the_node_runs(secured: Secured) -> None:
    before = secured.shown()
    trusted = secured.authority + secured.text(CERTIFICATES, "ca.crt")
    for key, file in FILES.items():
        content = trusted if key == "ca.crt" else secured.text(CERTIFICATES, key)
        secured.write(secured.node.config / "certs" / file, content)
    progress.until(lambda: secured.shown() != before, 60, "the new certificate shown")
    wanted = x509.load_pem_x509_certificate(secured.text(CERTIFICATES, "tls.crt").encode()).serial_number
    assert secured.shown() == str(wanted)
    after = secured.shown()
    del secured.there["Secret", names.authority("photos")]
    secured.look()
    for key, file in FILES.items():
        secured.write(secured.node.config / "certs" / file, secured.text(CERTIFICATES, key))
    progress.until(lambda: secured.shown() != after, 60, "one of the next authority shown")
