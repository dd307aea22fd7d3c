"""Reads the API server's audit log while that is being written: what happened since a moment.

The server writes long events in pieces, so that the file may end within a line both when a reading begins and
when it ends.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

WRITES: Final = ("create", "update", "patch", "delete", "deletecollection")


def now(log: Path) -> int:
    """A place for ``events``: bytes written so far."""
    return log.stat().st_size


def events(log: Path, since: int) -> Iterator[dict[str, Any]]:
    """Events whose lines begin at ``since`` or later and are complete."""
    with log.open("rb") as lines:
        if since:
            lines.seek(since - 1)
            lines.readline()  # the rest of a line that began before, if only its end
        for line in lines:
            if line.endswith(b"\n"):
                yield json.loads(line)
