"""Whose index it is, where several MatchClusters share one external Elasticsearch.

Names cannot tell: the others may be of another Kubernetes cluster. So an index carries in its ``_meta`` the
UID of the MatchCluster that it belongs to, written in the same request that creates it, and is read before
anything is changed. The template carries it too, for the time in which there is no index yet.
"""

from collections.abc import Iterator
from typing import Any

import match_index
from match_operator.api import MatchCluster
from match_operator.observed import Elastic, Observed
from match_operator.plan.index_steps import MarkIndex
from match_operator.plan.steps import Problem

Json = dict[str, Any]


def mark(cluster: MatchCluster) -> Json | None:
    """What our indices carry; None in an Elasticsearch that is ours alone."""
    if not cluster.external:
        return None
    return {"cluster": cluster.full_name, "uid": cluster.uid}


def problems(cluster: MatchCluster, seen: Observed) -> Iterator[Problem]:
    """Indices of another MatchCluster, and one that the alias should lead to and does not."""
    external, elastic, alias = cluster.external, seen.elastic, cluster.index.name
    if external is None or elastic is None:
        return
    marked = {**elastic.indices, **elastic.spare} or {"": {"mappings": elastic.template or {}}}
    for name, index in marked.items():
        if name in seen.restoring:
            continue  # it has the mark of where the snapshot was made
        owner = _owner(index["mappings"])
        if owner.get("uid") in (None, cluster.uid) or owner["uid"] == external.take_over_from:
            continue
        what = f"the index {name}" if name else f"the index template {match_index.template_name(alias)}"
        yield Problem(
            "IndexOwned",
            f"{what} belongs to MatchCluster {owner.get('cluster')} with UID {owner['uid']}; set another "
            "index.name in a new MatchCluster or, if that one is no more, external.takeOverFrom to its UID",
        )
    first = match_index.backing_index(alias)
    if not elastic.indices and first in elastic.spare:
        yield Problem(
            "AliasMissing",
            f"the index {first} exists and the alias {alias} does not lead to it; put the alias on it, or "
            "remove it from Elasticsearch",
        )


def is_ours(cluster: MatchCluster, seen: Observed) -> bool:
    """Whether the API may be let loose on the index: it is there and carries our mark, or no other can."""
    if not cluster.external:
        return True
    indices = seen.elastic.indices.values() if seen.elastic else ()
    return bool(indices) and all(_owner(i["mappings"]).get("uid") == cluster.uid for i in indices)


def steps(cluster: MatchCluster, elastic: Elastic) -> Iterator[MarkIndex]:
    """Marks to put on indices that carry none, or one that was given up."""
    wanted = mark(cluster)
    if wanted is None:
        return
    for name, index in elastic.indices.items():
        if _owner(index["mappings"]) != wanted:
            meta = index["mappings"].get("_meta", {})
            yield MarkIndex(name, meta | {"match": meta.get("match", {}) | {"owner": wanted}})


def _owner(holder: Json) -> Json:
    owner: Json = holder.get("_meta", {}).get("match", {}).get("owner", {})
    return owner
