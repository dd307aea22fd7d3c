"""The asynchronous client: the blocking one's methods, to be awaited."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
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


class AsyncClient:
    """As ``Client``; for asyncio. Files are read in the event loop, a piece at a time."""

    def __init__(
        self,
        base_url: str,
        key: str | None = None,
        *,
        timeout: float = 60.0,
        retry: Retry | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._http = httpx.AsyncClient(**flow.http_options(base_url, key, timeout, tls))
        self._retry = retry or Retry()

    async def add(self, filepath: str, image: Image, metadata: Json = None) -> None:
        """As ``Client.add``."""
        await self._run(calls.add(filepath, image, metadata))

    async def delete(self, filepath: str) -> None:
        """As ``Client.delete``."""
        await self._run(calls.delete(filepath))

    async def search(self, image: Image, **options: Unpack[SearchOptions]) -> Matches:
        """As ``Client.search``."""
        return await self._run(calls.search(image, options))

    async def compare(self, first: Image, second: Image) -> Comparison:
        """As ``Client.compare``."""
        return await self._run(calls.compare(first, second))

    async def overlap(
        self, first: Image, second: Image, mode: Mode = "blend", *, all_orientations: bool = True
    ) -> Overlap:
        """As ``Client.overlap``."""
        return await self._run(calls.overlap(first, second, mode, all_orientations=all_orientations))

    async def count(self) -> int:
        """As ``Client.count``."""
        return await self._run(calls.count())

    async def ping(self) -> None:
        """As ``Client.ping``."""
        await self._run(calls.ping())

    async def list(self, page_size: int = 1000) -> AsyncIterator[str]:
        """As ``Client.list``."""
        pages = calls.Pages(page_size)
        while pages.more:
            for filepath in await self._run(pages.next()):
                yield filepath

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _run(self, call: Call[T]) -> T:
        with contextlib.closing(flow.run(self._http, call, self._retry)) as steps:
            try:
                step = next(steps)
                while True:
                    step = steps.send(await self._do(step))
            except StopIteration as end:
                result: T = end.value
                return result

    async def _do(self, step: flow.Step) -> flow.Outcome:
        if isinstance(step, flow.Pause):
            await asyncio.sleep(step.seconds)
            return None
        try:
            return await self._http.send(step)
        except httpx.RequestError as error:
            return error
