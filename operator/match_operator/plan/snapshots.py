"""The snapshot repository, snapshots by schedule, and which of them are kept.

What is due is read from the repository itself: a snapshot of the schedule is named after the time for which
it is, so a time that was missed is made up for, and a crash can make none twice. Elasticsearch's own snapshot
lifecycle (SLM) is not used: it is no part of the server that the tests can have, and what no test has seen is
not to be trusted with backups.
"""

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from cronsim import CronSim

from match_operator.api import MatchCluster
from match_operator.credentials import keystore
from match_operator.desired.elasticsearch import SNAPSHOTS
from match_operator.merge import drift
from match_operator.observed import Observed, Repository, Snapshot
from match_operator.plan.index_steps import DropSnapshots, PutRepository, TakeSnapshot
from match_operator.plan.steps import Step

Json = dict[str, Any]


def repository(cluster: MatchCluster) -> str:
    """Name of the repository in Elasticsearch; empty where the spec has none."""
    snapshots = cluster.snapshots
    return (snapshots.name or f"match-{cluster.index.name}") if snapshots else ""


def body(cluster: MatchCluster) -> Json | None:
    """How the repository is to be registered; None where that is somebody else's affair."""
    snapshots = cluster.snapshots
    if snapshots is None or snapshots.name:
        return None
    if snapshots.store:
        return snapshots.store.repository(read_only=snapshots.read_only)
    location = snapshots.location or f"{SNAPSHOTS}/{snapshots.folder}"
    return {"type": "fs", "settings": {"location": location, "readonly": str(snapshots.read_only).lower()}}


def ready(seen: Observed) -> Repository | None:
    """The repository, once it can be used."""
    found = seen.elastic.repository if seen.elastic else None
    return found if found and found.body and not found.silence else None


def obstacle(cluster: MatchCluster, seen: Observed, trouble: str) -> tuple[str, str] | None:
    """What is wrong with the repository, as a reason and a sentence; ``trouble`` is what a step just met."""
    name = repository(cluster)
    found = seen.elastic.repository if seen.elastic else None
    if found is None:
        return "Unknown", "the repository cannot be seen while Elasticsearch does not answer"
    if lacking := keystore.problem(cluster, seen):
        return "CredentialsMissing", lacking
    if trouble:
        return "Refused", f"Elasticsearch: {trouble}"
    if found.body is None:
        return "Missing", f"Elasticsearch knows no repository {name}"
    if found.silence:
        return "Unusable", f"the repository {name} cannot be read: {found.silence}"
    return None


def taken_for(cluster: MatchCluster, time: datetime) -> str:
    """Name of the schedule's snapshot for a time."""
    return f"{cluster.index.name}-{time:%Y%m%d-%H%M%S}"


def steps(cluster: MatchCluster, seen: Observed) -> Iterator[Step]:
    """What is due now."""
    elastic, snapshots = seen.elastic, cluster.snapshots
    if elastic is None or snapshots is None or elastic.repository is None or not elastic.indices:
        return
    name, wanted = repository(cluster), body(cluster)
    if wanted and (elastic.repository.body is None or drift(wanted, elastic.repository.body)):
        if keystore.problem(cluster, seen):
            return  # the nodes have no credentials for it, or those for another
        yield PutRepository(name, wanted)
        return
    found = ready(seen)
    if found is None or snapshots.read_only or not snapshots.schedule:
        return
    due = taken_for(cluster, last_time(snapshots.schedule, seen.now))
    running = [s for s in found.snapshots if s.state == "IN_PROGRESS"]
    ours = [s for s in running if s.cluster == cluster.full_name]
    if not found.find(due) and not ours and len(elastic.indices) == 1:
        yield TakeSnapshot(name, due, next(iter(elastic.indices)), metadata(cluster))
    surplus = _surplus(cluster, found)
    if surplus and not running:  # whoever's: Elasticsearch would have the deletion wait for its end
        yield DropSnapshots(name, surplus)


def metadata(cluster: MatchCluster, request: str = "") -> Json:
    """What a snapshot says of itself; ``request`` names the MatchSnapshot that asked for it."""
    mark = {"cluster": cluster.full_name, "uid": cluster.uid}
    return {"match": mark | ({"request": request} if request else {"scheduled": True})}


def last_time(schedule: str, now: datetime) -> datetime:
    """The newest time of a schedule that has come."""
    return next(CronSim(schedule, now, reverse=True))


def next_time(schedule: str, now: datetime) -> datetime:
    """The next time of a schedule."""
    return next(CronSim(schedule, now))


def _surplus(cluster: MatchCluster, found: Repository) -> tuple[str, ...]:
    """The schedule's snapshots beyond those to keep, and failed ones older than the newest good one."""
    assert cluster.snapshots is not None  # noqa: S101 - narrows the type
    ours = sorted((s for s in found.snapshots if is_scheduled(cluster, s)), key=lambda s: s.start)
    good = [s for s in ours if s.state == "SUCCESS"]
    surplus = good[: -cluster.snapshots.keep]
    if good:
        surplus += [s for s in ours if s.state in ("FAILED", "PARTIAL") and s.start < good[-1].start]
    return tuple(s.name for s in surplus)


def is_scheduled(cluster: MatchCluster, snapshot: Snapshot) -> bool:
    """Whether our schedule made it: those of an alias that begins like ours are listed as well."""
    named = re.fullmatch(re.escape(cluster.index.name) + r"-\d{8}-\d{6}", snapshot.name)
    return bool(named) and snapshot.scheduled and snapshot.cluster == cluster.full_name
