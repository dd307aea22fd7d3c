"""Searching by the mirror: near images from memory, and one request for the truth about them.

The request asks for the present state of what the mirror found (so what was deleted or replaced drops out)
and for everything that changed after what the mirror has seen (so what was added is in).
"""

import math
from typing import Any, Final

from elasticsearch import Elasticsearch

from match_service.engine import scan
from match_service.model import Match
from match_service.store.documents import SOURCE, Hit, complete, matches
from match_service.store.mirror import MirrorView, Shard

LOOK_UPS: Final = 10_000
"""Documents in one search of a request: Elasticsearch's default ``index.max_result_window``."""
CHANGES: Final = 2_000
MOST_REQUESTS: Final = 8
"""Beyond as many pages of changes the mirror is too far behind to be of use."""

Bodies = list[dict[str, Any]]


def search(
    client: Elasticsearch, alias: str, view: MirrorView, query: scan.Query, limit: int | None
) -> list[Match] | None:
    """The ``limit`` nearest matches; None if the mirror shows another index, or is too far behind."""
    near, wanted = view.search(query), limit
    while True:
        ids, reach = near.nearest(wanted)
        found = _present(client, alias, view, ids, query)
        # A match that was not looked up is no nearer than what the mirror says, nor nearer than the reach.
        if found is None or limit is None or reach == math.inf:
            return found if found is None else found[:limit]
        sure = [match for match in found if match.distance <= reach]
        if len(sure) >= limit:
            return sure[:limit]
        wanted = 2 * (wanted or limit)


def _present(
    client: Elasticsearch, alias: str, view: MirrorView, ids: list[str], query: scan.Query
) -> list[Match] | None:
    """Those of ``ids`` and of all that has changed since that are matches now."""
    if not view.valid():
        return None
    parts = [ids[start : start + LOOK_UPS] for start in range(0, max(1, len(ids)), LOOK_UPS)]
    searches = [body for part in parts for body in _look_up(part)]
    for shard, checkpoint in view.shards:
        searches += _changed(shard, checkpoint)
    responses = client.msearch(index=alias, searches=searches)["responses"]
    if any(_is_gone(response) for response in responses):
        return None
    newest: dict[str, Hit] = {}
    for response in responses[: len(parts)]:
        if complete(response)["_shards"]["total"] != len(view.shards):
            return None
        _merge(newest, response)
    for (shard, _), response in zip(view.shards, responses[len(parts) :], strict=True):
        if not _all_changes(client, shard, complete(response), newest):
            return None
    return matches(newest.values(), query)


def _all_changes(client: Elasticsearch, shard: Shard, response: Any, newest: dict[str, Hit]) -> bool:
    for _ in range(MOST_REQUESTS):
        _merge(newest, response)
        hits = response["hits"]["hits"]
        if len(hits) < CHANGES:
            return True
        answer = client.msearch(searches=_changed(shard, hits[-1]["_seq_no"]))
        if _is_gone(answer["responses"][0]):
            return False
        response = complete(answer["responses"][0])
    return False


def _is_gone(response: Any) -> bool:
    """Whether there is no such index any more: another one has taken its place behind the alias."""
    return bool(response.get("error", {}).get("type") == "index_not_found_exception")


def _merge(newest: dict[str, Hit], response: Any) -> None:
    """The parts of a request are answered one after the other, so a document may differ between them."""
    for hit in response["hits"]["hits"]:
        known = newest.get(hit["_id"])
        if known is None or known["_seq_no"] < hit["_seq_no"]:
            newest[hit["_id"]] = hit


def _look_up(ids: list[str]) -> Bodies:
    return [{"allow_partial_search_results": False}, _body({"ids": {"values": ids}}, LOOK_UPS)]


def _changed(shard: Shard, after: int) -> Bodies:
    header = {
        "index": shard.index,
        "preference": f"_shards:{shard.number}",
        "allow_partial_search_results": False,
    }
    body = _body({"range": {"_seq_no": {"gt": after}}}, CHANGES)
    return [header, {**body, "sort": ["_seq_no"]}]


def _body(query: dict[str, Any], size: int) -> dict[str, Any]:
    return {
        "query": query,
        "size": size,
        "_source": SOURCE,
        "seq_no_primary_term": True,
        "track_total_hits": False,
    }
