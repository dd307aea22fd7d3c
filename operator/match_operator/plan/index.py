"""The index template, the alias, the index behind it, and the move to an index of another shape."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import match_index
from match_operator import names
from match_operator.api import MatchCluster
from match_operator.desired.migration import Move
from match_operator.merge import drift
from match_operator.observed import Elastic, Observed
from match_operator.plan import membership, ownership
from match_operator.plan.index_steps import (
    AbandonIndex,
    AllowWrites,
    CreateIndex,
    DropIndex,
    PutTemplate,
    UpdateIndex,
)
from match_operator.plan.steps import Problem, Step

Json = dict[str, Any]


NOT_OURS: Final = ("IndexTaken", "IndexOwned", "AliasMissing")
"""Problems for which nothing is changed in Elasticsearch."""


def problems(cluster: MatchCluster, seen: Observed) -> Iterator[Problem]:
    """Indices that are not ours to change."""
    for name, index in seen.elastic.indices.items() if seen.elastic else ():
        if not match_index.is_backing_index(cluster.index.name, name) or not _ours(index):
            yield Problem(
                "IndexTaken",
                f"the index {name} stands where the alias {cluster.index.name} should lead and was not made "
                "by this operator; remove it from Elasticsearch",
            )
    yield from ownership.problems(cluster, seen)


def move(cluster: MatchCluster, seen: Observed) -> Move | None:
    """The move that the spec asks for: the number of shards is part of what an index is made as."""
    if (
        seen.elastic is None
        or len(seen.elastic.indices) != 1
        or list(problems(cluster, seen))
        or seen.restoring
    ):
        return None
    [(source, live)] = seen.elastic.indices.items()
    if _shards(live) == cluster.index.shards:
        return None
    target = match_index.backing_index(cluster.index.name, match_index.generation(source) + 1)
    # One that was begun with other shards, or that is no target of this move, goes first: see ``_spare``.
    return Move(source, target) if _may_become(seen.elastic.spare.get(target), live, cluster) else None


def waiting_for(cluster: MatchCluster, seen: Observed) -> str:
    """How far the move is, or what is being cleared away after it; empty when there is none."""
    if seen.restoring:
        return f"a snapshot to be restored into index {min(seen.restoring)}"
    moving = move(cluster, seen)
    if moving is None:
        return "the index that was left to be removed" if seen.elastic and list(_spare(cluster, seen)) else ""
    said = f"images to move from index {moving.source} to {moving.target}"
    if seen.elastic and moving.target in seen.elastic.spare:
        said += f", where {seen.elastic.copied} of {seen.elastic.documents} are"
    return said


def steps(
    cluster: MatchCluster, seen: Observed, problems: Sequence[Problem], *, hold_replicas: bool
) -> Iterator[Step]:
    """Writes that are needed; ``hold_replicas`` keeps copies that the spec no longer has room for."""
    elastic = seen.elastic
    if elastic is None or not elastic.uuid or any(p.reason in NOT_OURS for p in problems):
        return
    alias, index, owner = cluster.index.name, cluster.index, ownership.mark(cluster)
    body = match_index.template_body(
        alias, index.shards, cluster.index_replicas, index.refresh_interval, owner
    )
    if elastic.template is None or drift(body, elastic.template):
        yield PutTemplate(match_index.template_name(alias), body)
    room = _room(cluster, elastic)
    if not elastic.indices:
        yield CreateIndex(match_index.backing_index(alias), match_index.index_body(alias, owner) | room)
    elif not elastic.review:
        yield CreateIndex(match_index.review_index(alias), match_index.review_body())
    yield from ownership.steps(cluster, elastic)
    yield from _spare(cluster, seen)
    moving = move(cluster, seen)
    if moving and moving.target not in elastic.spare:
        made = match_index.target_body(_uuid(elastic.indices[moving.source]), owner)
        yield CreateIndex(moving.target, made | room | _badge(cluster, seen))
    yield from _settings(cluster, elastic, hold_replicas=hold_replicas)


def _settings(cluster: MatchCluster, elastic: Elastic, *, hold_replicas: bool) -> Iterator[Step]:
    for name, live in elastic.indices.items():
        settings = live["settings"]["index"]
        wanted = {"refresh_interval": cluster.index.refresh_interval}
        replicas = _replicas(cluster, elastic, int(settings["number_of_replicas"]))
        if not hold_replicas or replicas > int(settings["number_of_replicas"]):
            wanted = {"number_of_replicas": str(replicas)} | wanted
        changed = {k: v for k, v in wanted.items() if settings.get(k) != v}
        if changed:
            yield UpdateIndex(name, changed)


def copies(cluster: MatchCluster, elastic: Elastic) -> int:
    """Copies of each shard after clamping: what the spec's nodes have room for, or what the index now has."""
    if not cluster.external or not elastic.indices:
        return cluster.index_replicas
    return min(int(live["settings"]["index"]["number_of_replicas"]) for live in elastic.indices.values())


