"""Real Elasticsearch nodes on loopback, for tests and work that need a store but no Kubernetes."""

import atexit
import base64
import contextlib
import dataclasses
import functools
import os
import secrets
import shutil
import ssl
import subprocess
import tempfile
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

from labcluster import builds, certificates, distribution, paths, processes, progress
from labcluster.ports import free_ports

USER = 1000
START_SECONDS = 120
STOP_SECONDS = 30
TLS = {
    "enabled": "true",
    "key": "certs/node.key",
    "certificate": "certs/node.crt",
    "certificate_authorities": "certs/ca.crt",
}
CERTIFIED = {f"xpack.security.{at}.ssl.{name}": TLS[name] for at in ("http", "transport") for name in TLS}
SECURE = {
    "xpack.security.autoconfiguration.enabled": "false",
    "xpack.security.transport.ssl.verification_mode": "certificate",
    **CERTIFIED,
}
_shared: dict[str, str] = {}


@dataclasses.dataclass(frozen=True)
class Node:
    """One running node: its name in the cluster, its URL, its process and its log."""

    name: str
    url: str
    process: "subprocess.Popen[bytes]"
    log: Path

    @property
    def config(self) -> Path:
        """Its folder of configuration: elasticsearch.yml, keystore, the file realm's users and roles."""
        return self.log.parent / "config"

    def stop(self) -> None:
        """Ask it to leave and wait until it is gone."""
        processes.end(self.process, STOP_SECONDS)

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.kill()
        self.process.wait()


@dataclasses.dataclass(frozen=True)
class Formation:
    """Nodes that form one cluster; with security also the password of `elastic` and who signed their TLS."""

    nodes: tuple[Node, ...]
    password: str = ""
    authority: Path | None = None

    @property
    def urls(self) -> list[str]:
        """Of every node that was started."""
        return [each.url for each in self.nodes]


@contextlib.contextmanager
def nodes(
    count: int = 3,
    *,
    secure: bool = False,
    heap: str = "512m",
    settings: Mapping[str, str] | None = None,
    java_options: str = "",
) -> Iterator[Formation]:
    """Start nodes with empty temporary data folders; yield them once each answers and knows all others.

    With `secure` HTTP and transport speak TLS and `elastic` has a password, else security is off; `settings`
    are every node's and win. A snapshot repository's `location` is a name below a folder that all share. All
    stop at the end of the block, and by themselves if this process dies. `LabError` with the end of a node's
    log if it does not start.
    """
    home = _readable_home()
    with (
        tempfile.TemporaryDirectory(prefix=f"{os.getpid()}-", dir=_short_lived()) as name,
        contextlib.ExitStack() as stack,
    ):
        folder = Path(name)
        password = secrets.token_urlsafe(12) if secure else ""
        authority = _authority(folder) if secure else None
        starts = _starts(folder, count, secure, settings or {})
        started: list[Node] = []
        stack.callback(_stop, started)
        for member, chosen in starts.items():
            started.append(_start(home, folder / member, chosen, password, _options(heap, java_options)))
        formation = Formation(tuple(started), password, authority)
        for each in started:
            progress.until(
                functools.partial(_joined, formation, each),
                START_SECONDS,
                f"an answer of Elasticsearch at {each.url}",
                functools.partial(progress.tail, each.log),
            )
        yield formation


@contextlib.contextmanager
def node(
    heap: str = "512m", settings: Mapping[str, str] | None = None, java_options: str = ""
) -> Iterator[str]:
    """Start one node without security, as `nodes` does, and yield its URL."""
    with nodes(1, heap=heap, settings=settings, java_options=java_options) as formation:
        yield formation.urls[0]


def start_again(stopped: Node, heap: str = "512m") -> Node:
    """Start a node that has stopped over its own folder, as it was but for the password in its environment.

    Whether it comes up is for the caller to see, who also stops it.
    """
    folder = stopped.log.parent
    log = folder / "again.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            stopped.process.args,
            env=_environment(folder, _options(heap, "")),
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return dataclasses.replace(stopped, process=process, log=log)


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


