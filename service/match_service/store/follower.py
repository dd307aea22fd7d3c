"""Keeping the mirror up to an Elasticsearch index; docs/design/search.md has the protocol and its proof.

One thread of one process works, and only after a search has asked for it, so an idle service costs
Elasticsearch nothing. Whatever it is late with, searches ask Elasticsearch for themselves.
"""

import logging
import threading
from collections.abc import Iterator
from typing import Any, Final

import elasticsearch
import numpy as np
from elasticsearch import Elasticsearch

import match_index
from match_service.engine import scan
from match_service.errors import StoreUnavailableError
from match_service.store import reading
from match_service.store.mirror import MirrorMemory, Shard

PERIOD_SECONDS: Final = 1.0
"""Between two rounds while searches come in."""
RETRY_SECONDS: Final = 5.0
LOAD_DOCUMENTS: Final = 10_000
GARBAGE: Final = 0.25
"""Share of rows of images long gone at which all are read anew ..."""
GARBAGE_ROWS: Final = 100_000
"""... if there are more than these."""
MANAGE_SECONDS: Final = 60
KEEP_ALIVE: Final = "2m"
SIGNATURE: Final = {"includes": ["signature"]}

Hit = dict[str, Any]
log = logging.getLogger("match_service")


class Follower:
    """Feeds ``memory`` from the index behind ``alias``."""

    def __init__(self, client: Elasticsearch, alias: str, memory: MirrorMemory) -> None:
        self._client = client.options(request_timeout=MANAGE_SECONDS)
        self._alias = alias
        self.memory = memory
        self._asked = threading.Event()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()

    def ask(self) -> None:
        """See to it that a round is made soon."""
        self._asked.set()
        if self._thread is None:
            with self._starting:
                if self._thread is None and not self._stopped.is_set():
                    self._thread = threading.Thread(target=self._work, name="mirror", daemon=True)
                    self._thread.start()

    def close(self) -> None:
        """Stop after the round under way."""
        self._stopped.set()
        self._asked.set()
        if self._thread is not None:
            self._thread.join()

    def follow(self) -> bool:
        """One round, in this thread: read what has changed since the last one, or everything.

        False, with nothing done, if another thread or process is at it; what that one reads may be from
        before this call. Raises what the client raises.
        """
        with self.memory.writing() as ours:
            if ours:
                self._round()
            return ours

    def _work(self) -> None:
        pause = PERIOD_SECONDS
        while not self._stopped.is_set():
            self._asked.wait()
            self._asked.clear()
            try:
                self.follow()
                pause = PERIOD_SECONDS
            except (elasticsearch.ApiError, elasticsearch.TransportError, StoreUnavailableError) as error:
                pause = RETRY_SECONDS
                log.info(
                    "The mirror of the index could not be brought up to date (%s).", type(error).__name__
                )
                self._asked.set()
            except Exception:
                pause = RETRY_SECONDS
                log.exception("The mirror of the index failed.")
            self._stopped.wait(pause)

    def _round(self) -> None:
        shards, checkpoints, documents = self._look()
        known = self.memory.shards()
        if self.memory.view() is not None and self._lacks(known, shards):
            raise StoreUnavailableError("A shard of the index has no primary now.")
        if self.memory.view() is None or known != shards:
            self._load(shards, checkpoints, documents)
        elif any(now < seen for now, seen in zip(checkpoints, self.memory.checkpoints(), strict=True)):
            # History that we have seen is no more: the index was restored.
            self._load(shards, checkpoints, documents)
        elif self.memory.rows - documents > max(GARBAGE_ROWS, GARBAGE * documents):
            self._load(shards, checkpoints, documents)
        elif checkpoints != self.memory.checkpoints():
            self._catch_up(shards, checkpoints)
        self._tell(documents)

    def _lacks(self, known: list[Shard], shards: list[Shard]) -> bool:
        """Whether one of ``known`` is missing although its index is still behind the alias."""
        there = {(shard.uuid, shard.number) for shard in shards}
        missing = {shard.uuid for shard in known if (shard.uuid, shard.number) not in there}
        if not missing:
            return False
        indices = self._client.indices.get_settings(index=self._alias, name="index.uuid").body
        return not missing.isdisjoint(each["settings"]["index"]["uuid"] for each in indices.values())

    def _look(self) -> tuple[list[Shard], list[int], int]:
        """The shards behind the alias; up to where every copy has all their changes; images in all."""
        wanted = (
            "uuid",
            "shards.*.routing.primary",
            "shards.*.docs.count",
            "shards.*.seq_no.global_checkpoint",
            "shards.*.commit.user_data.history_uuid",
        )
        answer = self._client.indices.stats(
            index=self._alias,
            level="shards",
            metric="docs",
            filter_path=[f"indices.*.{part}" for part in wanted] + ["_shards"],
        )
        found: list[tuple[Shard, int, int]] = []
        for index, stats in answer.get("indices", {}).items():
            for number, copies in stats.get("shards", {}).items():
                found.extend(
                    (
                        Shard(index, stats["uuid"], int(number), _history(copy)),
                        int(copy["seq_no"]["global_checkpoint"]),
                        int(copy["docs"]["count"]),
                    )
                    for copy in copies
                    if copy["routing"]["primary"] and "seq_no" in copy
                )
        if not found:
            raise StoreUnavailableError(f"Elasticsearch has no alias {self._alias}.")
        found.sort(key=lambda each: (each[0].index, each[0].number))
        return [each[0] for each in found], [each[1] for each in found], sum(each[2] for each in found)

    def _refresh(self) -> None:
        """From now on every copy shows what it had."""
        answer = self._client.indices.refresh(index=self._alias)
        if answer["_shards"]["failed"]:
            raise StoreUnavailableError("Elasticsearch could not refresh all copies of the index.")

    def _load(self, shards: list[Shard], checkpoints: list[int], documents: int) -> None:
        room = documents <= self.memory.capacity
        if not self.memory.begin(shards) or not room:
            return
        self._refresh()
        for hits in self._everything():
            if self._stopped.is_set() or not self._append(hits):
                return
        self.memory.advance(checkpoints)
        self.memory.finish()

    def _everything(self) -> Iterator[list[Hit]]:
        """All documents as they are at one moment, in the order they lie on the disk."""
        pit = self._client.open_point_in_time(index=self._alias, keep_alive=KEEP_ALIVE)["id"]
        try:
            after: dict[str, Any] = {}
            while True:
                answer = self._client.search(
                    pit={"id": pit, "keep_alive": KEEP_ALIVE},
                    sort=[{"_shard_doc": "asc"}],
                    size=LOAD_DOCUMENTS,
                    source=SIGNATURE,
                    track_total_hits=False,
                    allow_partial_search_results=False,
                    **after,
                )
                hits = answer["hits"]["hits"]
                yield hits
                if len(hits) < LOAD_DOCUMENTS:
                    return
                pit, after = answer["pit_id"], {"search_after": hits[-1]["sort"]}
        finally:
            self._client.close_point_in_time(id=pit)

    def _catch_up(self, shards: list[Shard], checkpoints: list[int]) -> None:
        self._refresh()
        for number, (shard, seen) in enumerate(zip(shards, self.memory.checkpoints(), strict=True)):
            if seen == checkpoints[number]:
                continue
            for hits in self._changes(shard, seen, checkpoints[number]):
                if not self._append(hits):
                    self.memory.begin(shards)
                    return
        self.memory.advance(checkpoints)

    def _changes(self, shard: Shard, after: int, until: int) -> Iterator[list[Hit]]:
        """Not beyond ``until``: what not every copy has may be undone, and its number given to another."""
        while True:
            limits = {"gt": after, "lte": until}
            hits = reading.changes(self._client, shard.index, shard.number, limits, source=SIGNATURE)
            yield hits
            if len(hits) < reading.CHANGES:
                return
            after = hits[-1]["_seq_no"]

    def _append(self, hits: list[Hit]) -> bool:
        if not hits:
            return True
        ids = b"".join(match_index.id_bytes(hit["_id"]) for hit in hits)
        return self.memory.append(
            scan.decoded(hit["_source"]["signature"] for hit in hits),
            np.frombuffer(ids, np.uint8).reshape(-1, match_index.ID_BYTES),
        )

    def _tell(self, documents: int) -> None:
        if self.memory.note(documents):
            log.info("%s", self.memory.sentence)


def _history(copy: dict[str, Any]) -> str:
    """Another one where changes that were acknowledged may be gone: after a restore, or a stale copy made
    the primary by force."""
    return str(copy.get("commit", {}).get("user_data", {}).get("history_uuid", ""))
