"""The index template, the alias, the index behind it, and the move to an index of another shape."""

from collections.abc import Iterator, Sequence
from typing import Any

import match_index
from match_operator import names
from match_operator.api import MatchCluster
from match_operator.desired.migration import Move
from match_operator.merge import drift
from match_operator.observed import Elastic, Observed
from match_operator.plan import membership
from match_operator.plan.steps import (
    AbandonIndex,
    AllowWrites,
    CreateIndex,
    DropIndex,
    Problem,
    PutTemplate,
    Step,
    UpdateIndex,
)

Json = dict[str, Any]


def problems(cluster: MatchCluster, seen: Observed) -> Iterator[Problem]:
    """Indices that are not ours to change."""
    for name, index in seen.elastic.indices.items() if seen.elastic else ():
        if name == cluster.index.name or not _ours(index):
            yield Problem(
                "IndexTaken",
                f"the index {name} stands where the alias {cluster.index.name} should lead and was not made "
                "by this operator; remove it from Elasticsearch",
            )


def move(cluster: MatchCluster, seen: Observed) -> Move | None:
    """The move that the spec asks for: the number of shards is part of what an index is made as."""
    if seen.elastic is None or len(seen.elastic.indices) != 1 or list(problems(cluster, seen)):
        return None
    [(source, live)] = seen.elastic.indices.items()
    if _shards(live) == cluster.index.shards:
        return None
    target = match_index.backing_index(cluster.index.name, match_index.generation(source) + 1)
    # One that was begun with other shards goes first: see ``_spare``.
    return Move(source, target) if _may_become(seen.elastic.spare.get(target), cluster) else None


def waiting_for(cluster: MatchCluster, seen: Observed) -> str:
    """How far the move is, or what is being cleared away after it; empty when there is none."""
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
    if elastic is None or not elastic.uuid or any(p.reason == "IndexTaken" for p in problems):
        return
    alias, index = cluster.index.name, cluster.index
    body = match_index.template_body(alias, index.shards, cluster.index_replicas, index.refresh_interval)
    if elastic.template is None or drift(body, elastic.template):
        yield PutTemplate(match_index.template_name(alias), body)
    if not elastic.indices:
        yield CreateIndex(match_index.backing_index(alias), match_index.index_body(alias))
    yield from _spare(cluster, seen)
    moving = move(cluster, seen)
    if moving and moving.target not in elastic.spare:
        yield CreateIndex(moving.target, {})
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


def _spare(cluster: MatchCluster, seen: Observed) -> Iterator[Step]:
    """What becomes of our indices that the alias does not lead to; unknown ones are left alone."""
    if seen.elastic is None or len(seen.elastic.indices) != 1:
        return
    [(current, live)] = seen.elastic.indices.items()
    job = names.migration(cluster.name)
    if ("Job", job) not in seen.children and _fenced(live, cluster.index.name):
        yield AllowWrites(cluster.index.name, current)
    moved = live["mappings"].get("_meta", {}).get("match", {}).get("moved", {})
    moving = move(cluster, seen)
    for name, spare in seen.elastic.spare.items():
        if moved.get("verified") and moved.get("from") == spare["settings"]["index"]["uuid"]:
            yield DropIndex(name, current)
        elif moving and name == moving.target:
            continue
        elif (
            match_index.generation(name) > match_index.generation(current)
            and ("Job", job) not in seen.children
        ):
            yield AbandonIndex(cluster.index.name, current, name)


def _fenced(index: Json, alias: str) -> bool:
    blocked = index["settings"]["index"].get("blocks", {}).get("write") == "true"
    return blocked or index.get("aliases", {}).get(alias, {}).get("is_write_index") is False


def _ours(index: Json) -> bool:
    return bool(index.get("mappings", {}).get("_meta", {}).get("match"))


def _shards(index: Json) -> int:
    return int(index["settings"]["index"]["number_of_shards"])


def _may_become(spare: Json | None, cluster: MatchCluster) -> bool:
    return spare is None or _shards(spare) == cluster.index.shards


def _replicas(cluster: MatchCluster, elastic: Elastic, now: int) -> int:
    """Copies to ask for: more only when there are nodes for them, else health stays yellow for ever."""
    stay = membership.wanted(cluster)
    room = sum(node.is_data for name, node in elastic.nodes.items() if name in stay) - 1
    return (
        max(now, min(cluster.index_replicas, room))
        if cluster.index_replicas > now
        else cluster.index_replicas
    )
