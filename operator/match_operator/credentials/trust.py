"""The Secrets of TLS among a cluster's nodes and to them: who signs, what nodes show, whom all trust."""

import json
from typing import Any, Final

from match_operator import names
from match_operator.api import MatchCluster
from match_operator.credentials import certificates
from match_operator.credentials.certificates import Pair
from match_operator.credentials.rolling import ENDING, Chance, ending, follow, secret
from match_operator.observed import Observed, text

Json = dict[str, Any]

NEXT_CERTIFICATE: Final = "next.crt"
NEXT_KEY: Final = "next.key"


def secrets(cluster: MatchCluster, seen: Observed, chance: Chance) -> list[Json]:
    """The signing authority's Secret, which nothing mounts, and the one with what the nodes show and trust.

    Deleting the former has the next authority sign, which all trust already; deleting the latter has a new
    certificate made; deleting both leaves nothing to be trusted of either.
    """
    private, shown = (
        seen.secret(n) for n in (names.authority(cluster.name), names.certificates(cluster.name))
    )
    signing, successor = _authorities(cluster, private, shown, chance)
    trusted = [signing.certificate, successor.certificate]
    before = _certificates(text(shown, names.TRUSTED_KEY))
    ends = ending(before, trusted, text(shown, ENDING), chance.now)
    hosts = _hosts(cluster)
    leaf = Pair(text(shown, names.CERTIFICATE_KEY), text(shown, names.PRIVATE_KEY))
    if not certificates.fits(leaf, signing, hosts) or (
        certificates.left(leaf.certificate, chance.now) < certificates.LEFT
    ):
        leaf = certificates.sign(signing, f"{cluster.name} Elasticsearch", hosts, chance.now)
    data = {
        names.CERTIFICATE_KEY: leaf.certificate,
        names.PRIVATE_KEY: leaf.key,
        names.TRUSTED_KEY: "".join([*trusted, *sorted(ends)]),
        NEXT_CERTIFICATE: successor.certificate,
        NEXT_KEY: successor.key,
        ENDING: json.dumps(ends, sort_keys=True),
    }
    own = {names.CERTIFICATE_KEY: signing.certificate, names.PRIVATE_KEY: signing.key}
    return [
        secret(cluster.name, names.ELASTICSEARCH, names.authority(cluster.name), own),
        secret(cluster.name, names.ELASTICSEARCH, names.certificates(cluster.name), data),
    ]


def _authorities(
    cluster: MatchCluster, private: Json | None, shown: Json | None, chance: Chance
) -> tuple[Pair, Pair]:
    """The one that signs and the one that will, each with enough time to go."""

    def good(found: Pair, least: Any) -> str:
        long_enough = certificates.left(found.certificate, chance.now) >= least
        return found.text if long_enough and certificates.is_authority(found) else ""

    current = good(
        Pair(text(private, names.CERTIFICATE_KEY), text(private, names.PRIVATE_KEY)),
        certificates.AUTHORITY_LEFT,
    )
    after = Pair(text(shown, NEXT_CERTIFICATE), text(shown, NEXT_KEY))
    # One that is to sign at once need not last as long as one that waits for its turn.
    least = certificates.SUCCESSOR_LEFT if current else certificates.AUTHORITY_LEFT
    found = follow(
        current, good(after, least), lambda: certificates.authority(cluster.full_name, chance.now).text
    )
    return certificates.pair(found[0]), certificates.pair(found[1])


def _hosts(cluster: MatchCluster) -> list[str]:
    """Names by which the nodes are asked; among themselves they look at who signed only."""
    service, nodes = names.elasticsearch_http(cluster.name), names.elasticsearch_nodes(cluster.name)
    where = f"{cluster.namespace}.svc"
    return [service, f"{service}.{where}", f"*.{nodes}.{where}", "localhost"]


def _certificates(bundle: str) -> list[str]:
    mark = "-----BEGIN CERTIFICATE-----"
    return [mark + part for part in bundle.split(mark)[1:]]
