"""Cuts the power and kills the service many times, and writes docs/durability.md.

``python tests/support/durability.py`` (a part of ``make soak``) takes about five minutes;
tests/contract/test_durability.py does a little of the same.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import killing
import machine
import power_cut
import written
from power_cut import Recording, Reopening

CHANGES = 1200
SABOTAGED = 50


@dataclass
class Row:
    """One line of the table; ``expected`` says whether losses should have been found."""

    what: str
    times: int
    acknowledged: int
    losses: int
    seconds: float
    expected: bool = False

    @property
    def holds(self) -> bool:
        return (self.losses > 0) == self.expected


def _power_cuts(folder: Path, count: int, seed: int) -> Iterator[Row]:
    recording = _recorded(folder, "full")
    yield _replayed(folder, "power cuts", recording, count, seed)
    for what, cut in (
        ("power cuts, all syncs left out", recording.without_syncs()),
        ("power cuts, syncs of the folder left out", recording.without_syncs(of_folder=True)),
        ("power cuts, `synchronous=NORMAL`", _recorded(folder, "NORMAL")),
        ("power cuts, `synchronous=OFF`", _recorded(folder, "OFF")),
    ):
        yield _replayed(folder, what, cut, SABOTAGED, seed, expected=True)


def _recorded(folder: Path, synchronous: str) -> Recording:
    run = folder / synchronous
    run.mkdir()
    return power_cut.record(run, CHANGES, synchronous=synchronous.upper())


def _replayed(
    folder: Path, what: str, recording: Recording, count: int, seed: int, *, expected: bool = False
) -> Row:
    began = time.monotonic()
    with tempfile.TemporaryDirectory(dir=folder) as states:
        losses = power_cut.replays(recording, count, seed, Reopening(Path(states)))
    acknowledged = sum(event.kind == "A" for event in recording.events)
    if not expected:
        print("\n".join(losses[:20]), file=sys.stderr)
    return Row(what, count, acknowledged, len(losses), time.monotonic() - began, expected)


def _kills(folder: Path, count: int, seed: int) -> tuple[Row, str]:
    began = time.monotonic()
    result = killing.kill_often(folder, count, seed)
    faults = result.lost + result.refused
    print("\n".join(faults[:20]), file=sys.stderr)
    median, longest = statistics.median(result.restarts), max(result.restarts)
    said = (
        f"When the service was killed {result.open} writes were on their way. It was ready {median:.1f} s"
        f" after its start (median; {longest:.1f} s at most), Python's own start included."
    )
    return Row("kills", count, result.acknowledged, len(faults), time.monotonic() - began), said


def main() -> int:
    """Kill, cut, and write the page; 1 if anything was lost, or a sabotage was not noticed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--replays", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        killed, said = _kills(Path(name), asked.kills, asked.seed)
        rows = [killed, *_power_cuts(Path(name), asked.replays, asked.seed)]
    lines = [
        "| | times | acknowledged changes | losses found | took |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {row.what} | {row.times} | {row.acknowledged:,} | {row.losses:,}"
        f"{' (as it must)' if row.expected and row.holds else ''} | {row.seconds:.0f} s |"
        for row in rows
    ]
    table = "\n".join(lines)
    written.put("durability.md", "measured", f"{table}\n\n{said}\n\nOn {machine.description()}.")
    return 0 if all(row.holds for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
