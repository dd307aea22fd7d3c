"""The blocking client."""

import contextlib
import ssl
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Self, TypeVar, Unpack

import httpx

from match_client import calls, flow
from match_client.calls import Call, Mode, SearchOptions
from match_client.flow import Retry
from match_client.images import Image
from match_client.results import Comparison, Json, Match, Overlap

T = TypeVar("T")
Matches = list[Match]
"""Named, since ``list`` is one of the methods."""


class Client:
    """A service of the Match API at ``base_url``, over connections that are kept and used again.

    May be used by several threads. ``timeout`` is in seconds, for connecting and for each silence of the
    service. ``tls`` replaces the usual certificate authorities. Every method raises ``MatchClientError``.
    """

    def __init__(
        self,
        base_url: str,
        key: str | None = None,
        *,
        timeout: float = 60.0,
        retry: Retry | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._http = httpx.Client(**flow.http_options(base_url, key, timeout, tls))
        self._retry = retry or Retry()

    def add(self, filepath: str, image: Image, metadata: Json = None) -> None:
        """Keep ``image`` under ``filepath``, replacing what was there; searches find it from now on."""
        self._run(calls.add(filepath, image, metadata))

    def delete(self, filepath: str) -> None:
        """Forget exactly ``filepath``; no error if it is not there."""
        self._run(calls.delete(filepath))

    def search(self, image: Image, **options: Unpack[SearchOptions]) -> Matches:
        """Stored images like ``image``, best first."""
        return self._run(calls.search(image, options))

    def compare(self, first: Image, second: Image) -> Comparison:
        """How alike two images are."""
        return self._run(calls.compare(first, second))

    def overlap(
        self, first: Image, second: Image, mode: Mode = "blend", *, all_orientations: bool = True
    ) -> Overlap:
        """A picture of the second laid over the first, in the orientation in which they are most alike."""
        return self._run(calls.overlap(first, second, mode, all_orientations=all_orientations))

    def count(self) -> int:
        """Number of images."""
        return self._run(calls.count())

    def ping(self) -> None:
        """Return if the service answers; says nothing of its store."""
        self._run(calls.ping())

    def list(self, page_size: int = 1000) -> Iterator[str]:
        """All filepaths in code-point order, fetched a page at a time while you iterate.

        What is added or deleted meanwhile may shift a page and so be missed or met twice.
        """
        pages = calls.Pages(page_size)
        while pages.more:
            yield from self._run(pages.next())

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self, call: Call[T]) -> T:
        with contextlib.closing(flow.run(self._http, call, self._retry)) as steps:
            try:
                step = next(steps)
                while True:
                    step = steps.send(self._do(step))
            except StopIteration as end:
                result: T = end.value
                return result

    def _do(self, step: flow.Step) -> flow.Outcome:
        if isinstance(step, flow.Pause):
            time.sleep(step.seconds)
            return None
        try:
            return self._http.send(step)
        except httpx.RequestError as error:
            return error
