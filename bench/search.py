"""Searching Elasticsearch: the service's store beside image-match's documents and queries.

`python bench/search.py [--images N] [--photos FOLDER] [--url URL]` (10,000 images, scikit-image's
photographs, a node of its own). Every search is of a changed photograph in all orientations. The truth is an
exhaustive scan: distance < 0.45.
"""

import argparse
import contextlib
import itertools
import os
import platform
import statistics
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from corpus import TRANSFORMS, jpeg, photographs, windows
from elasticsearch import Elasticsearch
from elasticsearch.helpers import parallel_bulk
from image_match.signature_database_base import normalized_distance

import match_index
from labcluster.elasticsearch import node
from match_service import engine
from match_service.engine import scan
from match_service.model import Record, Views
from match_service.store import documents, worded
from match_service.store.elastic import ElasticStore
from match_service.store.mirror import MirrorMemory

CUTOFF: Final = 0.45
NEAREST: Final = 20
ORIENTATIONS: Final = 8
"""Requests of image-match for one search: it asks once per orientation, one after the other."""


@dataclass
class Query:
    """One changed photograph and what an exhaustive scan finds."""

    own: str
    transform: str
    views: Views
    truth: list[str] = field(default_factory=list)


@dataclass
class Result:
    times: list[float] = field(default_factory=list)
    own: list[bool] = field(default_factory=list)
    near: list[float] = field(default_factory=list)


def names(start: int, count: int) -> list[str]:
    return [f"windows/{number:09}.jpg" for number in range(start, start + count)]


def theirs(name: str, signature: Any, words: list[int]) -> dict[str, Any]:
    """A document as image-match 1.1.2 makes it."""
    return {
        "path": name,
        "signature": signature.tolist(),
        **{f"simple_word_{position}": word for position, word in enumerate(words)},
        "metadata": None,
        "timestamp": "2024-01-01T00:00:00.000000",
    }


def their_search(client: Elasticsearch, index: str, views: Views) -> list[str]:
    """Its driver's search_single_record for each orientation, its distances, its order."""
    found: dict[str, tuple[float, str]] = {}
    for view in views[:ORIENTATIONS]:
        words = engine.word_integers(view).tolist()
        should = [{"term": {f"simple_word_{n}": word}} for n, word in enumerate(words)]
        hits = client.search(
            index=index,
            query={"bool": {"should": should}},
            source={"excludes": ["simple_word_*"]},
            size=100,
            timeout="10s",
        )["hits"]["hits"]
        if hits:
            signatures = np.array([hit["_source"]["signature"] for hit in hits])
            distances = normalized_distance(signatures, np.array(view))
            for hit, distance in zip(hits, distances, strict=True):
                if distance < CUTOFF:
                    found.setdefault(hit["_id"], (distance, hit["_source"]["path"]))
    return [path for _, path in sorted(found.values())]


class Bench:
    def __init__(self, url: str, photos: list[Any]) -> None:
        self.url, self.photos = url, photos
        self.client = Elasticsearch(url, request_timeout=120)
        self.alias = f"bench-{uuid.uuid4().hex[:8]}"
        self.peer = f"{self.alias}-image-match"
        self.halves: list[Any] = []
        self.paths: list[str] = []
        template = match_index.template_body(self.alias, 1, 0)
        self.client.indices.put_index_template(name=match_index.template_name(self.alias), body=template)
        self.backing = f"{self.alias}-000001"
        self.client.indices.create(index=self.backing, body=match_index.index_body(self.alias))
        # As image-match leaves it to Elasticsearch: every field by its first value.
        template = {
            "index_patterns": [self.peer],
            "priority": 900,
            "template": {"settings": {"number_of_replicas": 0}},
        }
        self.client.indices.put_index_template(name=self.peer, body=template)

    def fill(self, count: int, *, peer: bool) -> dict[str, float]:
        spent = {"ours": 0.0, "image-match": 0.0}
        photos = np.stack([engine.signature(jpeg(photo, 95)) for photo in self.photos])
        batches: Iterator[Any] = windows(self.photos, count - len(photos))
        start = 0
        for signatures in itertools.chain([photos], batches):
            paths = (
                [f"photos/{n}" for n in range(len(photos))]
                if signatures is photos
                else names(start, len(signatures))
            )
            start += 0 if signatures is photos else len(signatures)
            self.halves.append(scan.pack_halves(signatures))
            self.paths += paths
            words = engine.word_integers(signatures).tolist()
            spent["ours"] += self._bulk(self._ours(paths, signatures))
            if peer:
                bodies = (theirs(*each) for each in zip(paths, signatures, words, strict=True))
                spent["image-match"] += self._bulk({"_index": self.peer, **body} for body in bodies)
        self.client.indices.refresh(index=f"{self.alias}*")
        return {name: count / seconds for name, seconds in spent.items() if seconds}

    def _ours(self, paths: list[str], signatures: Any) -> Iterator[dict[str, Any]]:
        for path, signature in zip(paths, signatures, strict=True):
            body = documents.document(Record(path, signature, match_index.document_id(path)))
            yield {"_index": self.alias, "_id": match_index.document_id(path), **body}

    def _bulk(self, actions: Iterator[dict[str, Any]]) -> float:
        made = list(actions)  # making them is not what is timed
        start = time.perf_counter()
        for ok, item in parallel_bulk(self.client, made, thread_count=2, chunk_size=500):
            assert ok, item
        return time.perf_counter() - start

    def bytes_each(self, index: str) -> float:
        self.client.options(request_timeout=1200).indices.forcemerge(index=index, max_num_segments=1)
        self.client.indices.refresh(index=index)
        stats = self.client.indices.stats(index=index, metric="store,docs")["_all"]["primaries"]
        return float(stats["store"]["size_in_bytes"] / stats["docs"]["count"])

    def queries(self) -> list[Query]:
        columns = scan.planes(np.concatenate(self.halves))
        squares = scan.squares(columns)
        made = []
        for number, photo in enumerate(self.photos):
            for name, transform in TRANSFORMS.items():
                signature = engine.signature(transform(photo))
                query = Query(f"photos/{number}", name, engine.views(signature, all_orientations=True))
                hits = scan.Query(query.views, CUTOFF).scan(columns, squares)
                order = sorted(
                    zip(hits.distances.tolist(), (self.paths[row] for row in hits.rows), strict=True)
                )
                query.truth = [path for _, path in order]
                made.append(query)
        rng = np.random.default_rng(1)
        return [made[n] for n in rng.permutation(len(made))]


