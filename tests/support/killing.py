"""Kills a real service again and again under its writers, and looks whether it kept what it acknowledged."""

import hashlib
import json
import random
import threading
import time
from base64 import b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import urllib3

from disk_writer import Changes
from match_service.engine import scan
from numbered import signature
from pictures import jpeg
from power_cut import Promises
from serving import Answer, Client, Server, server

WRITERS = 4
NAMES = 20
"""Of each writer."""
PICTURES = [jpeg(seed, 96, 72) for seed in range(16)]
BY_HASH = {hashlib.sha256(picture).hexdigest(): picture for picture in PICTURES}
SAMPLE = 10
"""Images that are searched for after each restart."""


@dataclass
class Result:
    """What became of the writes."""

    kills: int = 0
    acknowledged: int = 0
    open: int = 0
    """Writes that were on their way when the service was killed."""
    lost: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    restarts: list[float] = field(default_factory=list)
    """Seconds from each start to readiness."""


@dataclass
class _Writer:
    """Adds and deletes under its own names; each write is noted when sent and when answered."""

    name: str
    chance: random.Random
    promises: Promises = field(default_factory=Promises)
    acknowledged: int = 0
    number: int = 0

    def run(self, url: str, first: threading.Event) -> str:
        """Write until the service is gone; what it refused."""
        client = Client(url)
        while True:
            changes = self._next()
            for name, number in changes.items():
                self.promises.open[name] = {name: number}
            try:
                answer = _send(client, changes)
            except urllib3.exceptions.HTTPError:
                return ""
            if answer.status != 200:
                return answer.body.decode()
            first.set()
            for name in changes:
                self.promises.kept |= self.promises.open.pop(name)
            self.acknowledged += 1

    def _next(self) -> Changes:
        """One image, or three at once; removed, or added whether or not there was one."""
        kind = self.chance.choice(("add", "add", "import", "delete"))
        several = 3 if kind == "import" else 1
        chosen = self.chance.sample(range(NAMES), several)
        self.number += 1
        number = None if kind == "delete" else self.number
        return {f"{self.name}/{at}": number for at in chosen}


def _send(client: Client, changes: Changes) -> Answer:
    (name, number), *more = changes.items()
    if number is None:
        return client.delete(name)
    if not more:
        return client.add(name, PICTURES[number % len(PICTURES)], metadata=json.dumps({"n": number}))
    packed = b64encode(scan.pack_halves(signature(number)[None, :])[0].tobytes()).decode()
    lines = [{"filepath": each, "signature": packed, "metadata": {"n": n}} for each, n in changes.items()]
    body = "\n".join(json.dumps(line) for line in lines).encode()
    return client.send("POST", "/import", body, Content_Type="application/x-ndjson")


def kill_often(folder: Path, kills: int, seed: int) -> Result:
    """Start the service, write, kill it at a random moment, and look, ``kills`` times."""
    chance = random.Random(seed)
    writers = [_Writer(f"w{n}", random.Random(f"{seed} {n}")) for n in range(WRITERS)]
    result = Result()
    for _ in range(kills):
        with server(folder, apart=True, MATCH_ACCESS_LOG="false") as running:
            result.restarts.append(running.seconds_to_ready)
            result.lost += _look(running, writers, chance)
            result.refused += _write_until_killed(running, writers, chance.uniform(0.0, 0.7))
        result.kills += 1
        result.open += sum(len(writer.promises.open) for writer in writers)
    with server(folder) as running:
        result.lost += _look(running, writers, chance)
    result.acknowledged = sum(writer.acknowledged for writer in writers)
    return result


def _write_until_killed(running: Server, writers: list[_Writer], seconds: float) -> list[str]:
    first = threading.Event()
    with ThreadPoolExecutor(len(writers)) as threads:
        working = [threads.submit(writer.run, running.url, first) for writer in writers]
        assert first.wait(60)
        time.sleep(seconds)
        running.kill()
        return [refusal for each in working if (refusal := each.result())]


def _look(running: Server, writers: list[_Writer], chance: random.Random) -> list[str]:
    """What was acknowledged and is not there; what was on its way is settled by what is there."""
    rows = list(_everything(running))
    there = {row["filepath"]: int(row["metadata"]["n"]) for row in rows}
    lost: list[str] = []
    for writer in writers:
        mine = {name: n for name, n in there.items() if name.startswith(f"{writer.name}/")}
        lost += writer.promises.broken(mine)
        writer.promises = Promises(dict(mine))
    pictured = [row for row in rows if row["sha256"] in BY_HASH]
    for row in chance.sample(pictured, min(SAMPLE, len(pictured))):
        found = running.search(BY_HASH[row["sha256"]], limit="1000")
        if row["filepath"] not in [match["filepath"] for match in found]:
            lost.append(f"{row['filepath']} is there, but is not found")
    return lost


def _everything(running: Server) -> Iterator[dict[str, Any]]:
    after = ""
    while True:
        rows = running.send("GET", f"/list?details=true&limit=1000&after={after}").result
        yield from rows
        if len(rows) < 1000:
            return
        after = rows[-1]["filepath"]