def _starts(folder: Path, count: int, secure: bool, settings: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """The settings of each node, under its name."""
    members = [f"lab-{index}" for index in range(count)]
    ports = free_ports(2 * count)
    transports = [str(port) for port in ports[count:]]
    together = {
        "cluster.name": "match-lab",
        "network.host": "127.0.0.1",
        "path.repo": str(folder / "snapshots"),
        "xpack.security.enabled": str(secure).lower(),
        # A test machine is often nearly full; the watermarks would make its indices read-only.
        "cluster.routing.allocation.disk.threshold_enabled": "false",
        **(SECURE if secure else {}),
    }
    if count == 1:
        together["discovery.type"] = "single-node"
    else:
        together["discovery.seed_hosts"] = ",".join(f"127.0.0.1:{port}" for port in transports)
        together["cluster.initial_master_nodes"] = ",".join(members)
    return {
        member: {
            **together,
            "node.name": member,
            "http.port": str(port),
            "transport.port": transport,
            "path.data": str(folder / member / "data"),
            "path.logs": str(folder / member / "logs"),
            **settings,
        }
        for member, port, transport in zip(members, ports, transports, strict=False)
    }


def _authority(folder: Path) -> Path:
    """Make an authority and one certificate for every node of this machine; the authority's own."""
    signed = certificates.Authority(folder / "certs")
    signed.ensure("match-lab-elasticsearch")
    signed.sign("node", "/CN=match-lab-node", ["localhost"], ["127.0.0.1"])
    return signed.certificate


def _start(home: Path, folder: Path, settings: Mapping[str, str], password: str, options: str) -> Node:
    """Start one node below its folder; `password` is the one that `elastic` begins with."""
    url = f"{'https' if password else 'http'}://127.0.0.1:{settings['http.port']}"
    log = folder / "node.log"
    command = _command(home, folder, settings)
    with log.open("wb") as out:
        process = subprocess.Popen(
            command,
            env={**_environment(folder, options), **({"ELASTIC_PASSWORD": password} if password else {})},
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return Node(settings["node.name"], url, process, log)


def _command(home: Path, folder: Path, settings: Mapping[str, str]) -> list[str]:
    snapshots = folder.parent / "snapshots"
    for made in (snapshots, *(folder / name for name in ("data", "logs", "tmp"))):
        made.mkdir(parents=True, exist_ok=True)
    shutil.copytree(home / "config", folder / "config")
    (folder / "config/elasticsearch.yml").write_text("")
    if (folder.parent / "certs").exists():
        shutil.copytree(folder.parent / "certs", folder / "config/certs")
    command = [str(home / "bin/elasticsearch"), *(f"-E{name}={value}" for name, value in settings.items())]
    if os.geteuid() != 0:
        return command
    folder.parent.chmod(0o755)
    for path in (snapshots, folder, *folder.rglob("*")):
        os.chown(path, USER, 0)
    return ["setpriv", f"--reuid={USER}", "--regid=0", "--clear-groups", *command]


def _options(heap: str, more: str) -> str:
    return f"-Xms{heap} -Xmx{heap} -Dmatch.lab.stdin=true -Dmatch.lab.environment=true {more}"


def _environment(folder: Path, options: str) -> dict[str, str]:
    return {
        **os.environ,
        "ES_JAVA": str(distribution.java() / "java"),
        "ES_PATH_CONF": str(folder / "config"),
        "ES_TMPDIR": str(folder / "tmp"),
        "ES_JAVA_OPTS": options,
    }


def _joined(formation: Formation, one: Node) -> bool:
    """Whether the node answers and sees as many nodes as were started, or more that joined by themselves."""
    if one.process.poll() is not None:
        raise progress.LabError(
            f"Elasticsearch stopped with code {one.process.returncode}:\n{progress.tail(one.log)}"
        )
    request = urllib.request.Request(f"{one.url}/_cat/nodes?h=name")
    if formation.password:
        known = base64.b64encode(f"elastic:{formation.password}".encode()).decode()
        request.add_header("Authorization", f"Basic {known}")
    trust = ssl.create_default_context(cafile=str(formation.authority)) if formation.authority else None
    try:
        with urllib.request.urlopen(request, timeout=5, context=trust) as answer:
            return len(answer.read().split()) >= len(formation.nodes)
    except OSError:
        return False


def _stop(started: list[Node]) -> None:
    for each in started:
        each.process.terminate()
    for each in started:
        each.stop()
        if each.process.stdin:
            each.process.stdin.close()
