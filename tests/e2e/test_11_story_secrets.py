"""Story: nobody comes in without a key, a password and TLS; I replace each by deleting its Secret."""

import contextlib
import socket
import ssl

import pytest
import requests
import urllib3
from cryptography import x509

from door import door
from stories import Api, Namespace, Searcher, picture, wait
from traffic import NOTHING, measured

NAME = "photos"
USER = f"{NAME}-es-api-user"
REREAD_SECONDS = 180
"""The kubelet reads a mounted Secret anew within two minutes."""


def uids(photos: Namespace) -> set[str]:
    both = [*photos.pods(NAME, "api").values(), *photos.pods(NAME, "elasticsearch").values()]
    return {pod["metadata"]["uid"] for pod in both}


def remade(photos: Namespace, secret: str) -> dict[str, str]:
    """Delete a Secret; what the operator puts in its place."""
    before = photos.get("secret", secret)["metadata"]["uid"]
    photos.kubectl("delete", "secret", secret)

    def there() -> bool:
        found = photos.kubectl(
            "get", "secret", secret, "--ignore-not-found", "-o", "jsonpath={.metadata.uid}"
        )
        return found not in ("", before)

    wait(there, 60, lambda: photos.kubectl("get", "secrets"))
    return photos.secret(secret)


def refused(url: str, key: str) -> bool:
    return requests.get(f"{url}/count", headers={"X-Api-Key": key}, timeout=10).status_code == 401


def test_nobody_without_a_key_is_let_in_and_each_key_may_what_its_scope_says(photos: Namespace):
    with photos.api(NAME) as api:
        api.add("keys.jpg", picture(110))
        assert refused(api.url, "")
        assert refused(api.url, "match_guessed")
        reader = Api(api.url, photos.key(NAME, "read"))
        assert reader.search(picture(110))[0]["filepath"] == "keys.jpg"
        url, known = f"{api.url}/delete?filepath=keys.jpg", {"X-Api-Key": reader.key}
        assert requests.delete(url, headers=known, timeout=10).status_code == 403


def test_a_key_is_replaced_by_deleting_its_secret_and_no_request_fails(photos: Namespace):
    before = uids(photos)
    with photos.api(NAME) as api:
        api.add("keys.jpg", picture(110))
        with Searcher(api, picture(110), "keys.jpg") as old:
            renewed = Api(api.url, remade(photos, f"{NAME}-api-key")["admin"])
            assert renewed.key != api.key
            with Searcher(renewed, picture(110), "keys.jpg") as new:
                wait(lambda: new.requests > 60, 120, lambda: str(new.requests))
    print(f"\n{old.requests} searches with the old key and {new.requests} with the new one")
    assert (old.failures, new.failures) == ([], [])
    assert uids(photos) == before, "nothing was restarted"


def test_nobody_without_tls_and_a_password_reaches_elasticsearch(photos: Namespace):
    with door(photos, NAME) as elasticsearch:
        assert elasticsearch.ask("/_cluster/health")["status"] == "green"
        assert elasticsearch.send("GET", "/", user="").status == 401
        assert elasticsearch.send("GET", "/", user="elastic:guessed").status == 401
        user = photos.secret(USER)
        api = f"{user['username']}:{user['password']}"
        assert elasticsearch.send("GET", "/images/_count", user=api).status == 200
        assert elasticsearch.send("DELETE", "/images-000001", user=api).status == 403
        assert elasticsearch.send("GET", "/_cluster/settings", user=api).status == 403
    with (
        photos.lab.reach(photos.name, f"{NAME}-es-http", 9200) as plain,
        urllib3.PoolManager() as http,
        pytest.raises(urllib3.exceptions.HTTPError),
    ):
        http.request("GET", plain, retries=False, timeout=10)


def test_the_apis_password_is_replaced_by_deleting_its_secret_and_no_request_fails(photos: Namespace):
    photos.wait_ready(NAME)
    before = uids(photos)
    with measured(photos, NAME, "passwords rotated") as seen:
        renewed = remade(photos, USER)["username"]
        for pod in photos.pods(NAME, "api"):
            read = ("exec", pod, "--", "cat", "/etc/match/elasticsearch/username")
            wait(lambda read=read: photos.kubectl(*read) == renewed, REREAD_SECONDS, str)
        sent = seen.sent
        wait(lambda: seen.sent > sent + 200, 60, str)
    assert uids(photos) == before, "nothing was restarted"
    assert seen.told() == NOTHING


def test_the_operators_password_is_replaced_by_deleting_its_secret(photos: Namespace):
    renewed = remade(photos, f"{NAME}-es-operator-user")["username"]
    photos.patch(NAME, {"index": {"refreshInterval": "2s"}})
    photos.wait_ready(NAME)
    photos.patch(NAME, {"index": {"refreshInterval": "1s"}})
    photos.wait_ready(NAME)
    assert photos.secret(f"{NAME}-es-operator-user")["username"] == renewed


def shown(address: str) -> int:
    """Serial number of the certificate that a node shows now."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection((address, 9200), 10) as plain, context.wrap_socket(plain) as secure:
        return x509.load_der_x509_certificate(secure.getpeercert(binary_form=True) or b"").serial_number


def test_authority_and_certificate_are_replaced_while_the_nodes_serve(photos: Namespace):
    if not photos.lab.local:
        pytest.skip("pods are reached by their own addresses only here")
    photos.wait_ready(NAME)
    before = uids(photos)
    with measured(photos, NAME, "certificates rotated") as seen:
        remade(photos, f"{NAME}-es-authority")
        certificate = photos.secret(f"{NAME}-es-certificates")["tls.crt"]
        wanted = x509.load_pem_x509_certificate(certificate.encode()).serial_number
        for pod in photos.pods(NAME, "elasticsearch").values():
            address = pod["status"]["podIP"]
            wait(lambda address=address: serial(address) == wanted, REREAD_SECONDS, str)
        sent = seen.sent
        wait(lambda: seen.sent > sent + 200, 60, str)
    assert uids(photos) == before, "nothing was restarted"
    photos.wait_ready(NAME)


def serial(address: str) -> int:
    with contextlib.suppress(OSError):
        return shown(address)
    return 0
