"""Parts of the spec for what the operator does not make: somebody's Elasticsearch, a place for snapshots."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from cronsim import CronSim, CronSimError

from match_operator.errors import InvalidSpecError

Json = dict[str, Any]


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
class Snapshots:
    """spec.snapshots; of claim, location and name one is given, the others are empty."""

    claim: str
    folder: str
    location: str
    name: str
    read_only: bool
    schedule: str
    keep: int


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


def snapshots(raw: Json | None, cluster: str) -> Snapshots | None:
    """spec.snapshots of a MatchCluster of that name; raises ``InvalidSpecError`` for a bad schedule."""
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
        read_only=repository["readOnly"],
        schedule=schedule,
        keep=raw["keep"],
    )
