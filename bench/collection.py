"""The collection that search.py searches, and its two indices: made once, kept if a folder is named.

Indexing a million images takes most of an hour, so signatures, Elasticsearch's data and what indexing cost
stay in the folder, and a run that was interrupted goes on where it was.
"""

import base64
import dataclasses
import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
from corpus import jpeg, windows
from elasticsearch import Elasticsearch
from PIL import Image

import match_index
from match_service import engine
from match_service.engine import scan
from match_service.model import Record
from match_service.store import documents
from match_service.store.words import tokens_of_many as tokens

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
    """An index to fill: what is created, and how rows of signatures become lines of a bulk request, an action
    and a document in turn."""

    name: str
    index: str
    body: dict[str, Any]
    lines: Callable[[list[str], scan.Halves], Lines]


def path_of(number: int, photos: int) -> str:
    """The photographs come first, then windows of them."""
    return f"photos/{number}" if number < photos else f"windows/{number - photos:09}.jpg"


def ours(alias: str) -> Subject:
    """The service's documents, which its store makes one by one, made by the thousand."""
    template = match_index.template_body(alias, 1, 0)["template"]
    body = {**template, **match_index.index_body(alias)}

    def lines(paths: list[str], halves: scan.Halves) -> Lines:
        signatures = scan.unpack_halves(halves)
        shas = [hashlib.sha256(f"the bytes of {path}".encode()).hexdigest() for path in paths]
        pattern = documents.document(Record(paths[0], signatures[0], shas[0]))
        made: Lines = []
        for path, half, sha, words in zip(paths, halves, shas, tokens(signatures), strict=True):
            signature = base64.b64encode(half.tobytes()).decode()
            document = {**pattern, "filepath": path, "sha256": sha, "signature": signature, "words": words}
            made += json.dumps({"index": {"_id": match_index.document_id(path)}}), json.dumps(document)
        assert made[1] == json.dumps(pattern)
        return made

    return Subject("ours", match_index.backing_index(alias), body, lines)


def image_match(index: str, *, light: bool) -> Subject:
    """Documents as image-match 1.1.2 makes them, the mapping left to Elasticsearch as it leaves it.

    ``light`` leaves out what none of its queries reads, the index of ``signature`` and all doc values, and
    merges once at the end: the same answers, no slower, from less than half the work and space.
    """

    def lines(paths: list[str], halves: scan.Halves) -> Lines:
        signatures = scan.unpack_halves(halves)
        made: Lines = []
        numbers = engine.word_integers(signatures).tolist()
        for path, signature, words in zip(paths, signatures.tolist(), numbers, strict=True):
            document = {"path": path, "signature": signature}
            document |= {f"simple_word_{n}": word for n, word in enumerate(words)}
            document |= {"metadata": None, "timestamp": "2024-01-01T00:00:00.000000"}
            made += '{"index":{}}', json.dumps(document)
        return made

    settings: dict[str, Any] = {"number_of_shards": "1", "number_of_replicas": "0"}
    body: dict[str, Any] = {"settings": {"index": settings}}
    if light:
        settings |= MERGE_LATE
        words = {f"simple_word_{n}": {"type": "long", "doc_values": False} for n in range(THEIR_WORDS)}
        unused = {"type": "object", "enabled": False}
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
    part = halves[start : start + BATCH]
    lines = subject.lines([path_of(start + n, photos) for n in range(len(part))], part)
    return [lines[at : at + 2 * REQUEST] for at in range(0, len(lines), 2 * REQUEST)]


def _bulk(client: Elasticsearch, index: str, lines: Lines) -> None:
    # The client sends lines that are text as they are, which its types do not say.
    answer = client.bulk(index=index, operations=cast("list[Mapping[str, Any]]", lines))
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
