"""The steps of moving a collection, done in Elasticsearch; ``migration.py`` has their order and promises.

All that decides who may write where is in aliases, since ``POST /_aliases`` changes any number of them in one
step and can be made to depend on one: the alias of the collection, and on the target an alias that only the
present mover knows (its *badge*). Each step that must not be done by a mover that another has replaced swaps
the badge for a new one, and fails where its own is gone.
"""

import functools
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import elasticsearch
from elasticsearch import Elasticsearch

import match_index
from match_service.engine import scan
from match_service.errors import StoreUnavailableError
from match_service.store import reading, words
from match_service.store.documents import Hit, complete
from match_service.store.migration import Change, Count, GaveUpError, Mover, Surplus

SAMPLE_DOCUMENTS: Final = 1_000
WINDOW: Final = 10_000
REQUEST_SECONDS: Final = 30
"""Below ``index.gc_deletes`` (60 s): the target must still know of a delete when a late copy arrives."""
FENCE_SECONDS: Final = 10
GRACE_SECONDS: Final = 30.0
"""After this long a request that a dead mover has sent has arrived, or never will."""

Action = dict[str, dict[str, Any]]


class ElasticIndices:
    """``Indices`` in one Elasticsearch cluster: ``source`` behind ``alias``, and an empty ``target``."""

    def __init__(self, client: Elasticsearch, alias: str, source: str, target: str) -> None:
        self._client = client.options(request_timeout=REQUEST_SECONDS)
        self._alias, self._source, self._target = alias, source, target
        self._badge: str | None = None

    def switched(self) -> bool:
        """Whether the alias is on the target alone."""
        return set(self._client.indices.get_alias(name=self._alias)) == {self._target}

    def take_over(self) -> None:
        """Replace every badge on the target by ours, and let writers write into the source."""
        held = self._client.indices.get_alias(index=self._target).get(self._target, {}).get("aliases", {})
        old = [name for name in held if name.startswith(self._badges)]
        self._swap([self._take(name) for name in old] + [self._point(writable=True)])
        if old:
            # What it has sent before it knew of us must not arrive when we rely on our own block, or after
            # the switch.
            time.sleep(GRACE_SECONDS)
        self._block(on=False)

    def saved(self) -> list[int]:
        """What ``save`` has put beside the target's mapping; nothing if that was about another source."""
        shards = int(self._made["number_of_shards"])
        moved = self._meta().get("moved", {})
        fresh = moved.get("from") != self._made["uuid"] or len(moved.get("seen", ())) != shards
        return [-1] * shards if fresh else list(moved["seen"])

    def save(self, seen: Sequence[int]) -> None:
        """Put it into ``_meta`` of the target's mapping."""
        meta = self._meta() | {"moved": {"from": self._made["uuid"], "seen": list(seen)}}
        self._client.indices.put_mapping(index=self._target, meta={"match": meta})

    def checkpoints(self) -> list[int]:
        """The global checkpoints, then a refresh of all copies: design/search.md says why in this order."""
        found = [numbers["global_checkpoint"] for numbers in self._primaries()]
        self._refresh(self._source)
        return found

    def changes(self, shard: int, after: int, until: int) -> Iterator[list[Change]]:
        """By ``_seq_no``, which Elasticsearch has in an index."""
        while after < until:
            hits = reading.changes(self._client, self._source, shard, {"gt": after, "lte": until})
            if not hits:
                return
            yield [Change(hit["_id"], hit["_seq_no"], hit["_source"]) for hit in hits]
            after = hits[-1]["_seq_no"]

    def put(self, changes: Iterable[Change]) -> None:
        """With the source's numbers as versions, so that an older change never replaces a newer one."""
        self._check()
        page = list(changes)
        halves = scan.decoded(change.document["signature"] for change in page)
        operations: list[dict[str, Any]] = []
        for change, tokens in zip(page, words.tokens_of_many(scan.unpack_halves(halves)), strict=True):
            version = {"version": change.seq_no + 1, "version_type": "external_gte"}
            # They follow from the signature and are in no ``_source``.
            operations += ({"index": {"_id": change.id} | version}, change.document | {"words": tokens})
        answer = self._client.bulk(index=self._target, operations=operations, require_alias=False)
        self._judge(answer["items"], "index")

    def show(self) -> None:
        """Refresh the target."""
        self._refresh(self._target)

    def bounds(self, images: int) -> list[str]:
        """By leaps through the target in the order of filepaths."""
        found: list[str] = []
        while True:
            limits = _limits(found[-1] if found else None, None)
            hits = reading.listed(self._client, self._target, limits, size=1, from_=images - 1, source=False)
            if not hits:
                return found
            found.append(hits[0]["sort"][0])

    def count(self, low: str | None, high: str | None) -> Count:
        """Both in one request."""
        searches: list[dict[str, Any]] = []
        for index in (self._source, self._target):
            body = {"query": reading.between(_limits(low, high)), "size": 0, "track_total_hits": True}
            searches += ({"index": index, "allow_partial_search_results": False}, body)
        answers = self._client.msearch(searches=searches)["responses"]
        source, target = (complete(answer)["hits"]["total"]["value"] for answer in answers)
        return Count(source, target)

    def surplus(self, low: str | None, high: str | None) -> list[Surplus]:
        """The target is listed first: what the source lacks after that was deleted after it was copied."""
        copies = list(self._all(self._target, low, high))
        kept = {hit["_id"] for hit in self._all(self._source, low, high)}
        return [
            Surplus(hit["_id"], hit["_seq_no"], hit["_primary_term"])
            for hit in copies
            if hit["_id"] not in kept
        ]

    def remove(self, surplus: Iterable[Surplus]) -> None:
        """Each only if nothing has been written over it."""
        self._check()
        operations = [
            {"delete": {"_id": each.id, "if_seq_no": each.seq_no, "if_primary_term": each.primary_term}}
            for each in surplus
        ]
        if operations:
            self._judge(self._client.bulk(index=self._target, operations=operations)["items"], "delete")

    def fence(self) -> None:
        """Make the alias one that cannot be written to, then wait for the writes that are under way."""
        self._swap([self._point(writable=False)])
        self._block(on=True)
        if any(shard["global_checkpoint"] < shard["max_seq_no"] for shard in self._primaries()):
            raise GaveUpError("A copy of the source has not caught up with its primary yet.")

    def unfence(self) -> None:
        """The opposite order: while the alias cannot be written to, the block does no harm."""
        self._swap([])
        self._block(on=False)
        self._swap([self._point(writable=True)])

    def unequal(self) -> list[str]:
        """Compare the sources of a random sample, without the words, which are never in them."""
        query: dict[str, Any] = {"function_score": {"query": {"match_all": {}}, "random_score": {}}}
        answer = self._client.search(index=self._source, query=query, size=SAMPLE_DOCUMENTS)
        hits = complete(answer.body)["hits"]["hits"]
        if not hits:
            return []
        copies = self._client.mget(index=self._target, ids=[hit["_id"] for hit in hits])["docs"]
        return [
            hit["_source"]["filepath"]
            for hit, copy in zip(hits, copies, strict=True)
            if copy.get("_source") != hit["_source"]
        ]

    def switch(self) -> None:
        """From here on the alias is the target; the source keeps its block, so that nothing can go astray."""
        meta = self._meta()
        meta["moved"] = meta.get("moved", {}) | {"verified": True}  # for whoever drops the source
        self._client.indices.put_mapping(index=self._target, meta={"match": meta})
        enter = {"add": {"index": self._target, "alias": self._alias, "is_write_index": True}}
        self._aliases([self._take(self._mine()), self._leave(), enter])

    @property
    def _badges(self) -> str:
        return match_index.badges(self._alias)

    def _mine(self) -> str:
        if self._badge is None:
            raise GaveUpError("Another move of the collection has taken over.")
        return self._badge

    def _check(self) -> None:
        """Fail if another mover has taken over: what we still send arrives before it relies on anything."""
        held = self._client.indices.get_alias(index=self._target)[self._target]["aliases"]
        if self._mine() not in held:
            raise GaveUpError("Another move of the collection has taken over.")

    def _take(self, badge: str) -> Action:
        return {"remove": {"index": self._target, "alias": badge, "must_exist": True}}

    def _leave(self) -> Action:
        return {"remove": {"index": self._source, "alias": self._alias, "must_exist": True}}

    def _point(self, *, writable: bool) -> Action:
        return {"add": {"index": self._source, "alias": self._alias, "is_write_index": writable}}

    def _swap(self, actions: list[Action]) -> None:
        """Do ``actions`` in one step with changing our badge; fails if it is gone, or the alias has moved."""
        badge = f"{self._badges}{uuid.uuid4().hex}"
        ours = [] if self._badge is None else [self._take(self._badge)]
        keep = [self._leave(), *actions] if actions else []
        wear = {"add": {"index": self._target, "alias": badge}}
        self._badge = None  # unless the answer says otherwise
        self._aliases([*ours, *keep, wear])
        self._badge = badge

    def _aliases(self, actions: list[Action]) -> None:
        try:
            answer = self._client.indices.update_aliases(actions=actions)
        except elasticsearch.NotFoundError as error:
            raise GaveUpError("Another move of the collection has taken over.") from error
        if not answer["acknowledged"]:
            raise GaveUpError("Not all nodes of Elasticsearch answered in time.")

    def _block(self, *, on: bool) -> None:
        indices = self._client.indices
        if on:
            answer = indices.add_block(index=self._source, block="write", timeout=f"{FENCE_SECONDS}s")
            if not answer["shards_acknowledged"]:
                raise GaveUpError("Writes under way did not end in time.")
        else:
            indices.put_settings(index=self._source, settings={"index.blocks.write": None})

    def _judge(self, items: list[dict[str, Any]], operation: str) -> None:
        """409 is an answer: the target holds something newer, or no longer what was found."""
        for item in items:
            result = item[operation]
            if result["status"] >= 300 and result["status"] not in (404, 409):
                raise GaveUpError(f"Elasticsearch refused a document ({result['error']['type']}).")

    @functools.cached_property
    def _made(self) -> dict[str, Any]:
        """What the source is made as and stays: ``uuid``, ``number_of_shards``."""
        settings = self._client.indices.get_settings(index=self._source)[self._source]["settings"]
        return dict(settings["index"])

    def _meta(self) -> dict[str, Any]:
        mapping = self._client.indices.get_mapping(index=self._target)[self._target]["mappings"]
        return dict(mapping.get("_meta", {}).get("match", {}))

    def _primaries(self) -> list[dict[str, int]]:
        """Sequence numbers of each primary shard of the source, by its number."""
        answer = self._client.indices.stats(index=self._source, level="shards", metric="docs")
        found = {
            int(number): dict(copy["seq_no"])
            for number, copies in answer["indices"][self._source]["shards"].items()
            for copy in copies
            if copy["routing"]["primary"] and "seq_no" in copy
        }
        if len(found) != int(self._made["number_of_shards"]):
            raise GaveUpError("Not all shards of the source are there.")
        return [found[number] for number in sorted(found)]

    def _refresh(self, index: str) -> None:
        if self._client.indices.refresh(index=index)["_shards"]["failed"]:
            raise GaveUpError(f"Elasticsearch could not refresh all copies of {index}.")

    def _all(self, index: str, low: str | None, high: str | None) -> Iterator[Hit]:
        while hits := reading.listed(
            self._client, index, _limits(low, high), size=WINDOW, source=False, seq_no_primary_term=True
        ):
            yield from hits
            if len(hits) < WINDOW:
                return
            low = hits[-1]["sort"][0] + "\0"


def move(client: Elasticsearch, alias: str, source: str, target: str) -> None:
    """Move the collection behind ``alias``; raises ``GaveUpError``, also for what the client raises."""
    try:
        Mover(ElasticIndices(client, alias, source, target)).run()
    except (elasticsearch.ApiError, elasticsearch.TransportError, StoreUnavailableError) as error:
        raise GaveUpError(f"Elasticsearch cannot do this now: {error}") from error


def _limits(low: str | None, high: str | None) -> dict[str, str]:
    return {name: value for name, value in (("gte", low), ("lt", high)) if value is not None}
