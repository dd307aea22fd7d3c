"""How large a MatchCluster has to be for so many images, calculated from what was measured. Pure.

docs/sizing.md says where each coefficient was measured and how far a line through small collections missed a
large one. What is not measured but a rule of thumb says so here.
"""

import math
import re
from dataclasses import dataclass
from typing import Any, Final

from match_operator import names

Json = dict[str, Any]

MB: Final = 10**6
GIB: Final = 2**30
MILLION: Final = 1e6

# Measured: see docs/sizing.md.
DISK_BYTES: Final = 600
"""Of an image in a primary shard."""
MIRROR_BYTES: Final = 192
"""Of an image in the mirror, once in each API pod."""
SCAN_MS: Final = 20.0
"""CPU time of a search per million images in 16 orientations, where a C compiler was at hand: 16 on a quiet
machine, 22 on a crowded one."""
REQUEST_MS: Final = 10.0
"""Of a search beside the scan: Elasticsearch's answer and Python."""
WORDS_MS: Final = 85.0
"""Of a search by words, without a mirror, at 100,000 images."""
INDEX_PER_CORE: Final = 1700.0
"""Images a second that a core of Elasticsearch takes in bulk, with the client on the same cores."""

# Rules of thumb: chosen, not measured.
DECODE_MS: Final = 5.0
"""CPU time of a picture of 640 x 480 that is sent: 2 measured for its signature, the rest for HTTP."""
HEAP_BASE_MB: Final = 200.0
HEAP_MB_PER_MILLION: Final = 5.0
WORKER_MB: Final = 240.0
"""Of an API worker beside the mirror, with what decoding large pictures takes."""
BUSY: Final = 0.7
"""Share of the CPUs that a plan counts on."""
FREE_DISK: Final = 2.0
"""Bytes of volume for each of index: a disk is filled up to 85 %, and merging writes before it deletes."""
SHARD_IMAGES: Final = 10_000_000
GARBAGE: Final = 1.25
GARBAGE_ROWS: Final = 100_000
BLOCK_ROWS: Final = 65_536
"""Rows of the mirror an image, since those of images gone stay a while; it comes in whole blocks."""
CACHED: Final = 0.1
"""Share of a node's index that the page cache should hold; searches by words read a third of it."""
CACHED_WORDS: Final = 0.4
LARGEST_MIRROR: Final = 64 * 10**9
"""Bytes for a mirror in one pod beyond which a plan does without."""
NODE_CORES: Final = 4
POD_CORES: Final = 16
MOST_NODE_MEMORY: Final = 64 * GIB
MOST_NODE_DISK: Final = 2048 * GIB
MAX_HEAP: Final = 31 * GIB
MAX_SHARDS, MAX_NODES, MAX_PODS = 64, 100, 1000


class TooLargeError(ValueError):
    """No one MatchCluster can be that large; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Load:
    """What a cluster is for."""

    images: int
    replicas: int = 1
    searches_per_second: float = 1.0
    adds_per_second: float = 0.0


@dataclass(frozen=True, slots=True)
class Size:
    """What it needs; bytes, and CPUs where nothing else is said."""

    shards: int
    data_nodes: int
    masters: int
    """Dedicated ones; 0 where the data nodes vote."""
    node_memory: int
    node_disk: int
    index: int
    """Primary shards and replicas together."""
    mirror: int
    """0: too large for a pod, so searches go by words."""
    pods: int
    pod_cores: int
    pod_memory: int
    search_ms: float
    """Until one search is answered, on a cluster that is not busy."""


def images(text: str) -> int:
    """A number of images as people write it: 250k, 50M, 1.5G; ``ValueError`` for anything else."""
    found = re.fullmatch(
        r"(\d+(?:\.\d+)?)\s*([kmgb]|bn)?", text.strip().replace(",", "").replace("_", ""), re.I
    )
    if not found or not float(found[1]):
        raise ValueError(f"{text!r} is not a number of images such as 250k, 50M or 1.5G")
    units = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "b": 10**9, "bn": 10**9}
    return round(float(found[1]) * units[(found[2] or "").lower()])


def rate(text: str) -> float:
    """A number of calls a second; ``ValueError`` if it is negative or no number."""
    number = float(text)
    if not (math.isfinite(number) and number >= 0):
        raise ValueError(f"{text!r} is not a number of calls a second")
    return number


def size(load: Load) -> Size:
    """The smallest cluster for ``load``; ``TooLargeError`` where a MatchCluster's limits forbid it."""
    mirror = _mirror(load)
    mirror = 0 if mirror > LARGEST_MIRROR else mirror
    shards = math.ceil(load.images / SHARD_IMAGES)
    index = load.images * DISK_BYTES * (1 + load.replicas)
    nodes, memory = _nodes(load, index, by_words=not mirror)
    pods, cores = _pods(load, by_words=not mirror)
    if pods > MAX_PODS or nodes > MAX_NODES:
        what = f"{nodes} data nodes" if nodes > MAX_NODES else f"{pods:,} API pods"
        raise TooLargeError(
            f"This load takes {what}, more than one MatchCluster can have: spread the images over several."
        )
    return Size(
        shards=min(MAX_SHARDS, max(1, shards)),
        data_nodes=nodes,
        masters=3 if nodes > 3 else 0,
        node_memory=memory,
        node_disk=_gib(max(20 * GIB, index * FREE_DISK / nodes)),
        index=index,
        mirror=mirror,
        pods=pods,
        pod_cores=cores,
        pod_memory=_half_gib(mirror + max(2, cores) * WORKER_MB * MB),
        search_ms=_scan_ms(load) + DECODE_MS + REQUEST_MS if mirror else WORDS_MS + DECODE_MS,
    )


