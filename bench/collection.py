"""The collection that search.py searches, and its two indices: made once, kept if a folder is named.

Indexing a million images takes most of an hour, so signatures, Elasticsearch's data and what indexing cost
stay in the folder, and a run that was interrupted goes on where it was.
"""

import dataclasses
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from corpus import jpeg, windows
from elasticsearch import Elasticsearch
from numpy.typing import NDArray
from PIL import Image

import match_index
from match_service import engine
from match_service.engine import scan
from match_service.model import Record, Signature
from match_service.store import documents

BATCH: Final = 10_000
REQUEST: Final = 500
"""Documents in one bulk request, image-match's and ours."""
CLIENTS: Final = 2
THEIR_WORDS: Final = 63
MERGE_LATE: Final = {"merge.policy.segments_per_tier": 100, "merge.policy.max_merge_at_once": 100}
LEASE_SECONDS: Final = 120
"""Elasticsearch's leases on history move every 30 seconds."""

Lines = list[str]


@dataclass
class Cost:
    """What indexing cost; sizes in bytes of all primaries."""

    documents: int = 0
    seconds: float = 0.0
    load: float = 0.0
    size: int = 0
    """As it lay after the last document."""
    merged: int = 0
    """In one segment, with nothing kept for recovery."""

    @property
    def rate(self) -> float:
        return self.documents / self.seconds


@dataclass(frozen=True)
class Subject:
    """An index to fill: what is created, and how a signature becomes the two lines of a bulk request."""

    name: str
    index: str
    body: dict[str, Any]
    lines: Callable[[str, Signature], tuple[str, str]]


def path_of(number: int, photos: int) -> str:
    """The photographs come first, then windows of them."""
    return f"photos/{number}" if number < photos else f"windows/{number - photos:09}.jpg"


def ours(alias: str) -> Subject:
    """The service's documents as its store makes them."""
    template = match_index.template_body(alias, 1, 0)["template"]
    body = {**template, **match_index.index_body(alias)}

    def lines(path: str, signature: Signature) -> tuple[str, str]:
        digest = hashlib.sha256(f"the bytes of {path}".encode()).hexdigest()
        action = {"index": {"_id": match_index.document_id(path)}}
        return json.dumps(action), json.dumps(documents.document(Record(path, signature, digest)))

    return Subject("ours", match_index.backing_index(alias), body, lines)


def image_match(index: str, *, light: bool) -> Subject:
    """Documents as image-match 1.1.2 makes them, the mapping left to Elasticsearch as it leaves it.

    ``light`` leaves out what none of its queries reads, the index of ``signature`` and all doc values, and
    merges once at the end: the same answers, no slower, from less than half the work and space.
    """

    def lines(path: str, signature: Signature) -> tuple[str, str]:
        words = engine.word_integers(signature).tolist()
        body = {
            "path": path,
            "signature": signature.tolist(),
            **{f"simple_word_{position}": word for position, word in enumerate(words)},
            "metadata": None,
            "timestamp": "2024-01-01T00:00:00.000000",
        }
        return '{"index":{}}', json.dumps(body)

    settings: dict[str, Any] = {"number_of_shards": "1", "number_of_replicas": "0"}
    body: dict[str, Any] = {"settings": {"index": settings}}
    if light:
        settings |= MERGE_LATE
        words = {f"simple_word_{n}": {"type": "long", "doc_values": False} for n in range(THEIR_WORDS)}
        unused = {"type": "long", "index": False, "doc_values": False}
        body["mappings"] = {"properties": {"signature": unused, **words}}
    return Subject("image-match", index, body, lines)


