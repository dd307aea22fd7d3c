"""The command line as a user runs it."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from serving import environment


@dataclass(frozen=True)
class Ran:
    """What a command came to."""

    code: int
    out: str
    said: str
    """What it wrote to standard error."""


def match_service(folder: Path, *arguments: str, data: bytes = b"", **settings: str) -> Ran:
    """Run it in ``folder``; of our variables only ``settings`` are set, ``data`` is its standard input."""
    done = subprocess.run(
        [sys.executable, "-m", "match_service", *arguments],
        env={**environment(folder, **settings), "PYTHONPATH": os.pathsep.join(sys.path)},
        cwd=folder,
        input=data,
        capture_output=True,
        timeout=120,
        check=False,
    )
    return Ran(done.returncode, done.stdout.decode(), done.stderr.decode())
