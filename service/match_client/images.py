"""An image as callers have it: a path, a URL, bytes or an open file."""

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TypeAlias, cast

from match_client.errors import ImageUnreadableError

Image: TypeAlias = "str | os.PathLike[str] | bytes | IO[bytes]"
"""Text that begins with http:// or https:// is a URL, which the service fetches; other text is a path.

An open file is sent from its beginning if it can be rewound, else from where it is.
"""


def url(image: Image) -> str | None:
    """The address, if ``image`` is one."""
    return image if isinstance(image, str) and image[:8].lower().startswith(("http://", "https://")) else None


def repeatable(image: Image) -> bool:
    """Whether it can be sent a second time."""
    if isinstance(image, (str, bytes, os.PathLike)):
        return True
    return image.seekable()


@contextmanager
def opened(image: Image) -> Iterator[IO[bytes]]:
    """A stream to send ``image`` from, a piece at a time; a file opened here is closed afterwards."""
    if isinstance(image, bytes):
        yield io.BytesIO(image)
    elif isinstance(image, (str, os.PathLike)):
        with _file(Path(image)) as file:
            yield file
    else:
        yield cast("IO[bytes]", _Rewindable(image) if image.seekable() else _Once(image))


def _file(path: Path) -> IO[bytes]:
    try:
        return path.open("rb")
    except OSError as error:
        raise ImageUnreadableError(f"{path} cannot be read: {error.strerror}.") from error


class _Once:
    """Only what can be read: httpx would take a descriptor's size for the file's.

    That is wrong for a pipe, and for a file that is unpacked while it is read.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def read(self, size: int = -1) -> bytes:
        """The next bytes."""
        return self._file.read(size)


class _Rewindable(_Once):
    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go elsewhere."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Where it is."""
        return self._file.tell()
