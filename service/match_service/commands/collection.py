"""The images a command works on: those behind a service's API, or those of a store opened right here."""

import argparse
import contextlib
import functools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Protocol, Unpack

from match_client import Client, Comparison, Image, Json, Match, MatchClientError, Retry, SearchOptions
from match_service import engine
from match_service.commands.common import CommandError, WrongUseError, key, settings
from match_service.errors import MatchError
from match_service.fetch import Fetcher
from match_service.manifest import problem
from match_service.matcher import Matcher, Options
from match_service.settings import Settings
from match_service.store.base import Store
from match_service.store.opening import open_pictured
from match_service.thumbnails import ThumbnailsError

PAGE: Final = 1000
PATIENT: Final = Retry(attempts=12, wait_seconds=180)
Matches = list[Match]


class Collection(Protocol):
    """What ``match_client.Client`` offers and commands use."""

    def add(self, filepath: str, image: Image, metadata: Json = None) -> None:
        """Keep an image."""

    def delete(self, filepath: str) -> None:
        """Forget an image."""

    def search(self, image: Image, **options: Unpack[SearchOptions]) -> Matches:
        """Images like this one, best first."""

    def compare(self, first: Image, second: Image) -> Comparison:
        """How alike two images are."""

    def count(self) -> int:
        """Number of images."""

    def list(self, page_size: int = PAGE) -> Iterator[str]:
        """All filepaths in order."""


@contextlib.contextmanager
def opened(options: argparse.Namespace, *, make: bool = False) -> Iterator[Collection]:
    """The collection that --url or the environment names; failures become ``CommandError``.

    With ``make`` an embedded store that is not there yet is made.
    """
    try:
        if options.url:
            with client(options) as remote:
                yield remote
        else:
            local = _Local(settings(), make=make)
            with contextlib.closing(local):
                yield local
    except (MatchClientError, MatchError) as error:
        raise CommandError(str(error)) from error


def client(options: argparse.Namespace, *, patient: bool = False) -> Client:
    """A client for --url; a ``patient`` one waits out a restart or a rate limit of the service."""
    try:
        return Client(options.url, key(options), retry=PATIENT if patient else None)
    except ValueError as error:
        raise WrongUseError(f"--url: {error}") from error


class _Local:
    """A store without a service in front, opened when it is needed; one may be serving from it meanwhile."""

    def __init__(self, chosen: Settings, *, make: bool) -> None:
        self._settings, self._make = chosen, make
        self._fetch = Fetcher(chosen.fetch).fetch

    def add(self, filepath: str, image: Image, metadata: Json = None) -> None:
        if wrong := problem(filepath):
            raise CommandError(wrong)
        self._matcher.add(self._matcher.record(filepath, self._bytes(image), metadata))

    def delete(self, filepath: str) -> None:
        self._store.delete(filepath)

    def search(self, image: Image, **options: Unpack[SearchOptions]) -> Matches:
        chosen = Options(
            all_orientations=options.get("all_orientations", self._settings.all_orientations),
            thorough=options.get("thorough", False),
            min_score=options.get("min_score"),
            limit=options.get("limit"),
        )
        found = self._matcher.search(self._bytes(image), chosen)
        return [Match(match.filepath, match.score, match.metadata) for match in found]

    def compare(self, first: Image, second: Image) -> Comparison:
        return Comparison((1.0 - engine.compare(self._bytes(first), self._bytes(second))) * 100.0)

    def count(self) -> int:
        return self._store.count()

    def list(self, page_size: int = PAGE) -> Iterator[str]:
        offset = 0
        while page := self._store.filepaths(offset, page_size):
            yield from page
            offset += len(page)

    def close(self) -> None:
        if "_matcher" in vars(self):
            self._store.close()

    @functools.cached_property
    def _matcher(self) -> Matcher:
        chosen = self._settings
        if not (self._make or chosen.elasticsearch_url or chosen.data.exists()):
            raise CommandError(
                f"There is no store {chosen.data} yet: `match-service import` or `match-service serve` makes "
                "one, MATCH_DATA names another, --url asks a running service."
            )
        try:
            return Matcher(open_pictured(chosen), pictures=bool(chosen.thumbnails))
        except ThumbnailsError as error:
            raise CommandError(str(error)) from error

    @property
    def _store(self) -> Store:
        return self._matcher.store

    def _bytes(self, image: Image) -> bytes:
        if isinstance(image, bytes):
            return image
        if isinstance(image, str) and image.lower().startswith(("http://", "https://")):
            return self._fetch(image)
        if not isinstance(image, (str, os.PathLike)):
            return image.read()
        try:
            return Path(image).read_bytes()
        except OSError as error:
            raise CommandError(f"{os.fspath(image)} cannot be read: {error.strerror}.") from error
