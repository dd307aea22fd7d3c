"""Story: people come in with tokens of our issuer, and scripts go on with their keys."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from issuing import AUDIENCE, Site, certificate, issuer
from labcluster.network import GATEWAY
from stories import Namespace

NAME = "photos"
SECRET = "issuer"


@pytest.fixture
def site(photos: Namespace, tmp_path: Path) -> Iterator[Site]:
    """An issuer on this machine, which the API's pods trust by its own authority."""
    if not photos.lab.local:
        pytest.skip("pods reach a program on this machine only here")
    file = certificate(tmp_path / "tls.pem", GATEWAY)
    authority = file.read_text().partition("-----BEGIN PRIVATE KEY")[0]
    with issuer(certificate=file, host=GATEWAY) as running:
        photos.kubectl("create", "secret", "generic", SECRET, f"--from-literal=ca.crt={authority}")
        oidc = {"issuer": running.url, "audiences": [AUDIENCE], "caSecretRef": {"name": SECRET}}
        photos.patch(NAME, {"api": {"auth": {"oidc": oidc}}})
        photos.wait_ready(NAME)
        yield running
        photos.patch(NAME, {"api": {"auth": {"oidc": None}}})
        photos.wait_ready(NAME)
        photos.kubectl("delete", "secret", SECRET)


def test_a_token_is_good_for_what_its_claims_say_and_keys_are_as_before(photos: Namespace, site: Site):
    with photos.api(NAME) as api:

        def ask(method: str, path: str, **header: str) -> int:
            return requests.request(method, api.url + path, headers=header, timeout=30).status_code

        def bearer(**claims: str | int) -> dict[str, str]:
            return {"Authorization": f"Bearer {site.token(**claims)}"}

        assert ask("GET", "/count", **bearer()) == 200
        assert ask("DELETE", "/delete?filepath=none.jpg", **bearer()) == 403
        assert ask("DELETE", "/delete?filepath=none.jpg", **bearer(scope="write")) == 200
        assert ask("GET", "/count", **bearer(exp=1)) == 401
        assert ask("GET", "/count", **bearer(aud="another")) == 401
        assert ask("GET", "/count", **{"X-Api-Key": api.key}) == 200
        assert ask("GET", "/count") == 401
    assert site.asked > 0
