"""What is asked of a MatchCluster once: MatchSnapshots and MatchRestores, one step at a time.

A restore goes into a new index beside the one that serves. Its name is written to the MatchRestore's status
before it is made, so that nobody else takes it for left over, and so that a crash loses nothing. Only when
all of it is there, and the images that are there are none or may go, the alias moves, in one request.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import match_index
from match_operator import names
from match_operator.api import MatchCluster
from match_operator.observed import Elastic, Observed, Repository, Snapshot
from match_operator.plan import index, ownership, snapshots
from match_operator.plan.index_steps import (
    DropReplaced,
    MarkIndex,
    RestoreSnapshot,
    SwitchIndex,
    TakeSnapshot,
)
from match_operator.plan.steps import Step

Json = dict[str, Any]

FINAL: Final = ("Completed", "Failed")


@dataclass(frozen=True, slots=True)
class Answer:
    """How far a request is, and what to do for it now."""

    item: Json
    phase: str
    message: str
    facts: Json = field(default_factory=dict)
    """Further fields of its status."""
    steps: tuple[Step, ...] = ()


def answers(cluster: MatchCluster, seen: Observed, trouble: str = "") -> Iterator[Answer]:
    """One for each request that is not over; ``trouble`` is what a step for the repository met just now."""
    restoring = set(seen.restoring)
    for item in seen.requests:
        if phase(item) in FINAL:
            continue
        if reason := _unusable(cluster, seen, trouble):
            yield Answer(item, phase(item) or "Pending", f"waiting for {reason}", _facts(item))
        elif item["kind"] == names.SNAPSHOT_KIND:
            yield _snapshot(cluster, seen, item)
        elif phase(item) == "Restoring":
            yield _restoring(cluster, seen, item)
        else:
            answer = _restore(cluster, seen, item, restoring)
            # The next would begin from the same look, so into the same index.
            restoring |= {answer.facts["index"]} if answer.phase == "Restoring" else set()
            yield answer


def orphaned(item: Json) -> Answer:
    """Of a request whose MatchCluster does not exist."""
    return Answer(item, "Pending", f"waiting for a MatchCluster {item['spec']['cluster']} in this namespace")


def phase(item: Json) -> str:
    """What its status says; empty before the first look."""
    said: str = (item.get("status") or {}).get("phase", "")
    return said


def _facts(item: Json) -> Json:
    status = item.get("status") or {}
    return {k: status[k] for k in ("index", "replaced", "snapshot", "repository") if k in status}


def _unusable(cluster: MatchCluster, seen: Observed, trouble: str) -> str:
    """What must be first, whatever is asked."""
    if cluster.paused:
        return "the MatchCluster to be no longer paused"
    if cluster.snapshots is None:
        return f"spec.snapshots of MatchCluster {cluster.name}, which names the repository"
    if seen.elastic is None:
        return f"Elasticsearch: {seen.silence}"
    if any(problem.reason in index.NOT_OURS for problem in index.problems(cluster, seen)):
        return f"the index {cluster.index.name} to be this MatchCluster's; see its condition Stalled"
    if snapshots.ready(seen) is None:
        _, why = snapshots.obstacle(cluster, seen, trouble) or ("", "")
        return f"the snapshot repository {snapshots.repository(cluster)}: {why}"
    if len(seen.elastic.indices) != 1:
        return f"the index {cluster.index.name}"
    return ""


def _snapshot(cluster: MatchCluster, seen: Observed, item: Json) -> Answer:
    elastic, found = _parts(seen)
    if cluster.snapshots and cluster.snapshots.read_only:
        return Answer(item, "Pending", "waiting for a repository that is not readOnly")
    metadata = item["metadata"]
    name = f"{cluster.index.name}-{metadata['name'][:80]}-{metadata['uid'][:8]}"
    facts = {"repository": found.name, "snapshot": name}
    made = found.find(name)
    if made is None:
        mark = snapshots.metadata(cluster, metadata["name"])
        step = TakeSnapshot(found.name, name, next(iter(elastic.indices)), mark)
        return Answer(item, "Running", "waiting for Elasticsearch to begin", facts, (step,))
    facts |= {"startTime": made.start} | ({"endTime": made.end} if made.end else {})
    if made.state == "IN_PROGRESS":
        return Answer(item, "Running", "waiting for Elasticsearch to copy the index", facts)
    if made.state == "SUCCESS":
        return Answer(item, "Completed", f"the snapshot {name} is in the repository {found.name}", facts)
    return Answer(item, "Failed", f"Elasticsearch calls the snapshot {made.state}: {made.reason}", facts)


def _restore(cluster: MatchCluster, seen: Observed, item: Json, restoring: Collection[str]) -> Answer:
    elastic, found = _parts(seen)
    if restoring:
        return Answer(item, "Pending", f"waiting for the restore into index {min(restoring)} to end")
    if moving := index.move(cluster, seen):
        return Answer(item, "Pending", f"waiting for the move to index {moving.target} to end")
    wanted = found.find(item["spec"]["snapshot"])
    if refusal := _refusal(item, found, wanted) or _would_lose(cluster, elastic, item):
        return Answer(item, "Refused", refusal)
    [current] = elastic.indices
    newest = max(match_index.generation(name) for name in (current, *elastic.spare))
    target = match_index.backing_index(cluster.index.name, newest + 1)
    # No step yet: the name is in the status before anything has it.
    return Answer(item, "Restoring", "about to begin", {"index": target, "replaced": current})


def _refusal(item: Json, found: Repository, wanted: Snapshot | None) -> str:
    name = item["spec"]["snapshot"]
    if wanted is None:
        return f"the repository {found.name} has no snapshot {name}"
    if wanted.state != "SUCCESS":
        return f"the snapshot {name} is not whole: Elasticsearch calls it {wanted.state}"
    if len(wanted.indices) != 1:
        return f"the snapshot {name} holds {len(wanted.indices)} indices instead of one of images"
    return ""


def _would_lose(cluster: MatchCluster, elastic: Elastic, item: Json) -> str:
    if item["spec"]["overwrite"] or not elastic.documents:
        return ""
    return (
        f"MatchCluster {cluster.name} has {elastic.documents} images, which would be lost; set "
        "spec.overwrite to true if they may be, or restore into a new MatchCluster"
    )


def _restoring(cluster: MatchCluster, seen: Observed, item: Json) -> Answer:
    elastic, _ = _parts(seen)
    facts = _facts(item)
    target, replaced = facts["index"], facts["replaced"]
    if target in elastic.indices:
        return _switched(elastic, item, facts)
    if replaced not in elastic.indices:
        return Answer(item, "Failed", f"the alias {cluster.index.name} no longer leads to {replaced}", facts)
    live = elastic.spare.get(target)
    if live is None:
        return _begin(cluster, seen, item, facts)
    meta, mark = live["mappings"].get("_meta", {}), ownership.mark(cluster)
    if meta.get("match", {}).get("schema") != match_index.SCHEMA_VERSION:
        return Answer(item, "Failed", "the snapshot holds no index of images of this version", facts)
    if meta["match"].get("owner") != mark:
        kept = {k: v for k, v in meta["match"].items() if k != "owner"} | ({"owner": mark} if mark else {})
        step = MarkIndex(target, meta | {"match": kept})
        return Answer(item, "Restoring", f"waiting for the mark of index {target}", facts, (step,))
    if not elastic.restored.get(target):
        return Answer(item, "Restoring", f"waiting for all shards of index {target}", facts)
    # Once more, since images may have been added; the index that was restored is then given up by itself.
    if refusal := _would_lose(cluster, elastic, item):
        return Answer(item, "Refused", refusal)
    wait = f"waiting for the alias {cluster.index.name} to move to index {target}"
    return Answer(item, "Restoring", wait, facts, (SwitchIndex(cluster.index.name, replaced, target),))


def _begin(cluster: MatchCluster, seen: Observed, item: Json, facts: Json) -> Answer:
    elastic, found = _parts(seen)
    wanted = found.find(item["spec"]["snapshot"])
    refusal = _refusal(item, found, wanted)
    if wanted is None or refusal:
        return Answer(item, "Failed", refusal, facts)
    settings = _settings(cluster, elastic)
    step = RestoreSnapshot(found.name, wanted.name, wanted.indices[0], facts["index"], settings)
    return Answer(item, "Restoring", "waiting for Elasticsearch to begin", facts, (step,))


def _switched(elastic: Elastic, item: Json, facts: Json) -> Answer:
    """The alias leads to what was restored; the one before goes, unless images came to it in between."""
    target, replaced = facts["index"], facts["replaced"]
    done = f"the snapshot {item['spec']['snapshot']} was restored into index {target}"
    if replaced not in elastic.spare:
        return Answer(item, "Completed", done, facts)
    is_empty = elastic.copied == 0 and max(elastic.spare) == replaced
    if item["spec"]["overwrite"] or is_empty:
        step = DropReplaced(replaced, f"which {target} has replaced")
        return Answer(item, "Restoring", f"waiting for index {replaced} to be removed", facts, (step,))
    kept = f"images were added to index {replaced} in the last moment, so it was kept, behind no alias"
    return Answer(item, "Completed", f"{done}; {kept}", facts)


def _settings(cluster: MatchCluster, elastic: Elastic) -> Json:
    """As many copies as the index has now, so that it is whole as soon as that one was."""
    [live] = elastic.indices.values()
    replicas = live["settings"]["index"]["number_of_replicas"]
    return {"index": {"number_of_replicas": replicas, "refresh_interval": cluster.index.refresh_interval}}


def _parts(seen: Observed) -> tuple[Elastic, Repository]:
    found = snapshots.ready(seen)
    assert seen.elastic is not None  # noqa: S101 - narrows the types; _unusable has looked
    assert found is not None  # noqa: S101
    return seen.elastic, found
