"""One Chromium and one service for all browser tests; each test begins with an empty collection."""

from collections.abc import Iterator

import pytest

from chromium import Browser, browser
from serving import Server, server


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    with browser() as opened:
        yield opened


@pytest.fixture(scope="session")
def keeping(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service that keeps thumbnails."""
    folder = tmp_path_factory.mktemp("keeping")
    with server(folder, MATCH_THUMBNAILS=str(folder / "thumbnails")) as running:
        yield running


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service as it is by default: without thumbnails."""
    with server(tmp_path_factory.mktemp("plain")) as running:
        yield running


@pytest.fixture(autouse=True)
def nothing_amiss(chromium: Browser, keeping: Server, plain: Server) -> Iterator[None]:
    """After every test: no policy was violated, no script failed, nothing was asked of another site."""
    for service in (keeping, plain):
        for filepath in service.list(0, 1000):
            service.delete(filepath)
    chromium.requested()
    yield
    assert chromium.complaints() == []
    ours = (keeping.url, plain.url)
    assert [url for url in chromium.requested() if not url.startswith(ours)] == []