def run(queries: list[Query], subjects: dict[str, Callable[[Query], list[str]]]) -> dict[str, Result]:
    """All subjects take turns at each query, so that a busy machine is busy for all alike."""
    results = {name: Result() for name in subjects}
    for turn, query in enumerate((*queries[:5], *queries)):
        for name, subject in subjects.items():
            start = time.perf_counter()
            found = subject(query)
            seconds = time.perf_counter() - start
            if turn < 5:
                continue
            result = results[name]
            result.times.append(seconds * 1e3)
            near = query.truth[:NEAREST]
            if query.own in query.truth:
                result.own.append(query.own in found)
            if near:
                result.near.append(len(set(near) & set(found)) / len(near))
    return results


def report(results: dict[str, Result]) -> None:
    print(f"{'':34}{'p50':>8}{'middle half':>17}{'p95':>8}{'p99':>8} ms{'times':>8}{'own':>8}{'near20':>8}")
    slowest = statistics.median(next(iter(results.values())).times)
    for name, result in results.items():
        low, middle, high = statistics.quantiles(result.times, n=4)
        p95, p99 = (float(np.percentile(result.times, share)) for share in (95, 99))
        own, near = statistics.mean(result.own), statistics.mean(result.near)
        print(
            f"{name:34}{middle:8.1f}{low:8.1f} -{high:7.1f}{p95:8.1f}{p99:8.1f}   "
            f"{slowest / middle:7.1f}x{own:8.3f}{near:8.3f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--url")
    parser.add_argument("--heap", default="1g")
    parser.add_argument(
        "--alone", action="store_true", help="without image-match, which takes most of the time"
    )
    arguments = parser.parse_args()
    photos = photographs(arguments.photos)
    print(
        f"{platform.machine()}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}; 1 shard;",
        end=" ",
    )
    print(f"{arguments.images:,} images from {len(photos)} photographs", flush=True)
    with contextlib.ExitStack() as stack:
        url = arguments.url or stack.enter_context(node(arguments.heap))
        bench = Bench(url, photos)
        rates = bench.fill(arguments.images, peer=not arguments.alone)
        for name, index in (("image-match", bench.peer), ("ours", bench.backing)):
            if name in rates:
                size = bench.bytes_each(index)
                print(f"{name:12} {rates[name]:8,.0f} documents/s indexed, {size:6,.0f} bytes each, merged")
        store = ElasticStore.connect(url, bench.alias, memory=MirrorMemory(2 * 2**30))
        assert store.follower is not None
        start = time.perf_counter()
        store.follower.follow()
        print(f"mirror: {time.perf_counter() - start:.2f} s to read", flush=True)
        queries = bench.queries()[: arguments.queries]
        subjects: dict[str, Callable[[Query], list[str]]] = {
            "image-match, 8 requests": lambda q: their_search(bench.client, bench.peer, q.views),
            "words, 16 in one request": lambda q: [
                m.filepath for m in worded.search(bench.client, bench.alias, q.views, CUTOFF)
            ],
            "mirror, 16 orientations": lambda q: [m.filepath for m in store.search(q.views)],
        }
        if arguments.alone:
            del subjects["image-match, 8 requests"]
        results = run(queries, subjects)
        print(f"{len(queries)} searches of {len(TRANSFORMS)} transforms, load {os.getloadavg()[0]:.1f}")
        report(results)
        store.close()


if __name__ == "__main__":
    main()
