"""Reading another Elasticsearch index whole, whatever its version.

Plain requests with httpx, since the official client refuses servers older than itself, and scrolling, since
every version from 2 on can. Documents come in portions by age, oldest first: what was read up to some age
need not be read again, and a newer document of a filepath always comes after an older one.
"""

import contextlib
import itertools
import math
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import quote

import httpx

PORTION: Final = 20_000
"""Documents of one portion, about: what is read again after an interruption."""
MAX_PORTIONS: Final = 2000
PAGE: Final = 1000
SAMPLE: Final = 50
KEEP_ALIVE: Final = "10m"
SECONDS: Final = 120.0

Hit = dict[str, Any]
Body = dict[str, Any]


class SourceError(Exception):
    """The index cannot be read; its text is one sentence, without credentials."""


@dataclass(frozen=True, slots=True)
class Portion:
    """Documents of ``low <= timestamp < high`` in milliseconds since 1970, or those of no timestamp."""

    low: int | None = None
    high: int | None = None
    dated: bool = True


class Index:
    """One index, read only."""

    def __init__(self, http: httpx.Client, index: str, doc_type: str | None = None) -> None:
        self._http = http
        self.portion = PORTION
        self._path = f"/{quote(index, safe='')}"
        self._doc_type = doc_type
        url = http.base_url
        self.name = f"{url.host}:{url.port or ''}{url.path}{index}/{doc_type or ''}"
        """What tells it from others; holds no credentials."""
        self.nest = self._look()

    @classmethod
    def open(cls, url: str, index: str, doc_type: str | None = None, ca_certs: str = "") -> "Index":
        """The index ``index`` at ``url``, which may hold user and password. ``SourceError`` if there is none.

        ``doc_type`` leaves out documents of other mapping types.
        """
        try:
            address = httpx.URL(url if "://" in url else f"http://{url}")
            tls = ssl.create_default_context(cafile=ca_certs) if ca_certs else True
        except (httpx.InvalidURL, OSError) as error:
            raise SourceError(f"Elasticsearch cannot be asked: {error}.") from error
        auth = (address.username, address.password) if address.username else None
        base = address.copy_with(userinfo=b"")
        return cls(httpx.Client(base_url=base, auth=auth, verify=tls, timeout=SECONDS), index, doc_type)

    def count(self, since: int | None = None) -> int:
        """Number of documents, or of those of at least that timestamp."""
        body = {"query": _query(self._timestamp, Portion(low=since)) if since is not None else _ALL}
        return int(self._post(f"{self._path}/_count", body)["count"])

    def portions(self, since: int | None = None) -> list[Portion]:
        """All documents, or those of at least that timestamp, in portions of ascending age.

        One portion for all where documents have no timestamps that can be ordered.
        """
        cuts = self._cuts(since)
        if not cuts:
            return [Portion(low=since)] if since is not None else [Portion(dated=False), Portion()]
        edges = [since, *(cut for cut in cuts if since is None or cut > since), None]
        dated = [Portion(low, high) for low, high in itertools.pairwise(edges)]
        return dated if since is not None else [Portion(dated=False), *dated]

    def pages(self, portion: Portion) -> Iterator[list[Hit]]:
        """The documents of a portion; ``SourceError`` if not every one of them could be read."""
        body = {
            "size": PAGE,
            "sort": ["_doc"],
            "query": _query(self._timestamp, portion),
            "_source": {"excludes": ["simple_word_*", "*.simple_word_*"]},
        }
        answer = self._post(f"{self._path}/_search", body, scroll=KEEP_ALIVE)
        total, read = _total(answer), 0
        try:
            while hits := answer["hits"]["hits"]:
                read += len(hits)
                yield [hit for hit in hits if self._wanted(hit)]
                body = {"scroll": KEEP_ALIVE, "scroll_id": answer["_scroll_id"]}
                answer = self._post("/_search/scroll", body)
        finally:
            self._forget(answer.get("_scroll_id"))
        if read < total:
            raise SourceError(f"Elasticsearch gave {read} of {total} documents.")

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def _timestamp(self) -> str:
        return f"{self.nest}.timestamp" if self.nest else "timestamp"

    def _look(self) -> str:
        """The field below which image-match's fields are: newer versions of it nest them."""
        hits = self._post(f"{self._path}/_search", {"size": SAMPLE, "query": _ALL})["hits"]["hits"]
        for hit in filter(self._wanted, hits):
            source = hit.get("_source") or {}
            if "signature" in source:
                return ""
            for name, value in source.items():
                if isinstance(value, dict) and "signature" in value:
                    return str(name)
        if not hits:
            return ""
        raise SourceError(f"None of the first documents of {self.name} has a signature of image-match.")

    def _wanted(self, hit: Hit) -> bool:
        kind = hit.get("_type", "_doc")
        return self._doc_type is None or kind in ("_doc", self._doc_type)

    def _cuts(self, since: int | None) -> list[int]:
        """Timestamps that part the documents into about equal portions, ascending."""
        number = min(MAX_PORTIONS, self.count(since) // self.portion)
        if not number:
            return []
        percents = [100 * n / (number + 1) for n in range(1, number + 1)]
        body = {
            "size": 0,
            "query": _query(self._timestamp, Portion(low=since)),
            "aggs": {"cuts": {"percentiles": {"field": self._timestamp, "percents": percents}}},
        }
        try:
            answer = self._post(f"{self._path}/_search", body)
        except _RefusedError:
            return []  # not a date, so it cannot be ordered by
        values = answer["aggregations"]["cuts"]["values"].values()
        numbers = {int(value) for value in values if _is_number(value)}
        return sorted(numbers)

    def _post(self, path: str, body: Body, **params: str) -> Body:
        answer = self._send("POST", path, body, params)
        shards = answer.get("_shards", {})
        if answer.get("timed_out") or shards.get("failed"):
            raise SourceError("Elasticsearch could not ask all shards of the index.")
        return answer

    def _send(self, method: str, path: str, body: Body, params: Mapping[str, str]) -> Body:
        try:
            response = self._http.request(method, path, json=body, params=params)
        except httpx.RequestError as error:
            raise SourceError(f"Elasticsearch does not answer ({type(error).__name__}).") from error
        status = response.status_code
        if status in (401, 403):
            raise SourceError("Elasticsearch does not accept these credentials for reading the index.")
        if status == 404:
            raise SourceError(f"Elasticsearch has no {self.name}, or no longer the context of this reading.")
        if status == 400:
            raise _RefusedError(f"Elasticsearch refused to read {self.name}: {response.text[:300]}")
        try:
            answer = response.json()
        except ValueError:
            answer = None
        if not response.is_success or not isinstance(answer, dict):
            raise SourceError(f"What answers there cannot be read from (status {status}).")
        return answer

    def _forget(self, scroll_id: str | None) -> None:
        """Free what Elasticsearch keeps for a scroll; it would do so by itself later."""
        if scroll_id is not None:
            with contextlib.suppress(SourceError):
                self._send("DELETE", "/_search/scroll", {"scroll_id": [scroll_id]}, {})


class _RefusedError(SourceError):
    """The request makes no sense to this index."""


_ALL: Final[Body] = {"match_all": {}}


def _query(field: str, portion: Portion) -> Body:
    if not portion.dated:
        return {"bool": {"must_not": [{"exists": {"field": field}}]}}
    edges = {"gte": portion.low, "lt": portion.high}
    limits = {name: edge for name, edge in edges.items() if edge is not None}
    if not limits:
        return {"exists": {"field": field}}
    return {"range": {field: {**limits, "format": "epoch_millis"}}}


def _total(answer: Body) -> int:
    total = answer["hits"]["total"]
    return int(total["value"] if isinstance(total, dict) else total)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)
