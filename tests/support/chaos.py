"""What random chaos does to a MatchCluster: deeds that only a seed decides, so that they can be repeated."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from stories import Json, small_nodes

LIMITS = ("80%", "83%", "86%", "89%")
KILLS = ("operator", "elasticsearch", "elasticsearch", "api")
SIZES = ("1Gi", "2Gi", "3Gi")


@dataclass(frozen=True, slots=True)
class Deed:
    """One thing that happens, and for how long it is left to work before the next."""

    what: str
    """"spec", "kill" (and of what: ``victim``) or "settle", which waits until all is as asked."""
    spec: Any = None
    victim: str = ""
    choice: float = 0.0
    """Which of the pods that there are then: 0 is the first by name, just below 1 the last."""
    pause: float = 0.0

    def __str__(self) -> str:
        words = {"spec": str(self.spec), "kill": f"a pod of {self.victim}", "settle": "until all is as asked"}
        return f"{self.what} {words[self.what]}, then {self.pause:.0f} s"


def deeds(seed: int) -> Iterator[Deed]:
    """Deeds without end; the same seed gives the same ones."""
    chance = random.Random(seed)
    name, grown = "a", 0
    while True:
        for _ in range(chance.randint(1, 3)):
            if chance.random() < 0.25:
                name = chance.choice("ab")
            grown = min(len(SIZES) - 1, grown + (chance.random() < 0.1))
            yield Deed("spec", _spec(chance, name, SIZES[grown]), pause=chance.uniform(0, 30))
            for _ in range(chance.randint(0, 2)):
                yield Deed(
                    "kill",
                    victim=chance.choice(KILLS),
                    choice=chance.random(),
                    pause=chance.uniform(0, 20),
                )
        yield Deed("settle")


def _spec(chance: random.Random, name: str, size: str) -> Json:
    """One to three nodes, in one set or another, with one setting or another."""
    spec = small_nodes(
        chance.randint(1, 3),
        name=name,
        config={"indices.breaker.total.limit": chance.choice(LIMITS)},
        storage={"size": size},
    )
    spec["api"] |= {"replicas": chance.randint(1, 3)}
    return spec | {"index": {"shards": chance.choice((1, 1, 2)), "replicas": chance.randint(0, 1)}}
