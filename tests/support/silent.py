"""A node of Elasticsearch that falls silent as a host without power does; run in a network of its own.

What the client makes of it is printed as JSON: seconds until a request was answered whose connection had
fallen silent, and until one was whose first packets had met nothing.
"""

import json
import subprocess
import threading
import time
from collections.abc import Callable
from typing import Any

from labcluster import elasticsearch
from match_service.store.connection import client_of

CONNECT_SECONDS = 3


def run(*words: str) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


def silence(*which: str) -> Callable[[], str]:
    """Drop what arrives of some packets; the way back."""
    run("iptables", "-A", "INPUT", "-p", "tcp", *which, "-j", "DROP")
    return lambda: run("iptables", "-D", "INPUT", "-p", "tcp", *which, "-j", "DROP")


def silence_open(port: str) -> None:
    """The connections that there are; new ones get through."""
    for line in run("ss", "-Htn", "state", "established", f"( dport = :{port} )").splitlines():
        own = line.split()[2].rpartition(":")[2]
        silence("--dport", port, "--sport", own)


def seconds(call: Callable[[], Any]) -> float:
    start = time.monotonic()
    call()
    return time.monotonic() - start


def main() -> None:
    run("ip", "link", "set", "lo", "up")
    with elasticsearch.node(heap="384m") as url:
        port = url.rpartition(":")[2]
        client = client_of(url)
        client.index(index="photos", id="0", document={"n": 0})
        silence_open(port)
        found = {"open": seconds(lambda: client.index(index="photos", id="1", document={"n": 1}))}
        silence_open(port)
        threading.Timer(CONNECT_SECONDS, silence("--dport", port, "--syn")).start()
        found["new"] = seconds(lambda: client.index(index="photos", id="2", document={"n": 2}))
        client.indices.refresh(index="photos")
        print(json.dumps(found | {"documents": client.count(index="photos")["count"]}))


if __name__ == "__main__":
    main()
