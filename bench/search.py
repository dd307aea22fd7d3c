"""Searching Elasticsearch: the service's store beside image-match's documents and queries.

`python bench/search.py [--images N] [--photos FOLDER] [--keep FOLDER]` (10,000 images, scikit-image's
photographs, nothing kept). Every search is of a changed photograph in all orientations. The truth is an
exhaustive scan: distance < 0.45.
"""

import argparse
import contextlib
import itertools
import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import collection
import numpy as np
from corpus import TRANSFORMS, photographs
from elasticsearch import Elasticsearch
from image_match.signature_database_base import normalized_distance
from PIL import Image

import match_index
from labcluster.elasticsearch import USER, node
from match_service import engine
from match_service.engine import scan
from match_service.model import Views
from match_service.store import worded
from match_service.store.elastic import ElasticStore
from match_service.store.mirror import ROW_BYTES, MirrorMemory

CUTOFF: Final = 0.45
NEAREST: Final = 20
JAVA: Final = "-XX:TieredStopAtLevel=4 -XX:-UseParallelGC -XX:+UseG1GC"
"""As Elasticsearch comes; the lab's options are for a quick start."""
FEW: Final = 100
"""Matches asked for where not all are: as many as image-match asks for in each of its requests."""
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


def queries(
    photos: list[Image.Image], halves: scan.Halves, paths: Callable[[int], str], count: int
) -> list[Query]:
    """``count`` of all photographs' transforms, drawn by lot, with the truth about each."""
    chosen = list(itertools.product(range(len(photos)), TRANSFORMS))
    made = []
    for place in np.random.default_rng(1).permutation(len(chosen))[:count]:
        number, name = chosen[place]
        signature = engine.signature(TRANSFORMS[name](photos[number]))
        query = Query(paths(number), name, engine.views(signature, all_orientations=True))
        hits = scan.Query(query.views, CUTOFF).scan(halves)
        found = zip(hits.distances.tolist(), map(paths, hits.rows.tolist()), strict=True)
        query.truth = [path for _, path in sorted(found)]
        made.append(query)
    return made


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
    arguments = _arguments()
    photos = photographs(arguments.photos)
    keep = _kept(arguments.keep)
    machine = f"{platform.machine()}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}; 1 shard"
    print(f"{machine}; {arguments.images:,} images from {len(photos)} photographs", flush=True)
    halves = collection.signatures(photos, arguments.images, keep)
    with contextlib.ExitStack() as stack:
        url = arguments.url or stack.enter_context(node(arguments.heap, _data(keep), JAVA))
        client = stack.enter_context(Elasticsearch(url, request_timeout=120))
        alias = f"bench-{arguments.images}-{match_index.SCHEMA_VERSION}{arguments.name}"
        peer = collection.image_match(
            f"bench-{arguments.images}-image-match{'-light' * arguments.light}", light=arguments.light
        )
        for subject in [collection.ours(alias), *([] if arguments.alone else [peer])]:
            cost = collection.fill(client, subject, halves, len(photos), keep)
            rate = f"{cost.rate:8,.0f} documents/s indexed (load {cost.load:.1f})"
            size, merged = cost.size / cost.documents, cost.merged / cost.documents
            print(f"{subject.name:12} {rate}, {size:6,.0f} bytes each, {merged:6,.0f} merged", flush=True)
        if arguments.fill:
            return
        store = ElasticStore.connect(url, alias, manage_index=False, memory=MirrorMemory(2 * 2**30))
        stack.callback(store.close)
        assert store.follower is not None
        start = time.perf_counter()
        store.follower.follow()
        memory = store.follower.memory
        size = memory.rows * ROW_BYTES / 2**20
        print(f"mirror: {memory.rows:,} rows, {size:,.0f} MiB, {time.perf_counter() - start:.2f} s to read")
        asked = queries(photos, halves, lambda n: collection.path_of(n, len(photos)), arguments.queries)
        subjects: dict[str, Callable[[Query], list[str]]] = {
            "image-match, 8 requests": lambda q: their_search(client, peer.index, q.views),
            "words, 16 in one request": lambda q: [
                m.filepath for m in worded.search(client, alias, q.views, CUTOFF)
            ],
            "mirror, every match": lambda q: [m.filepath for m in store.search(q.views)],
            "mirror, the nearest 100": lambda q: [m.filepath for m in store.search(q.views, limit=FEW)],
        }
        if arguments.alone:
            del subjects["image-match, 8 requests"]
        results = run(asked, subjects)
        print(
            f"{len(asked)} searches of {len(TRANSFORMS)} transforms, load {os.getloadavg()[0]:.1f};", end=" "
        )
        hits = [len(query.truth) for query in asked]
        print(f"matches: median {statistics.median(hits):.0f}, most {max(hits)}")
        report(results)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--url")
    parser.add_argument("--heap", default="1g")
    parser.add_argument("--keep", type=Path, help="folder for all that is slow to make")
    parser.add_argument("--fill", action="store_true", help="index only")
    parser.add_argument("--alone", action="store_true", help="without image-match, which takes longest")
    parser.add_argument("--light", action="store_true", help="see collection.image_match")
    parser.add_argument("--name", default="", help="distinguishes variants of our index in one folder")
    return parser.parse_args()


def _kept(folder: Path | None) -> Path | None:
    if folder is not None:
        (folder / "data").mkdir(parents=True, exist_ok=True)
        if os.geteuid() == 0:  # which Elasticsearch refuses to run as
            os.chown(folder / "data", USER, 0)
    return folder


def _data(folder: Path | None) -> dict[str, str]:
    return {} if folder is None else {"path.data": str((folder / "data").resolve())}


if __name__ == "__main__":
    main()
