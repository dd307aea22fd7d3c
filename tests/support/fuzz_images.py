"""Sends damaged image files to the service, several at a time, and notes how each was answered."""

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import mutants
from pictures import jpeg
from serving import Answer, Server

AT_ONCE = 4
SOUND = jpeg(1)


@dataclass
class Outcome:
    """What became of the files of one format."""

    statuses: Counter[int] = field(default_factory=Counter)
    slowest: float = 0.0
    faults: list[str] = field(default_factory=list)
    """With the number from which the file is made again."""

    @property
    def files(self) -> int:
        return sum(self.statuses.values())


def send_all(service: Server, numbers: Iterable[int]) -> dict[str, Outcome]:
    """Send the mutants of these numbers, each once; outcomes by format."""
    table: dict[str, Outcome] = {}
    with ThreadPoolExecutor(AT_ONCE) as threads:
        for number, status, seconds, fault in threads.map(lambda n: _send(service, n), numbers):
            outcome = table.setdefault(mutants.make(number)[0], Outcome())
            outcome.statuses[status] += 1
            outcome.slowest = max(outcome.slowest, seconds)
            if fault:
                outcome.faults.append(f"mutant {number}: {fault}")
    return table


def _send(service: Server, number: int) -> tuple[int, int, float, str]:
    data = mutants.make(number)[2]
    began = time.monotonic()
    if number % 5 == 3:
        answer = service.form("POST", "/compare", files={"image1": SOUND, "image2": data})
    elif number % 5 == 4:  # a thumbnail is made as well
        answer = service.form("POST", "/add", {"filepath": f"mutants/{number % 50}"}, {"image": data})
    else:
        thorough = "true" if number % 10 == 0 else "false"
        answer = service.form("POST", "/search", {"thorough": thorough}, {"image": data})
    return number, answer.status, time.monotonic() - began, "; ".join(_faults(answer))


def _faults(answer: Answer) -> Iterator[str]:
    """What is wrong with an answer: 200 or 400, and the envelope, are right."""
    if answer.status not in (200, 400):
        yield f"answered with {answer.status}: {answer.body[:300]!r}"
    elif answer.status == 400 and not answer.error.endswith("."):
        yield f"refused without a sentence: {answer.error!r}"
    elif answer.status == 200 and answer.json["status"] != "ok":
        yield f"answered with {answer.body[:300]!r}"