def _spare(cluster: MatchCluster, seen: Observed) -> Iterator[Step]:
    """What becomes of our indices that the alias does not lead to; unknown ones are left alone."""
    if seen.elastic is None or len(seen.elastic.indices) != 1:
        return
    [(current, live)] = seen.elastic.indices.items()
    has_job = ("Job", names.migration(cluster.name)) in seen.children
    moved, moving = _moved(live), move(cluster, seen)
    target = moving.target if moving and moving.target in seen.elastic.spare else ""
    given_up = []
    for name, spare in seen.elastic.spare.items():
        if moved.get("verified") and moved.get("from") == _uuid(spare):
            yield DropIndex(name, current)
        elif name in seen.restoring or target or has_job:
            continue
        elif match_index.generation(name) > match_index.generation(current):
            given_up.append(name)
    if given_up:
        yield AbandonIndex(cluster.index.name, current, tuple(sorted(given_up)))
    elif not has_job and _fenced(live, cluster.index.name):
        yield from _lift(cluster, seen.elastic, current, target)


def _lift(cluster: MatchCluster, elastic: Elastic, current: str, target: str) -> Iterator[Step]:
    """What a mover without a Job has put up: its pod outlives the Job, so it loses its badge with it."""
    alias = cluster.index.name
    worn = elastic.spare[target].get("aliases", {}) if target else ()
    badges = tuple(sorted(name for name in worn if name.startswith(match_index.badges(alias))))
    # Who takes over a target that has no badge yet lifts a fence himself, and could put up his own before
    # this arrives.
    if badges or not target:
        yield AllowWrites(alias, current, target, badges)


def _badge(cluster: MatchCluster, seen: Observed) -> Json:
    """What the target of a move wears from the beginning: a badge while a mover of an earlier one lives.

    The first mover then waits until what that one has sent has arrived.
    """
    if not seen.pods(names.MIGRATION):
        return {}
    return {"aliases": {match_index.operators_badge(cluster.index.name): {}}}


def _fenced(index: Json, alias: str) -> bool:
    blocked = index["settings"]["index"].get("blocks", {}).get("write") == "true"
    return blocked or index.get("aliases", {}).get(alias, {}).get("is_write_index") is False


def _ours(index: Json) -> bool:
    return bool(index.get("mappings", {}).get("_meta", {}).get("match"))


def _shards(index: Json) -> int:
    return int(index["settings"]["index"]["number_of_shards"])


def _may_become(spare: Json | None, live: Json, cluster: MatchCluster) -> bool:
    """Not what a restore has left: its documents have versions of their own, which a mover would keep."""
    if spare is None:
        return True
    return _moved(spare).get("from") == _uuid(live) and _shards(spare) == cluster.index.shards


def _moved(index: Json) -> Json:
    """What an index says of the move to it."""
    moved: Json = index["mappings"].get("_meta", {}).get("match", {}).get("moved", {})
    return moved


def _uuid(index: Json) -> str:
    return str(index["settings"]["index"].get("uuid", ""))


def _room(cluster: MatchCluster, elastic: Elastic) -> Json:
    """Settings of a new index in an external Elasticsearch that has fewer nodes than the template is for."""
    room = membership.data_nodes(cluster, elastic) - 1
    if not cluster.external or room >= cluster.index.replicas:
        return {}
    return {"settings": {"index": {"number_of_replicas": str(max(room, 0))}}}


def _replicas(cluster: MatchCluster, elastic: Elastic, now: int) -> int:
    """Copies to ask for: more only when there are nodes for them, else health stays yellow for ever."""
    room = membership.data_nodes(cluster, elastic) - 1
    return (
        max(now, min(cluster.index_replicas, room))
        if cluster.index_replicas > now
        else cluster.index_replicas
    )
