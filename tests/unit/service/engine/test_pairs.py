"""Near pairs of a whole collection are those that comparing two by two finds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from match_service import engine
from match_service.engine import layout, pairs, scan
from match_service.model import Signature
from pictures import encode, jpeg, picture

CUTOFF = 0.3


def parts(signatures: list[Signature], sizes: tuple[int, ...]) -> list[scan.Rows]:
    """The signatures in parts of these sizes and one of the rest."""
    found, start = [], 0
    for size in (*sizes, len(signatures)):
        some = signatures[start : start + size]
        start += size
        if some:
            found.append(scan.Rows.of(scan.pack_halves(np.stack(some))))
    return found


def collection() -> list[Signature]:
    """Pictures, copies of them, turned and inverted ones; between them strangers, for more than one tile."""
    files = [jpeg(seed) for seed in range(12)]
    for seed in range(0, 12, 3):
        files.append(encode(picture(seed).resize((150, 110)), quality=60))
        files.append(encode(picture(seed).rotate(90, expand=True), "PNG"))
        files.append(encode(picture(seed).point(lambda level: 255 - level), "PNG"))
    found = [engine.signature(file) for file in files]
    strangers = np.random.default_rng(0).integers(-2, 3, (120, 272), dtype=np.int8)
    return [*found[:12], *layout.from_half(strangers), *found[12:]]


def by_hand(signatures: list[Signature], every: bool) -> set[tuple[int, int]]:
    near = set()
    packed = engine.pack_many(np.stack(signatures))
    for a, one in enumerate(signatures):
        apart = engine.distances(packed, engine.views(one, every)).min(axis=1)
        near |= {(a, int(b)) for b in np.flatnonzero(apart < CUTOFF) if b > a}
    return near


@pytest.mark.parametrize("every", [False, True])
def test_exactly_the_near_pairs_are_found_whatever_the_parts(
    every: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pairs, "TARGET_ROWS", 128)
    monkeypatch.setattr(pairs, "QUERY_ROWS", 3)
    signatures = collection()
    expected = by_hand(signatures, every)
    assert len(expected) >= (12 if every else 4)
    for sizes in ((), (1, 7), (130,)):
        found = list(pairs.near_pairs(parts(signatures, sizes), CUTOFF, all_orientations=every))
        seen = {(int(a), int(b)): d for step in found for a, b, d in zip(*step[:3], strict=True)}
        assert set(seen) == expected
        assert found[-1].done == pytest.approx(1.0)
        assert [step.done for step in found] == sorted(step.done for step in found)
        if not every:
            for (a, b), apart in seen.items():
                assert apart == pytest.approx(engine.distance(signatures[a], signatures[b]))


@given(
    count=st.integers(1, 30),
    edges=st.lists(st.tuples(st.integers(0, 29), st.integers(0, 29)), max_size=40),
    cut=st.integers(0, 40),
)
@settings(max_examples=200, deadline=None)
def test_groups_are_what_pairs_connect(count: int, edges: list[tuple[int, int]], cut: int) -> None:
    edges = [(min(a, b), max(a, b)) for a, b in edges if a != b and max(a, b) < count]
    groups = pairs.Groups(count)
    for some in (edges[:cut], edges[cut:]):
        first, second = np.array(some, dtype=np.int64).reshape(-1, 2).T
        groups.join(pairs.Pairs(first, second, np.full(len(some), 0.1), 1.0))
    expected = [{row} for row in range(count)]
    for a, b in edges:
        one, other = (next(group for group in expected if row in group) for row in (a, b))
        if one is not other:
            expected.remove(other)
            one |= other
    wanted = sorted(sorted(group) for group in expected if len(group) > 1)
    assert sorted(group.tolist() for group in groups.groups()) == wanted


def test_no_signatures_have_no_pairs() -> None:
    assert list(pairs.near_pairs([], CUTOFF, all_orientations=False)) == []
    assert pairs.Groups(0).groups() == []
