"""How pods of ours come to Elasticsearch's credentials: as files, from Secrets that may change."""

from typing import Any, Final

from match_operator import names
from match_operator.api import MatchCluster

Json = dict[str, Any]

CREDENTIALS: Final = "/etc/match/elasticsearch"
AUTHORITY: Final = "/etc/match/elasticsearch-ca"


def env(cluster: MatchCluster) -> dict[str, str]:
    """Where the service finds them."""
    external = cluster.external
    found = {}
    if cluster.security.enabled or (external and external.secret):
        found["ELASTICSEARCH_CREDENTIALS"] = CREDENTIALS
    if cluster.security.enabled or (external and external.ca_secret):
        found["ELASTICSEARCH_CA_CERTS"] = f"{AUTHORITY}/{names.TRUSTED_KEY}"
    return found


def mounts(cluster: MatchCluster) -> list[Json]:
    """Of the container. Whole folders, since a file that is mounted alone never changes."""
    places = {"ELASTICSEARCH_CREDENTIALS": CREDENTIALS, "ELASTICSEARCH_CA_CERTS": AUTHORITY}
    return [
        {"name": place.rpartition("/")[2], "mountPath": place, "readOnly": True}
        for name, place in places.items()
        if name in env(cluster)
    ]


def volumes(cluster: MatchCluster, component: str) -> list[Json]:
    """Of a pod of ``component``: each comes as a user of its own."""
    if cluster.security.enabled:
        user = names.elasticsearch_user(cluster.name, component)
        trusted = cluster.security.secret or names.certificates(cluster.name)
        return [
            {"name": "elasticsearch", "secret": {"secretName": user}},
            {
                "name": "elasticsearch-ca",
                "secret": {"secretName": trusted, "items": [_trusted(names.TRUSTED_KEY)]},
            },
        ]
    external = cluster.external
    found: list[Json] = []
    if external and external.secret:
        keys = ("username", "password", "apiKey")
        # Those of the keys that it holds: it may have others, which are none of the pod's business.
        sources = [
            {
                "secret": {
                    "name": external.secret,
                    "optional": True,
                    "items": [{"key": key, "path": key}],
                }
            }
            for key in keys
        ]
        found.append({"name": "elasticsearch", "projected": {"sources": sources}})
    if external and external.ca_secret:
        items = [_trusted(external.ca_key)]
        found.append(
            {"name": "elasticsearch-ca", "secret": {"secretName": external.ca_secret, "items": items}}
        )
    return found


def _trusted(key: str) -> Json:
    """Where in the mounted folder the authorities are that a Secret holds under ``key``."""
    return {"key": key, "path": names.TRUSTED_KEY}
