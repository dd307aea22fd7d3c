"""Long-running programs that outlive the command that started them, and are stopped only if still ours.

How a process is stopped is written here alone: `stop` for those programs, `end` for a child held as a Popen.
"""

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from labcluster import paths, progress

GRACE_SECONDS = 20


def identity(pid: int) -> str | None:
    """Start time in ticks with the boot's id: a reused pid differs. None when no such process lives."""
    try:
        # The second field, the name in brackets, may itself hold spaces and brackets.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    if fields[0] == "Z":
        return None
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot}:{fields[19]}"


def _record(name: str) -> Path:
    return paths.run() / "processes" / f"{name}.json"


def names() -> list[str]:
    """Everything that was started and not yet stopped, the oldest first."""
    records = (paths.run() / "processes").glob("*.json")
    return [path.stem for path in sorted(records, key=lambda path: path.stat().st_mtime)]


def running(name: str) -> int | None:
    """The pid if the recorded process still lives and is the one that was started."""
    try:
        record = json.loads(_record(name).read_text())
    except (OSError, ValueError):
        return None
    pid = int(record["pid"])
    return pid if identity(pid) == record["identity"] else None


def ensure(name: str, command: Sequence[object], files: Mapping[Path, str] | None = None) -> bool:
    """Start the program unless it runs with this command and these files; True if it was started now.

    `files` are its settings, written here and only when they differ: kube-proxy, for one, ends when its file
    is touched.
    """
    words = [str(word) for word in command]
    changed = {path: text for path, text in (files or {}).items() if not _holds(path, text)}
    if running(name) is not None:
        if not changed and json.loads(_record(name).read_text())["command"] == words:
            return False
        stop(name)
    for path, text in changed.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    log = paths.logs() / f"{name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists():
        # Why the one before it ended.
        log.rename(log.with_suffix(".log.1"))
    _record(name).parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as out:
        pid = _spawn(words, out)
    record = {"pid": pid, "identity": identity(pid), "command": words}
    _record(name).write_text(json.dumps(record))
    return True


def _spawn(words: Sequence[str], out: IO[bytes]) -> int:
    """Start a session of its own in `/`; the pid. No Popen: it warns of a child that outlives its starter."""
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_DUP2, out.fileno(), 1),
        (os.POSIX_SPAWN_DUP2, out.fileno(), 2),
        *((os.POSIX_SPAWN_CLOSE, inherited) for inherited in _inherited()),
    ]
    ignored_by_python = [signal.SIGPIPE, signal.SIGXFSZ]
    # Not as nice as the command that happens to start it: it outlives that, and so do the pods it starts.
    command = ["nice", "-n", str(-os.nice(0)), "env", "--chdir=/", *words]
    return os.posix_spawnp(
        "nice", command, os.environ, file_actions=actions, setsid=True, setsigdef=ignored_by_python
    )


def _inherited() -> list[int]:
    """Files handed to this process that would live on in its children, a caller's lock among them."""
    found = []
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208  # numbers, not paths
        with contextlib.suppress(OSError):
            if int(name) > 2 and os.get_inheritable(int(name)):
                found.append(int(name))
    return found


def _holds(path: Path, text: str) -> bool:
    return path.exists() and path.read_text() == text


def log_tail(name: str) -> str:
    """The end of a program's log, with the sentence that it stopped if it did."""
    log = paths.logs() / f"{name}.log"
    state = "" if running(name) else f"    {name} has stopped\n"
    return f"{state}  the end of {log}:\n{progress.tail(log)}"


def stop(name: str, seconds: float = GRACE_SECONDS) -> None:
    """SIGTERM, then SIGKILL after `seconds`; the record goes with it."""
    pid = running(name)
    if pid is not None:
        os.kill(pid, signal.SIGTERM)
        _gone(pid, seconds)
    _record(name).unlink(missing_ok=True)


def kill(name: str) -> None:
    """SIGKILL, as a power cut would; its record stays, and `status` shows that it stopped."""
    pid = running(name)
    if pid is not None:
        os.kill(pid, signal.SIGKILL)
        _gone(pid, GRACE_SECONDS)


def _gone(pid: int, seconds: float) -> None:
    known = identity(pid)
    end = time.monotonic() + seconds
    while known is not None and identity(pid) == known:
        if time.monotonic() > end:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)
    # Where it was started by this very process, its exit code is still kept for us.
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def end(process: "subprocess.Popen[Any]", seconds: float = GRACE_SECONDS) -> int:
    """Stop a child (SIGTERM, after `seconds` SIGKILL); its exit code. Its pipes are the caller's to close."""
    if process.poll() is None:
        process.terminate()
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()
