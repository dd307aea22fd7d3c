"""Parts of the spec on how a cluster meets others: an external Elasticsearch, snapshots, security."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from cronsim import CronSim, CronSimError

from match_operator.errors import InvalidSpecError
from match_operator.stores import ObjectStore
from match_operator.stores import parse as parse_store

Json = dict[str, Any]

ENABLED: Final = "Enabled"
DISABLED: Final = "Disabled"


@dataclass(frozen=True, slots=True)
class External:
    """spec.elasticsearch.external"""

    urls: tuple[str, ...]
    secret: str
    """Secret with username and password or apiKey; empty for none."""
    ca_secret: str
    """Secret with the authority's certificates; empty for the usual ones."""
    ca_key: str
    take_over_from: str
    """UID of the former owner of the index; empty for none."""


@dataclass(frozen=True, slots=True)
class Oidc:
    """spec.api.auth.oidc"""

    issuer: str
    audiences: tuple[str, ...]
    scope_claim: str
    scopes: tuple[tuple[str, tuple[str, ...]], ...]
    """For each scope the values that stand for it; only those that have any."""
    ca_secret: str
    """Secret with the authority's certificates; empty for the usual ones."""
    ca_key: str


@dataclass(frozen=True, slots=True)
class Snapshots:
    """spec.snapshots; of claim, location, name and store one is given, the others are empty."""

    claim: str
    folder: str
    location: str
    name: str
    store: ObjectStore | None
    read_only: bool
    schedule: str
    keep: int


@dataclass(frozen=True, slots=True)
class Security:
    """spec.elasticsearch.security"""

    enabled: bool
    """Whether Elasticsearch has TLS and users: what it was founded with, since that cannot change later."""
    asked: bool
    """Whether it should have, by the spec and its defaults."""
    secret: str
    """The user's own Secret with the nodes' certificate; empty for one that is made."""


def security(elasticsearch: Json, default: str, status: Json) -> Security:
    """In force for these nodes; ``default`` is ENABLED or DISABLED, ``status`` what was written last."""
    raw = elasticsearch["security"]
    mode, given = raw["mode"] or default, raw.get("certificateSecretRef") or {"name": ""}
    if elasticsearch.get("external"):
        return Security(enabled=False, asked=False, secret="")
    asked = mode == ENABLED
    founded = status.get("elasticsearch", {})
    enabled = bool(founded.get("secured")) if founded.get("clusterUUID") else asked
    return Security(enabled=enabled, asked=asked, secret=given["name"] if enabled else "")


@dataclass(frozen=True, slots=True)
class Network:
    """spec.networkPolicy"""

    enabled: bool
    elasticsearch_from: tuple[Json, ...]
    """Peers, as a NetworkPolicy has them, that may reach Elasticsearch beside our own pods."""
    api_from: tuple[Json, ...]
    """The only ones that may reach the API; none for anybody."""
    operator_namespace: str
    """Empty where it is not known."""


def network(raw: Json, default: str, operator_namespace: str) -> Network:
    """In force; ``default`` is ENABLED or DISABLED."""
    mode, nodes, api = raw["mode"] or default, raw["elasticsearchFrom"], raw["apiFrom"]
    return Network(mode == ENABLED, tuple(nodes), tuple(api), operator_namespace)


def founded_without(status: Json) -> bool:
    """Whether the cluster runs without TLS and users."""
    founded = status.get("elasticsearch", {})
    return bool(founded.get("clusterUUID")) and not founded.get("secured")


def external(raw: Json | None) -> External | None:
    """spec.elasticsearch.external, where there is one."""
    if not raw:
        return None
    ca = raw.get("caSecretRef") or {"name": "", "key": ""}
    return External(
        urls=tuple(raw["urls"]),
        secret=(raw.get("secretRef") or {"name": ""})["name"],
        ca_secret=ca["name"],
        ca_key=ca["key"],
        take_over_from=raw["takeOverFrom"],
    )


def oidc(raw: Json | None) -> Oidc | None:
    """spec.api.auth.oidc, where there is one."""
    if not raw:
        return None
    ca, scopes = raw.get("caSecretRef") or {"name": "", "key": ""}, raw["scopes"]
    named = (("read", scopes["read"]), ("write", scopes["write"]), ("admin", scopes["admin"]))
    return Oidc(
        issuer=raw["issuer"],
        audiences=tuple(raw["audiences"]),
        scope_claim=raw["scopeClaim"],
        scopes=tuple((scope, tuple(values)) for scope, values in named if values),
        ca_secret=ca["name"],
        ca_key=ca["key"],
    )


def snapshots(raw: Json | None, cluster: str, namespace: str) -> Snapshots | None:
    """spec.snapshots of a MatchCluster; raises ``InvalidSpecError`` for a bad schedule."""
    if not raw:
        return None
    repository, schedule = raw["repository"], raw["schedule"]
    claim = repository.get("claim") or {"name": "", "folder": ""}
    if schedule:
        try:
            CronSim(schedule, datetime.min.replace(tzinfo=UTC))
        except CronSimError as error:
            raise InvalidSpecError(f"snapshots.schedule {schedule!r} cannot be: {error}") from None
        if len(schedule.split()) != 5:
            raise InvalidSpecError(f"snapshots.schedule {schedule!r} must have five fields; it is in minutes")
    return Snapshots(
        claim=claim["name"],
        folder=claim["folder"] or cluster,
        location=repository.get("location", ""),
        name=repository.get("name", ""),
        store=parse_store(repository, f"{namespace}/{cluster}"),
        read_only=repository["readOnly"],
        schedule=schedule,
        keep=raw["keep"],
    )
