"""Story: at any moment anything is changed and anything is killed, and in the end all is as asked.

`CHAOS_SEED` decides what happens; the same seed asks for and kills the same.
"""

import itertools
import os
import time
from collections.abc import Iterator

import pytest

import chaos
from stories import Namespace, kill_operator, small_nodes, wait
from traffic import NOTHING, Traffic, traffic

MINUTES = float(os.environ.get("CHAOS_MINUTES", "0"))
SEED = int(os.environ.get("CHAOS_SEED", "1"))
NAME = "chaos"
SETTLE_SECONDS = 600

pytestmark = [
    pytest.mark.skipif(not MINUTES, reason="minutes long: `make reliability` sets CHAOS_MINUTES"),
    pytest.mark.timeout(MINUTES * 60 + 2 * SETTLE_SECONDS),
]


@pytest.fixture(name="there")
def _there(room: Namespace) -> Iterator[Namespace]:
    room.apply(NAME, small_nodes(3, name="a"))
    room.wait_ready(NAME)
    yield room
    if not room.lab.keep:
        room.kubectl("delete", "matchcluster", NAME, "--wait=true")


def test_random_changes_and_kills_end_as_asked_and_lose_no_image(there: Namespace):
    end, done = time.monotonic() + MINUTES * 60, 0
    with traffic(there, NAME) as seen:
        for deed in itertools.takewhile(lambda _: time.monotonic() < end, chaos.deeds(SEED)):
            print(f"{time.strftime('%X')} {deed}", flush=True)
            do(there, deed)
            done += 1
            if deed.what == "settle":
                check(there, seen)
        there.wait_ready(NAME, SETTLE_SECONDS)
    check(there, seen)
    cost = seen.cost()
    print(f"\nseed {SEED}: {done} deeds in {cost.seconds:.0f} s, {cost}")
    assert cost.lost == 0


def do(there: Namespace, deed: chaos.Deed) -> None:
    """Do it, and leave it to work."""
    if deed.what == "spec":
        there.apply(NAME, deed.spec)
    elif deed.what == "settle":
        there.wait_ready(NAME, SETTLE_SECONDS)
        wait(lambda: whole(there), SETTLE_SECONDS, lambda: there.kubectl("get", "pods", "-o", "wide"))
    elif deed.victim == "operator":
        kill_operator(there.lab)
    elif pods := sorted(there.pods(NAME, deed.victim)):
        there.kill(pods[int(deed.choice * len(pods))])
    time.sleep(deed.pause)  # what is asked for and killed next meets it half done


def whole(there: Namespace) -> bool:
    """Whether the status, which may be a minute old when a pod was killed, is true."""
    asked = sum(node_set["count"] for node_set in there.node_sets(NAME))
    ready = [
        pod
        for pod in there.pods(NAME, "elasticsearch").values()
        if any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", []))
    ]
    return len(ready) == asked and there.status(NAME)["phase"] == "Ready"


def check(there: Namespace, seen: Traffic) -> None:
    """Nothing that Elasticsearch was told is left, and nothing is lost."""
    assert seen.told() == NOTHING
    assert seen.lost() == []
