"""One real Elasticsearch node on loopback, for tests and work that need a store but no Kubernetes."""

import atexit
import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

from labcluster import builds, distribution, paths, progress

USER = 1000
START_SECONDS = 120
_shared: dict[str, str] = {}


@contextlib.contextmanager
def node(
    heap: str = "512m", settings: Mapping[str, str] | None = None, java_options: str = ""
) -> Iterator[str]:
    """Start a node with an empty temporary data folder and yield its URL once GET / answers 200.

    Security is off unless `settings` says otherwise. The node stops at the end of the block, and by itself
    if this process dies. `LabError` with the end of its log if it does not start.
    """
    home = _readable_home()
    with tempfile.TemporaryDirectory(prefix=f"{os.getpid()}-", dir=_short_lived()) as name:
        folder = Path(name)
        port, transport = _free_ports(2)
        log = folder / "node.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                _command(home, folder, {**_settings(folder, port, transport), **(settings or {})}),
                env=_environment(folder, heap, java_options),
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        url = f"http://127.0.0.1:{port}"
        try:
            progress.until(
                lambda: _answers(url, process, log),
                START_SECONDS,
                f"an answer of Elasticsearch at {url}",
                lambda: progress.tail(log),
            )
            yield url
        finally:
            _stop(process)


def shared_node(heap: str = "512m") -> str:
    """URL of one node per process (so per pytest session), started at the first call, stopped at exit."""
    if heap not in _shared:
        stack = contextlib.ExitStack()
        _shared[heap] = stack.enter_context(node(heap))
        atexit.register(stack.close)
    return _shared[heap]


def _readable_home() -> Path:
    """The distribution where user 1000 can read it: root's cache lies below a closed home folder."""
    built = distribution.path()
    if os.geteuid() != 0:
        return built
    home = paths.lab() / built.name
    if not home.exists():
        with builds.locked("elasticsearch-home"):
            if not home.exists():
                _copy(built, home)
    return home


def _copy(built: Path, home: Path) -> None:
    part = home.with_name(f".{home.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(built, part)
    part.rename(home)
    for stale in home.parent.glob("elasticsearch-*"):
        if stale != home and not _in_use(stale):
            shutil.rmtree(stale, ignore_errors=True)


def _in_use(home: Path) -> bool:
    return any(
        os.path.realpath(link).startswith(str(home))
        for link in Path("/proc").glob("[0-9]*/cwd")
        if os.access(link, os.R_OK)
    )


def _short_lived() -> Path:
    folder = paths.lab() / "nodes"
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.iterdir():
        # Left behind by a process that was killed.
        if not Path("/proc", left.name.partition("-")[0]).exists():
            shutil.rmtree(left, ignore_errors=True)
    return folder


def _free_ports(count: int) -> list[int]:
    """Ports nobody listens on now; all held at once so that they differ."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _settings(folder: Path, port: int, transport: int) -> dict[str, str]:
    return {
        "cluster.name": "match-lab",
        "node.name": "lab-0",
        "network.host": "127.0.0.1",
        "http.port": str(port),
        "transport.port": str(transport),
        "discovery.type": "single-node",
        "path.data": str(folder / "data"),
        "path.logs": str(folder / "logs"),
        "path.repo": str(folder / "snapshots"),
        "xpack.security.enabled": "false",
        # A test machine is often nearly full; the watermarks would make its indices read-only.
        "cluster.routing.allocation.disk.threshold_enabled": "false",
    }


def _command(home: Path, folder: Path, settings: Mapping[str, str]) -> list[str]:
    for name in ("data", "logs", "snapshots", "tmp"):
        (folder / name).mkdir()
    shutil.copytree(home / "config", folder / "config")
    (folder / "config/elasticsearch.yml").write_text("")
    command = [str(home / "bin/elasticsearch"), *(f"-E{name}={value}" for name, value in settings.items())]
    if os.geteuid() != 0:
        return command
    folder.chmod(0o755)
    for path in (folder, *folder.rglob("*")):
        os.chown(path, USER, 0)
    return ["setpriv", f"--reuid={USER}", "--regid=0", "--clear-groups", *command]


def _environment(folder: Path, heap: str, java_options: str) -> dict[str, str]:
    return {
        **os.environ,
        "ES_JAVA": str(distribution.java() / "java"),
        "ES_PATH_CONF": str(folder / "config"),
        "ES_TMPDIR": str(folder / "tmp"),
        "ES_JAVA_OPTS": f"-Xms{heap} -Xmx{heap} -Dmatch.lab.stdin=true {java_options}",
    }


def _answers(url: str, process: "subprocess.Popen[bytes]", log: Path) -> bool:
    if process.poll() is not None:
        raise progress.LabError(
            f"Elasticsearch stopped with code {process.returncode}:\n{progress.tail(log)}"
        )
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdin:
        process.stdin.close()