def signatures(photos: list[Image.Image], images: int, folder: Path | None) -> scan.Halves:
    """Rows (images, 102): the photographs, then windows of them; read from ``folder`` if they are there."""
    own = np.stack([engine.signature(jpeg(photo, 95)) for photo in photos])
    file = folder / f"{images}-{hashlib.sha256(own.tobytes()).hexdigest()[:8]}.npy" if folder else None
    if file is not None and file.exists():
        loaded: scan.Halves = np.load(file)
        return loaded
    parts = [scan.pack_halves(own)]
    parts += [scan.pack_halves(part) for part in windows(photos, images - len(own))]
    halves = np.concatenate(parts)
    if file is not None:
        np.save(file, halves)
    return halves


def fill(
    client: Elasticsearch, subject: Subject, halves: scan.Halves, photos: int, folder: Path | None
) -> Cost:
    """Index what the index does not have yet, then merge it into one segment."""
    notes = folder / f"{subject.index}.json" if folder else None
    cost = Cost(**json.loads(notes.read_text())) if notes is not None and notes.exists() else Cost()
    if not cost.documents or _count(client, subject.index) != cost.documents:
        cost = Cost()
        client.indices.delete(index=subject.index, ignore_unavailable=True)
        client.indices.create(index=subject.index, body=subject.body)
        _set(client, subject.index, refresh_interval="-1")

    def note() -> None:
        if notes is not None:
            notes.write_text(json.dumps(dataclasses.asdict(cost)))

    with ThreadPoolExecutor(CLIENTS) as pool:
        for start in range(cost.documents, len(halves), BATCH):
            requests = _requests(subject, halves, photos, start)
            began = time.perf_counter()
            list(pool.map(lambda lines: _bulk(client, subject.index, lines), requests))
            cost.seconds += time.perf_counter() - began
            cost.documents = min(start + BATCH, len(halves))
            cost.load = max(cost.load, os.getloadavg()[0])
            note()
    if not cost.merged:
        _set(client, subject.index, refresh_interval=None, **dict.fromkeys(MERGE_LATE))
        cost.size = _settled(client, subject.index)
        client.options(request_timeout=3600).indices.forcemerge(index=subject.index, max_num_segments=1)
        cost.merged = _settled(client, subject.index)
        note()
    return cost


def _requests(subject: Subject, halves: scan.Halves, photos: int, start: int) -> list[Lines]:
    """Made before the clock runs: only Elasticsearch's work is timed."""
    made: NDArray[np.int8] = scan.unpack_halves(halves[start : start + BATCH])
    pairs = [subject.lines(path_of(start + n, photos), row) for n, row in enumerate(made)]
    return [[line for pair in part for line in pair] for part in _parts(pairs)]


def _parts(pairs: list[tuple[str, str]]) -> Iterator[list[tuple[str, str]]]:
    for start in range(0, len(pairs), REQUEST):
        yield pairs[start : start + REQUEST]


def _bulk(client: Elasticsearch, index: str, lines: Lines) -> None:
    answer = client.bulk(index=index, operations=lines)
    assert not answer["errors"], answer["items"][0]


def _count(client: Elasticsearch, index: str) -> int:
    if not client.indices.exists(index=index):
        return 0
    client.indices.refresh(index=index)
    return int(client.count(index=index)["count"])


def _set(client: Elasticsearch, index: str, **settings: Any) -> None:
    client.indices.put_settings(index=index, settings={"index": settings})


def _settled(client: Elasticsearch, index: str) -> int:
    """Bytes of the primaries, once all is on the disk and no history is needed to recover a copy."""
    client = client.options(request_timeout=600)
    end = time.monotonic() + LEASE_SECONDS
    while True:
        client.indices.refresh(index=index)
        client.indices.flush(index=index, force=True, wait_if_ongoing=True)
        stats = client.indices.stats(index=index, level="shards")
        (copies,) = stats["indices"][index]["shards"].values()
        last = copies[0]["seq_no"]["max_seq_no"]
        leases = copies[0]["retention_leases"]["leases"]
        if all(lease["retaining_seq_no"] > last for lease in leases) or time.monotonic() > end:
            return int(stats["_all"]["primaries"]["store"]["size_in_bytes"])
        time.sleep(1)
