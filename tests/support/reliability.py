"""What changes and faults cost: the limits they must keep, and the table of docs/reliability.md.

The table is its own record: a run replaces the rows of what it measured and leaves the others, so the
changes can be measured one at a time.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

PAGE: Final = Path(__file__).parents[2] / "docs" / "reliability.md"
KEPT: Final = "yes"
OPEN: Final = "not measured"
COLUMNS: Final = (
    "| change or fault | took | requests | failed | longest gap | lost | worst health | limits kept |"
)
RULE: Final = "| --- | ---: | ---: | ---: | ---: | ---: | --- | --- |"
WORST_FIRST: Final = ("red", "yellow", "green")

CHANGES: Final = (
    "1 node becomes 3",
    "3 nodes become 1, the operator killed",
    "a newer version of Elasticsearch",
    "resources of the nodes changed",
    "a setting changed and taken back half way, the operator killed",
    "a setting changed, the operator killed at each step",
    "a wrong image, corrected",
    "a node set renamed",
    "1 shard becomes 3, the operator killed",
    "3 shards become 1",
    "volumes grown",
    "certificates rotated",
    "passwords rotated",
    "an Elasticsearch pod killed",
    "an API pod killed",
    "every API pod killed",
    "a Kubernetes node lost and back",
    "Elasticsearch unreachable for a minute",
)
"""What the table has a row for, measured or not."""


@dataclass(frozen=True, slots=True)
class Limit:
    """What a change or fault may cost; no acknowledged image may ever be lost."""

    fails: bool = False
    """Whether requests may fail."""
    gap: float = 10.0
    """Most seconds between two answers of one kind."""
    red: bool = False
    """Whether health may be red: where there is no second copy, or nobody who could be asked."""


PLANNED: Final = Limit()
FAULT: Final = Limit(fails=True)


@dataclass(frozen=True, slots=True)
class Cost:
    """What the clients of one run saw."""

    seconds: float
    requests: int
    failed: int
    gap: float
    """Longest time in seconds between two answers of one kind, adds or searches."""
    lost: int
    """Acknowledged images that were not to be had afterwards."""
    health: Mapping[str, int] = field(default_factory=dict)
    """Looks by colour; "silent" where nothing answered."""

    @property
    def worst(self) -> str:
        """The worst colour, and looks that were not answered."""
        colour = next((c for c in WORST_FIRST if c in self.health), "unknown")
        silent = self.health.get("silent", 0)
        return colour + (f", {silent} of {sum(self.health.values())} looks unanswered" if silent else "")

    def broken(self, limit: Limit) -> list[str]:
        """Limits that were not kept, in words."""
        return [
            words
            for holds, words in (
                (limit.fails or not self.failed, f"{self.failed} requests failed"),
                (self.gap <= limit.gap, f"a gap of {self.gap:.1f} s, of at most {limit.gap:.0f}"),
                (not self.lost, f"{self.lost} images lost"),
                (limit.red or "red" not in self.health, "health was red"),
            )
            if not holds
        ]


def row(change: str, cost: Cost | None, verdict: str) -> str:
    """A row of the table; ``verdict`` says whether the limits were kept, or why it did not end."""
    cells = [change, *(["-"] * 6), verdict]
    if cost:
        cells[1:7] = [
            f"{cost.seconds:.0f} s",
            str(cost.requests),
            str(cost.failed),
            f"{cost.gap:.1f} s",
            str(cost.lost),
            cost.worst,
        ]
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def record(change: str, cost: Cost | None, verdict: str, page: Path = PAGE) -> None:
    """Put a result into the page's table, in place of an earlier one of the same change."""
    text = page.read_text("utf-8")
    page.write_text(with_rows(text, {change: row(change, cost, verdict)}), "utf-8")


def with_rows(text: str, results: Mapping[str, str]) -> str:
    """The page with rows replaced, new ones at the end, and one for each of ``CHANGES``."""
    head, found, tail = re.split(rf"{re.escape(COLUMNS)}\n{re.escape(RULE)}\n((?:\|.*\n)*)", text)
    there = {line.split("|")[1].strip(): line for line in found.splitlines()} | dict(results)
    lines = "".join(f"{line}\n" for line in _ordered(there))
    return f"{head}{COLUMNS}\n{RULE}\n{lines}{tail}"


def _ordered(rows: Mapping[str, str]) -> Iterator[str]:
    others: Iterable[str] = (change for change in rows if change not in CHANGES)
    for change in (*CHANGES, *others):
        yield rows.get(change) or row(change, None, OPEN)
