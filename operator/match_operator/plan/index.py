"""The index template, the alias and the index behind it."""

from collections.abc import Iterator, Sequence
from typing import Any

import match_index
from match_operator.api import MatchCluster
from match_operator.merge import drift
from match_operator.observed import Elastic, Observed
from match_operator.plan import membership
from match_operator.plan.steps import CreateIndex, Problem, PutTemplate, Step, UpdateIndex

Json = dict[str, Any]


def problems(cluster: MatchCluster, seen: Observed) -> Iterator[Problem]:
    """Indices that are not ours to change, and changes that an index cannot take."""
    alias = cluster.index.name
    for name, index in seen.elastic.indices.items() if seen.elastic else ():
        if name == alias or not index.get("mappings", {}).get("_meta", {}).get("match"):
            yield Problem(
                "IndexTaken",
                f"the index {name} stands where the alias {alias} should lead and was not made by this "
                "operator; remove it from Elasticsearch",
            )
        elif (shards := int(index["settings"]["index"]["number_of_shards"])) != cluster.index.shards:
            yield Problem(
                "ShardsImmutable",
                f"index {name} has {shards} shards, which cannot be changed yet; set index.shards to that",
            )


def steps(
    cluster: MatchCluster, elastic: Elastic | None, problems: Sequence[Problem], *, hold_replicas: bool
) -> Iterator[Step]:
    """Writes that are needed; ``hold_replicas`` keeps copies that the spec no longer has room for."""
    if (
        elastic is None
        or not elastic.uuid
        or any(p.reason in ("IndexTaken", "ShardsImmutable") for p in problems)
    ):
        return
    alias, index = cluster.index.name, cluster.index
    body = match_index.template_body(alias, index.shards, cluster.index_replicas, index.refresh_interval)
    if elastic.template is None or drift(body, elastic.template):
        yield PutTemplate(match_index.template_name(alias), body)
    if not elastic.indices:
        yield CreateIndex(match_index.backing_index(alias), match_index.index_body(alias))
    for name, live in elastic.indices.items():
        settings = live["settings"]["index"]
        wanted = {"refresh_interval": index.refresh_interval}
        replicas = _replicas(cluster, elastic, int(settings["number_of_replicas"]))
        if not hold_replicas or replicas > int(settings["number_of_replicas"]):
            wanted = {"number_of_replicas": str(replicas)} | wanted
        changed = {k: v for k, v in wanted.items() if settings.get(k) != v}
        if changed:
            yield UpdateIndex(name, changed)


def _replicas(cluster: MatchCluster, elastic: Elastic, now: int) -> int:
    """Copies to ask for: more only when there are nodes for them, else health stays yellow for ever."""
    stay = membership.wanted(cluster)
    room = sum(node.is_data for name, node in elastic.nodes.items() if name in stay) - 1
    return (
        max(now, min(cluster.index_replicas, room))
        if cluster.index_replicas > now
        else cluster.index_replicas
    )