def _mirror(load: Load) -> int:
    rows = max(load.images * GARBAGE, load.images + GARBAGE_ROWS) + BLOCK_ROWS
    return math.ceil(rows / BLOCK_ROWS) * BLOCK_ROWS * MIRROR_BYTES


def _scan_ms(load: Load) -> float:
    return SCAN_MS * load.images / MILLION


def _nodes(load: Load, index: int, *, by_words: bool) -> tuple[int, int]:
    """Data nodes and the memory of each."""
    share = CACHED_WORDS if by_words else CACHED
    copies = 1 + load.replicas
    indexing = load.adds_per_second * copies / INDEX_PER_CORE
    searching = load.searches_per_second * (WORDS_MS if by_words else REQUEST_MS) / 1000
    nodes = max(
        3,
        copies,
        math.ceil(index * FREE_DISK / MOST_NODE_DISK),
        math.ceil(index * share / (MOST_NODE_MEMORY - MAX_HEAP)),
        math.ceil((indexing + searching) / BUSY / NODE_CORES),
    )
    heap = (HEAP_BASE_MB + HEAP_MB_PER_MILLION * load.images * copies / nodes / MILLION) * MB * 2
    cache = index * share / nodes
    return nodes, _gib(max(2 * GIB, 2 * heap, min(2 * cache, cache + MAX_HEAP)))


def _pods(load: Load, *, by_words: bool) -> tuple[int, int]:
    """API pods and the CPUs of each."""
    searching = load.searches_per_second * (DECODE_MS + (0 if by_words else _scan_ms(load)))
    busy = (searching + load.adds_per_second * DECODE_MS) / 1000 / BUSY
    pods = max(2, math.ceil(busy / POD_CORES))
    return pods, max(1, math.ceil(busy / pods))


def _gib(amount: float) -> int:
    return math.ceil(amount / GIB) * GIB


def _half_gib(amount: float) -> int:
    return math.ceil(amount / GIB * 2) * GIB // 2


def words(load: Load, found: Size) -> list[str]:
    """The plan in sentences."""
    rates = f"{load.searches_per_second:g} searches and {load.adds_per_second:g} adds a second"
    return [
        f"{load.images:,} images, {rates}",
        _index_words(load, found),
        _node_words(found),
        f"- API: {found.pods} pods with {found.pod_cores} CPUs and {_text(found.pod_memory)} of memory each",
        _search_words(load, found),
    ]


def _index_words(load: Load, found: Size) -> str:
    per_shard = load.images / found.shards / MILLION
    shards = f"{found.shards} shards" if found.shards > 1 else "one shard"
    return (
        f"- index: {shards} of {per_shard:,.2g} million images, replicas: {load.replicas}, "
        f"{_text(found.index)} in all"
    )


def _node_words(found: Size) -> str:
    masters = f", and {found.masters} masters" if found.masters else ", masters as well"
    return (
        f"- Elasticsearch: {found.data_nodes} data nodes with {NODE_CORES} CPUs, {_text(found.node_memory)} "
        f"of memory and a volume of {_text(found.node_disk)} each{masters}"
    )


def _search_words(load: Load, found: Size) -> str:
    if not found.mirror:
        most = LARGEST_MIRROR / MIRROR_BYTES / GARBAGE / MILLION
        return (
            "- searches go by words and find less than exact ones: these would take "
            f"{_text(_mirror(load))} of memory in each API pod, more than the {_text(LARGEST_MIRROR)} "
            f"this plan allows. Several MatchClusters of up to {most:,.0f} million images each would "
            "search exactly"
        )
    said = f"- searches are exact, by a copy of the signatures of {_text(found.mirror)} in each API pod"
    return f"{said}; one takes {_duration(found.search_ms)}"


def _text(amount: float) -> str:
    return f"{amount / GIB:,.0f} GiB" if amount >= 10 * GIB else f"{amount / GIB:,.2g} GiB"


def _duration(milliseconds: float) -> str:
    return f"{milliseconds / 1000:.2g} s" if milliseconds >= 1000 else f"{milliseconds:.0f} ms"


def manifest(load: Load, found: Size, name: str) -> Json:
    """A complete MatchCluster of that size."""
    memory = f"{found.node_memory // GIB}Gi"
    data = {
        "name": "data" if found.masters else "default",
        "count": found.data_nodes,
        "roles": ["data"] if found.masters else ["master", "data"],
        "resources": {"requests": {"cpu": str(NODE_CORES), "memory": memory}, "limits": {"memory": memory}},
        "storage": {"size": f"{found.node_disk // GIB}Gi"},
    }
    masters = {
        "name": "masters",
        "count": found.masters,
        "roles": ["master"],
        "resources": {"requests": {"cpu": "500m", "memory": "2Gi"}, "limits": {"memory": "2Gi"}},
        "storage": {"size": "10Gi"},
    }
    api_memory = f"{found.pod_memory // 2**20}Mi"
    mirror = {"name": "MATCH_MIRROR_MAX_BYTES", "value": str(found.mirror)}
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND,
        "metadata": {"name": name},
        "spec": {
            "index": {"shards": found.shards, "replicas": load.replicas},
            "elasticsearch": {"nodeSets": [masters, data] if found.masters else [data]},
            "api": {
                "replicas": found.pods,
                "workers": min(64, max(2, found.pod_cores)),
                "resources": {
                    "requests": {"cpu": str(found.pod_cores), "memory": api_memory},
                    "limits": {"memory": api_memory},
                },
                "podTemplate": {"spec": {"containers": [{"name": names.API, "env": [mirror]}]}},
            },
        },
    }
