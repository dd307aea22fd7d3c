"""How Elasticsearch is reached and as whom: the one place that knows where address and credentials come from.

The client at the end takes what this says and never asks where it was. Pure: Secrets were read before.
"""

from dataclasses import dataclass, field, replace

from match_operator import names
from match_operator.api import MatchCluster
from match_operator.errors import ElasticsearchError
from match_operator.observed import Json, Observed, text
from match_operator.parts import External


@dataclass(frozen=True, slots=True)
class Access:
    """Equal values reach the same server as the same user, so a client is kept as long as they are."""

    url: str
    """One address, or several with commas between them."""
    username: str = ""
    """Empty: nobody is asked for."""
    password: str = field(default="", repr=False)
    api_key: str = field(default="", repr=False)
    """In place of user and password, as Elasticsearch encodes it; empty: none."""
    authority: str = field(default="", repr=False)
    """Certificates to trust, as PEM; empty: those that the system trusts."""
    external: bool = False
    """Whether others live there too."""


def url(cluster: MatchCluster) -> str:
    """Addresses of Elasticsearch, comma separated."""
    if cluster.external:
        return ",".join(cluster.external.urls)
    scheme = "https" if cluster.security.enabled else "http"
    return names.elasticsearch_url(cluster.name, cluster.namespace, scheme)


def to_elasticsearch(cluster: MatchCluster, seen: Observed) -> Access:
    """Access to the cluster's Elasticsearch for the operator.

    Raises ``ElasticsearchError`` with a sentence when a Secret that it takes is missing or lacks a key.
    """
    if cluster.external:
        return _to_external(cluster, cluster.external, seen)
    if not cluster.security.enabled:
        return Access(url(cluster))
    user = seen.secret(names.elasticsearch_user(cluster.name, names.OPERATOR))
    given = cluster.security.secret
    shown = _found(seen, given) if given else seen.secret(names.certificates(cluster.name))
    return Access(
        url(cluster),
        username=text(user, "username"),
        password=text(user, "password"),
        authority=text(shown, names.TRUSTED_KEY),
    )


def _to_external(cluster: MatchCluster, external: External, seen: Observed) -> Access:
    authority = ""
    if external.ca_secret:
        authority = _read(seen, external.ca_secret, external.ca_key)
    access = Access(url(cluster), authority=authority, external=True)
    if not external.secret:
        return access
    if api_key := text(_found(seen, external.secret), "apiKey"):
        return replace(access, api_key=api_key)
    if not text(_found(seen, external.secret), "username"):
        raise ElasticsearchError(
            f"the Secret {external.secret} holds neither username and password nor apiKey"
        )
    username, password = (_read(seen, external.secret, key) for key in ("username", "password"))
    return replace(access, username=username, password=password)


def _read(seen: Observed, name: str, key: str) -> str:
    value = text(_found(seen, name), key)
    if not value:
        raise ElasticsearchError(f"the Secret {name} holds nothing under {key}")
    return value


def _found(seen: Observed, name: str) -> Json:
    secret = seen.given.get(name)
    if secret is None:
        raise ElasticsearchError(f"there is no Secret {name} in this namespace")
    return secret
