"""Loads the real service over each store, overloads it, restarts Elasticsearch under it; writes docs/load.md.

``make soak`` runs this for 15 minutes over each store; tests/integration/test_load.py does it for seconds.
"""

import argparse
import contextlib
import json
import os
import socket
import sys
import tempfile
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

import elastic
import machine
import written
from closed_loop import SILENT, Named, Seen, clients, percentile
from labcluster import elasticsearch
from match_service.engine import scan
from match_service.engine.layout import HALF, from_half
from serving import PROBES, Client, Server, server

STORED = 20_000
NAMES = 500
"""To which the adds go in turn, so that the collection does not grow."""
CLIENTS = 8
SETTINGS = {"MATCH_QUEUE": "16", "MATCH_HEALTH_PORT": "0", "MATCH_ACCESS_LOG": "false"}
PLACES = 32
"""Threads and queue of each worker."""
FLAT = 50
"""MiB by which memory may differ between the second and the last quarter of a phase."""
PROBE_SECONDS = 3.0
"""After which a kubelet gives a probe up, as the operator sets it."""
UNREADY_SECONDS = 30.0
"""After which it takes the pod out of service."""
COLUMNS = (
    "store", "phase", "clients", "answers/s", "add p50 / p95 / p99", "search p50 / p95 / p99", "turned away",
    "probes ready, slowest", "memory, its growth",
)  # fmt: skip
STORES = ("embedded", "elasticsearch")


@dataclass
class Run:
    """What was seen over one store."""

    store: str
    steady: Seen
    overload: Seen
    recovery: Seen
    restart: Seen | None = None
    down: float = 0.0
    """Seconds from Elasticsearch's death to the first answer of the new one."""
    lost: list[str] = field(default_factory=list)

    @property
    def broken(self) -> list[str]:
        """Promises that were not kept, in words."""
        phases = {"steady": self.steady, "overload": self.overload, "after it": self.recovery}
        found = [f"{name}: {what}" for name, seen in phases.items() for what in _probed(seen)]
        phases |= {"restart": self.restart} if self.restart else {}
        found += [f"{name}: {dict(seen.faults)}" for name, seen in phases.items() if seen.faults]
        found += [
            f"{name}: {len(phases[name].refused)} turned away"
            for name in ("steady", "after it")
            if phases[name].refused
        ]
        if abs(self.steady.growth) > FLAT:
            found.append(f"memory changed by {self.steady.growth:.0f} MiB")
        if not self.overload.refused:
            found.append("nobody was turned away at overload")
        return [f"{self.store}: {what}" for what in (*found, *self.lost)]


def _probed(seen: Seen) -> Iterator[str]:
    """What a kubelet would have acted on."""
    if silent := [reason for reason in seen.unready if reason.startswith(SILENT)]:
        yield f"probes were not answered: {silent}"
    if (slowest := max(seen.probes, default=0.0)) > PROBE_SECONDS:
        yield f"a probe was answered after {slowest:.1f} s"
    if seen.unready_for > UNREADY_SECONDS:
        yield f"not ready for {seen.unready_for:.0f} s: {dict(seen.unready)}"


