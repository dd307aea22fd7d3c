"""docs/reliability.md says what was measured and what was not; chaos can be repeated."""

import itertools
import re
from pathlib import Path

import chaos
import reliability
from reliability import FAULT, PLANNED, Cost

ROOT = Path(__file__).parents[2]
GOOD = Cost(seconds=30, requests=600, failed=0, gap=1.2, lost=0, health={"green": 20, "yellow": 10})


def page(tmp_path: Path) -> Path:
    copy = tmp_path / "reliability.md"
    copy.write_text(f"Before.\n\n{reliability.COLUMNS}\n{reliability.RULE}\n\nAfter.\n")
    return copy


def test_a_result_takes_the_place_of_an_earlier_one_and_leaves_the_others(tmp_path: Path):
    there = page(tmp_path)
    reliability.record("volumes grown", GOOD, "yes", there)
    reliability.record("an API pod killed", GOOD, "yes", there)
    reliability.record("volumes grown", None, "NO: it did not end", there)
    text = there.read_text()
    assert "| volumes grown | - | - | - | - | - | - | NO: it did not end |\n" in text
    assert "| an API pod killed | 30 s | 600 | 0 | 1.2 s | 0 | yellow | yes |\n" in text
    assert text.startswith("Before.\n")
    assert text.endswith("\nAfter.\n")


def test_what_was_never_measured_is_said_to_be_so(tmp_path: Path):
    there = page(tmp_path)
    reliability.record("something else", GOOD, "yes", there)
    rows = re.findall(r"^\| ([^|]+) \|.*\| ([^|]+) \|$", there.read_text(), re.MULTILINE)[2:]
    assert rows == [*((change, "not measured") for change in reliability.CHANGES), ("something else", "yes")]


def test_a_planned_change_may_fail_no_request_and_a_fault_may():
    cost = Cost(seconds=30, requests=600, failed=1, gap=9.9, lost=0, health={"green": 30})
    assert cost.broken(PLANNED) == ["1 requests failed"]
    assert cost.broken(FAULT) == []


def test_gaps_losses_and_red_health_break_the_limits_of_a_fault_too():
    cost = Cost(seconds=30, requests=600, failed=1, gap=10.1, lost=2, health={"red": 1, "green": 29})
    assert cost.broken(FAULT) == ["a gap of 10.1 s, of at most 10", "2 images lost", "health was red"]


def test_looks_without_an_answer_are_told_beside_the_worst_colour():
    cost = Cost(seconds=3, requests=60, failed=0, gap=1.0, lost=0, health={"silent": 1, "yellow": 2})
    assert cost.worst == "yellow, 1 of 3 looks unanswered"


def test_the_page_has_a_row_for_every_change_that_a_story_measures():
    measured = set()
    for story in (ROOT / "tests/e2e").glob("test_*story*.py"):
        measured |= set(re.findall(r'measured\(\s*\w+, [\w"]+, "([^"]+)"', story.read_text("utf-8")))
    text = (ROOT / "docs/reliability.md").read_text("utf-8")
    assert measured
    assert [change for change in measured if f"\n| {change} |" not in text] == []


def test_a_seed_of_chaos_repeats_the_same_deeds_and_another_does_not():
    first, again, other = (list(itertools.islice(chaos.deeds(seed), 50)) for seed in (1, 1, 2))
    assert first == again
    assert first != other
    assert {"spec", "kill", "settle"} == {deed.what for deed in first}


def test_chaos_never_asks_for_smaller_volumes_which_would_be_refused():
    specs = [deed.spec for deed in itertools.islice(chaos.deeds(3), 300) if deed.what == "spec"]
    sizes = [spec["elasticsearch"]["nodeSets"][0]["storage"]["size"] for spec in specs]
    assert sizes == sorted(sizes)
    assert len(set(sizes)) > 1
