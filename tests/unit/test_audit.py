"""The audit log is read while an API server writes it."""

import json
from pathlib import Path

import audit


def _line(number: int) -> bytes:
    return json.dumps({"number": number}).encode() + b"\n"


def test_events_since_a_moment_are_those_of_whole_lines_begun_after_it(tmp_path: Path):
    log = tmp_path / "audit.log"
    log.write_bytes(_line(1) + _line(2)[:5])
    within = audit.now(log)
    log.write_bytes(_line(1) + _line(2) + _line(3))
    between = audit.now(log)
    log.write_bytes(_line(1) + _line(2) + _line(3) + _line(4) + _line(5)[:-1])
    assert [event["number"] for event in audit.events(log, 0)] == [1, 2, 3, 4]
    assert [event["number"] for event in audit.events(log, within)] == [3, 4]
    assert [event["number"] for event in audit.events(log, between)] == [4]