class Node:
    """An Elasticsearch that can be killed and started again with what it has on its disk."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        folder.chmod(0o755)
        data = folder / "data"
        data.mkdir()
        if os.geteuid() == 0:
            os.chown(data, elasticsearch.USER, 0)
        self._settings = {"path.data": str(data), "http.port": str(port)}
        self._stack = ExitStack()
        self.start()

    def start(self) -> None:
        self._formation = self._stack.enter_context(elasticsearch.nodes(1, settings=self._settings))
        self.url = self._formation.urls[0]

    def kill(self) -> None:
        self._formation.nodes[0].kill()

    def close(self) -> None:
        self._stack.close()


@contextlib.contextmanager
def loaded(store: str, folder: Path) -> Iterator[tuple[Server, Client, Node | None]]:
    """A service with a collection over ``store``, and a client of its port for probes."""
    with ExitStack() as stack:
        node, settings = None, dict(SETTINGS)
        if store == "elasticsearch":
            node = Node(folder)
            stack.callback(node.close)
            settings |= elastic.settings(node.url)
        running = stack.enter_context(server(folder, **settings))
        _fill(running)
        (line,) = [line for line in running.log if PROBES in line]
        yield running, Client(line.split(PROBES)[1].split(" as well")[0]), node


def _fill(running: Server) -> None:
    halves = np.random.default_rng(0).choice([-2, -1, 1, 2], (STORED, len(HALF))).astype(np.int8)
    packed = scan.pack_halves(from_half(halves))
    for start in range(0, STORED, 2000):
        lines = "\n".join(
            json.dumps({"filepath": f"stored/{n}", "signature": b64encode(packed[n].tobytes()).decode()})
            for n in range(start, start + 2000)
        )
        answer = running.send("POST", "/import", lines.encode(), Content_Type="application/x-ndjson")
        assert answer.result[0]["imported"] == 2000


def run(store: str, steady: float, overload: float) -> Run:
    """Load ``store`` for ``steady`` seconds and overload it for ``overload``."""
    with tempfile.TemporaryDirectory() as name, loaded(store, Path(name)) as (running, probed, node):
        workers = 2 if node else 1

        def phase(count: int, seconds: float, named: Named = _in_turn) -> Seen:
            with clients(running, probed, count, named, every=max(0.2, seconds / 120)) as seen:
                time.sleep(seconds)
            return seen

        phase(CLIENTS, min(steady, 5.0))  # what is loaded at the first use is no growth
        made = Run(store, phase(CLIENTS, steady), phase(4 * PLACES * workers, overload), Seen())
        made.recovery = phase(CLIENTS, overload)
        if node:
            _restart(made, running, probed, node)
        assert "Traceback" not in "".join(running.log)
        return made


def _in_turn(number: int) -> str:
    return f"load/{number % NAMES}"


def _restart(made: Run, running: Server, probed: Client, node: Node) -> None:
    """Kill Elasticsearch under load, start it again, and look for every add that was acknowledged."""
    with clients(running, probed, CLIENTS, lambda number: f"restart/{number}", every=1.0) as seen:
        time.sleep(3)
        node.kill()
        died = time.monotonic()
        time.sleep(2)
        node.start()
        while running.send("GET", "/readyz").status != 200:
            time.sleep(0.05)
        made.down = time.monotonic() - died
        time.sleep(3)
    made.restart = seen
    there = set(_listed(running))
    made.lost = [f"{name} was acknowledged and is gone" for name in sorted(seen.acknowledged - there)]


def _listed(running: Server) -> Iterator[str]:
    offset = 0
    while page := running.list(offset, 10_000):
        yield from page
        offset += len(page)


def report(runs: list[Run], minutes: float) -> str:
    """The tables of docs/load.md."""
    lines = [f"| {' | '.join(COLUMNS)} |", "| --- | --- |" + " ---: |" * (len(COLUMNS) - 2)]
    for made in runs:
        workers = 2 if made.store == "elasticsearch" else 1
        phases = [("steady", CLIENTS, made.steady), ("overload", 4 * PLACES * workers, made.overload)]
        phases += [("after it", CLIENTS, made.recovery)]
        phases += [("Elasticsearch killed", CLIENTS, made.restart)] if made.restart else []
        lines += [_row(made.store, *each) for each in phases]
    lines.append("")
    for made in runs:
        if made.restart:
            lines.append(
                f"Elasticsearch was away for {made.down:.0f} s; {len(made.restart.acknowledged):,} adds were"
                f" acknowledged before and after, {len(made.lost)} of them lost; requests meanwhile got 503."
            )
    broken = [what for made in runs for what in made.broken]
    lines.append(f"Promises not kept: {'; '.join(broken) or 'none'}.")
    lines.append(f"Steady for {minutes:g} minutes over each store. On {machine.description()}; the load")
    lines.append(f"average of the machine, the clients included, was {machine.load()} in the end.")
    return "\n".join(lines)


def _row(store: str, phase: str, count: int, seen: Seen) -> str:
    times = [
        " / ".join(f"{percentile(seen.took[kind], share) * 1000:.0f}" for share in (0.5, 0.95, 0.99)) + " ms"
        for kind in ("add", "search")
    ]
    away = f"{len(seen.refused):,}"
    if seen.refused:
        away += f", p95 {percentile(seen.refused, 0.95) * 1000:.0f} ms"
    ready = len(seen.probes) - seen.unready.total()
    probes = f"{ready} of {len(seen.probes)}, {max(seen.probes, default=0):.2f} s"
    memory = f"{np.mean(seen.memory):.0f} MiB {seen.growth:+.0f}" if seen.memory else ""
    cells = [store, phase, str(count), f"{seen.rate:.0f}", *times, away, probes, memory]
    return f"| {' | '.join(cells)} |"


def main() -> int:
    """Load both stores and write the tables; 1 if a promise was not kept."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=15, help="of steady load, over each store")
    parser.add_argument("--store", choices=STORES, action="append", help="only this one; nothing is written")
    asked = parser.parse_args()
    runs = [run(store, asked.minutes * 60, min(60.0, asked.minutes * 30)) for store in asked.store or STORES]
    text = report(runs, asked.minutes)
    if asked.store:
        print(text)
    else:
        written.put("load.md", "measured", text)
    return 1 if any(made.broken for made in runs) else 0


if __name__ == "__main__":
    sys.exit(main())
