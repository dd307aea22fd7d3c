"""What the API's pods are told of an issuer of tokens: settings, and who may sign its certificate."""

import json
from typing import Any, Final

from match_operator import names
from match_operator.api import MatchCluster

Json = dict[str, Any]

AUTHORITY: Final = "/etc/match/issuer-ca"
VOLUME: Final = "issuer-ca"


def env(cluster: MatchCluster) -> dict[str, str]:
    """As the service's settings name them."""
    oidc = cluster.api.auth.oidc
    if not oidc:
        return {}
    found = {
        "MATCH_OIDC_ISSUER": oidc.issuer,
        "MATCH_OIDC_AUDIENCE": ",".join(oidc.audiences),
        "MATCH_OIDC_SCOPE_CLAIM": oidc.scope_claim,
        "MATCH_OIDC_SCOPES": json.dumps(dict(oidc.scopes)),
    }
    return found | ({"MATCH_OIDC_CA": f"{AUTHORITY}/{names.TRUSTED_KEY}"} if oidc.ca_secret else {})


def mounts(cluster: MatchCluster) -> list[Json]:
    """Of the container. A whole folder, since a file that is mounted alone never changes."""
    if "MATCH_OIDC_CA" not in env(cluster):
        return []
    return [{"name": VOLUME, "mountPath": AUTHORITY, "readOnly": True}]


def volumes(cluster: MatchCluster) -> list[Json]:
    """Of the pod."""
    oidc = cluster.api.auth.oidc
    if not oidc or not oidc.ca_secret:
        return []
    items = [{"key": oidc.ca_key, "path": names.TRUSTED_KEY}]
    return [{"name": VOLUME, "secret": {"secretName": oidc.ca_secret, "items": items}}]
