"""Searching by words: candidates from Elasticsearch's inverted index, exact distances from here.

As many equal words as possible is image-match's rule, and so is its number of candidates per view.
"""

from typing import Any, Final

from elasticsearch import Elasticsearch

from match_service.engine import scan
from match_service.model import Match, Views
from match_service.store import words
from match_service.store.documents import SOURCE, complete, matches

CANDIDATES: Final = 100
"""Documents fetched per view."""


def search(client: Elasticsearch, alias: str, views: Views, cutoff: float) -> list[Match]:
    """Matches among the candidates of all views, in one request."""
    searches: list[dict[str, Any]] = []
    for view in views:
        terms = [{"term": {"words": word}} for word in words.tokens(view)]
        searches.append({"allow_partial_search_results": False})
        searches.append(
            {
                "query": {"bool": {"should": terms}},
                "size": CANDIDATES,
                "track_total_hits": False,
                "_source": SOURCE,
            }
        )
    answer = client.msearch(index=alias, searches=searches)
    hits: dict[str, dict[str, Any]] = {}
    for response in answer["responses"]:
        hits.update((hit["_id"], hit) for hit in complete(response)["hits"]["hits"])
    return matches(hits.values(), scan.Query(views, cutoff))
