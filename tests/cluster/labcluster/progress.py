"""What a waiting person sees: a line for each long step with its expected time, and where the time went."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from labcluster import paths

T = TypeVar("T")

stages: list[tuple[str, float]] = []


class LabError(Exception):
    """A sentence for the person at the keyboard; the command line prints it and nothing else."""


def say(text: str) -> None:
    """Print to standard error: standard output belongs to answers such as the kubeconfig's path."""
    print(text, file=sys.stderr, flush=True)


@contextlib.contextmanager
def stage(name: str, expected: str = "") -> Iterator[None]:
    """Time a step. One with an expected time (`about 2 min`) announces itself, a quick one stays silent."""
    if expected:
        say(f"  {name} ({expected}) ...")
    start = time.monotonic()
    try:
        yield
    finally:
        stages.append((name, time.monotonic() - start))


def summary() -> str:
    """The stages so far with their seconds, those under 0.1 s left out."""
    shown = [f"  {seconds:7.1f} s  {name}" for name, seconds in stages if seconds >= 0.1]
    return "\n".join(shown)


def tail(log: Path, lines: int = 20) -> str:
    """The last lines of a log, indented, for the sentence that says what went wrong."""
    if not log.exists():
        return "    (no log)"
    text = log.read_text(errors="replace").splitlines()[-lines:]
    return "\n".join(f"    {line}" for line in text)


def run(
    command: Sequence[object], log: str, *, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> None:
    """Run to the end, output appended to the log of that name; `LabError` with its last lines on failure."""
    file = paths.logs() / f"{log}.log"
    file.parent.mkdir(parents=True, exist_ok=True)
    words = [str(word) for word in command]
    with file.open("ab") as out:
        out.write(f"$ {' '.join(words)}\n".encode())
        out.flush()
        code = subprocess.run(
            words,
            cwd=cwd,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            check=False,
        ).returncode
    if code:
        raise LabError(f"{words[0]} failed with code {code}; the end of {file}:\n{tail(file)}")


def output(command: Sequence[object], given: bytes | None = None) -> str:
    """Standard output of a short command; `LabError` with its standard error on failure."""
    words = [str(word) for word in command]
    done = subprocess.run(words, input=given, capture_output=True, check=False)
    if done.returncode:
        reason = done.stderr.decode(errors="replace").strip()
        raise LabError(f"{' '.join(words)} failed with code {done.returncode}: {reason}")
    return done.stdout.decode()


def until(
    check: Callable[[], T | None],
    seconds: float,
    what: str,
    explain: Callable[[], str] = str,
    pause: float = 0.1,
) -> T:
    """Ask until the answer is true; `LabError` naming `what` and an explanation after `seconds`."""
    end = time.monotonic() + seconds
    while True:
        answer = check()
        if answer:
            return answer
        if time.monotonic() > end:
            raise LabError(f"{what} was not so after {seconds:.0f} s\n{explain()}")
        time.sleep(pause)
