"""Reviewing duplicates in Elasticsearch: signatures from the mirror, job and groups in an index beside.

That index holds no image, can be deleted at any time, and is made again by whoever makes the index of the
images. Its name keeps out of the pattern that the template of those has.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final

import elasticsearch
import numpy as np
from elasticsearch import Elasticsearch
from numpy.typing import NDArray

import match_index
from match_index import id_text
from match_service.engine import scan
from match_service.errors import StoreUnavailableError
from match_service.store.documents import complete
from match_service.store.follower import Follower
from match_service.store.mirror import MirrorView
from match_service.store.review import Collection, Group, Image, Job, Member

READ_SECONDS: Final = 60
LOAD_SECONDS: Final = 45
"""Longest wait for the mirror to be read: less than a job may be silent."""
PAUSE_SECONDS: Final = 0.2
GROUPS_AT_ONCE: Final = 500
NO_MIRROR: Final = (
    "Duplicates are found from the signatures in memory, which are not there: MATCH_MIRROR_MAX_BYTES is too"
    " small, or Elasticsearch is away."
)

_LOOK_UP: Final = 5000
_CURRENT: Final = "job"


class ElasticReview:
    """A ``Review`` over the index behind ``alias`` and the mirror that ``follower`` feeds.

    ``translated`` turns the client's errors into the store's.
    """

    def __init__(
        self,
        client: Elasticsearch,
        alias: str,
        follower: Follower | None,
        translated: Callable[[], AbstractContextManager[None]],
        *,
        manage_index: bool,
    ) -> None:
        self._manage_index = manage_index
        self._translated = translated
        self._client = client.options(request_timeout=READ_SECONDS)
        self._alias = alias
        self._follower = follower
        self._index = match_index.review_index(alias)

    def collection(self) -> Collection:
        """Everything there is now, save changes still under way; waits for the mirror to be read."""
        for view in self._views():
            parts, ids = view.everything()
            newest = _newest(ids)
            kept, start = [], 0
            for part in parts:
                rows = newest[(newest >= start) & (newest < start + len(part.squares))] - start
                start += len(part.squares)
                kept.append(scan.Rows.of(part.halves[rows]))
            if view.valid():
                own = ids[newest]
                return Collection(kept, lambda rows, own=own, kept=kept: self._images(kept, own, rows))  # type: ignore[misc]
        raise StoreUnavailableError(NO_MIRROR)

    def known(self, filepaths: Sequence[str]) -> dict[str, Image]:
        """Those of the images that are there now."""
        with self._translated():
            found = self._documents([match_index.document_id(filepath) for filepath in filepaths])
        return {source["filepath"]: _image(source) for source in found.values()}

    def job(self) -> Job | None:
        """The last job, if there was one."""
        with self._translated():
            return self._last()[0]

    def begin(self, job: Job) -> Job:
        """Make ``job`` the last one, unless another still runs."""
        with self._translated():
            self._see_index()
            # A write waits for the shard of an index just made, where a read would fail: so it comes first.
            place: dict[str, Any] = {"op_type": "create"}
            while True:
                try:
                    self._write(job, place)
                except elasticsearch.ConflictError:
                    last, place = self._last()
                    if last is not None and last.lives:
                        return last
                else:
                    return job

    def update(self, job: Job) -> bool:
        """Replace the job of this id by its new state."""
        with self._translated():
            while True:
                last, place = self._last()
                if last is None or last.id != job.id or last.state != "running":
                    return False
                try:
                    self._write(job, place)
                except elasticsearch.ConflictError:
                    continue
                return True

    def keep_groups(self, job: Job, groups: Sequence[Group]) -> None:
        """Keep the groups of a job."""
        with self._translated():
            self._see_index()
            for start in range(0, len(groups), GROUPS_AT_ONCE):
                operations: list[dict[str, Any]] = []
                for number, group in enumerate(groups[start : start + GROUPS_AT_ONCE], start):
                    members = [[m.filepath, m.sha256, m.score] for m in group]
                    # A later job's groups take the places of an earlier one's; `groups` looks at the job.
                    operations.append({"index": {"_id": f"group-{number}"}})
                    operations.append({"job": job.id, "number": number, "body": {"members": members}})
                if self._client.bulk(index=self._index, operations=operations)["errors"]:
                    raise StoreUnavailableError("Elasticsearch refused to keep the groups of duplicates.")
            self._client.indices.refresh(index=self._index)

    def groups(self, job: Job, offset: int, limit: int) -> list[Group]:
        """A page of the groups kept of a job."""
        own = [{"term": {"job": job.id}}, {"range": {"number": {"gte": offset}}}]
        with self._translated():
            answer = self._client.search(
                index=self._index,
                query={"bool": {"filter": own}},
                sort=[{"number": "asc"}],
                size=limit,
                allow_partial_search_results=False,
            )
            hits = complete(answer.body)["hits"]["hits"]
        return [[Member(*member) for member in hit["_source"]["body"]["members"]] for hit in hits]

    def _views(self) -> Iterator[MirrorView]:
        follower = self._follower
        deadline = time.monotonic() + LOAD_SECONDS
        while follower is not None and follower.memory.capacity and time.monotonic() < deadline:
            with self._translated():
                ours = follower.follow()
            view = follower.memory.view()
            if ours and view is not None:
                yield view
            time.sleep(PAUSE_SECONDS)  # another thread or process is reading it

    def _images(
        self, parts: Sequence[scan.Rows], ids: NDArray[np.uint8], rows: NDArray[np.int64]
    ) -> list[Image | None]:
        names = [id_text(ids[row].tobytes()) for row in rows]
        with self._translated():
            found = self._documents(names)
        starts = np.cumsum([0, *(len(part.squares) for part in parts)])
        images: list[Image | None] = []
        for row, name in zip(rows.tolist(), names, strict=True):
            source = found.get(name)
            number = int(np.searchsorted(starts, row, side="right")) - 1
            half = parts[number].halves[row - starts[number]]
            same = source is not None and np.array_equal(scan.decoded([source["signature"]])[0], half)
            images.append(_image(source) if source is not None and same else None)
        return images

    def _documents(self, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        found = {}
        for start in range(0, len(ids), _LOOK_UP):
            answer = self._client.search(
                index=self._alias,
                query={"ids": {"values": list(ids[start : start + _LOOK_UP])}},
                size=_LOOK_UP,
                source_includes=["filepath", "sha256", "metadata", "signature"],
                track_total_hits=False,
                allow_partial_search_results=False,
            )
            found.update({hit["_id"]: hit["_source"] for hit in complete(answer.body)["hits"]["hits"]})
        return found

    def _see_index(self) -> None:
        """See that the index exists, since writing would make one of Elasticsearch's own design."""
        if self._client.indices.exists(index=self._index):
            return
        if not self._manage_index:
            raise StoreUnavailableError(
                f"Elasticsearch has no index {self._index}, where duplicates are kept; whoever makes the"
                f" index behind {self._alias} must make it too, since MATCH_MANAGE_INDEX is false."
            )
        try:
            self._client.indices.create(index=self._index, body=match_index.review_body())
        except elasticsearch.BadRequestError as error:
            if error.error != "resource_already_exists_exception":
                raise

    def _last(self) -> tuple[Job | None, dict[str, Any]]:
        """The last job, and what a write must say so that nobody else's is overwritten."""
        try:
            answer = self._client.get(index=self._index, id=_CURRENT)
        except elasticsearch.NotFoundError:
            return None, {}
        place = {"if_seq_no": answer["_seq_no"], "if_primary_term": answer["_primary_term"]}
        return Job(**answer["_source"]["body"]), place

    def _write(self, job: Job, place: dict[str, Any]) -> None:
        document = {"job": job.id, "body": job.body()}
        self._client.index(index=self._index, id=_CURRENT, document=document, **place)


def _newest(ids: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The last row of each id, ascending: a mirror's rows are only ever appended."""
    if not len(ids):
        return np.zeros(0, np.int64)
    backwards = np.ascontiguousarray(ids[::-1]).view(f"V{ids.shape[1]}").ravel()
    _, first = np.unique(backwards, return_index=True)
    return np.sort(len(ids) - 1 - first)


def _image(source: dict[str, Any]) -> Image:
    return Image(source["filepath"], source["sha256"], source.get("metadata"))
