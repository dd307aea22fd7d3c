"""Signatures, words, views and distances by their own laws; the oracle is in tests/contract."""

import io
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from PIL import Image

from match_service import engine
from match_service.engine import compiled, grid, layout, scan, sketch
from match_service.engine.decode import Frame
from match_service.engine.window import Window, exact_window, window
from match_service.errors import BadImageError
from match_service.model import Signature

LEVELS = st.integers(-2, 2)
ANY = arrays.arrays(np.int8, 648, elements=LEVELS)
SIGNATURES = arrays.arrays(np.int8, 272, elements=LEVELS).map(layout.from_half)


def encoded(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels, dtype=np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def picture(seed: int) -> np.ndarray:
    """220 x 220 patches: a size at which the sample boxes lie symmetrically."""
    patches = np.random.default_rng(seed).integers(0, 256, (11, 11), dtype=np.uint8)
    return np.asarray(Image.fromarray(patches).resize((220, 220), Image.Resampling.BICUBIC))


def test_a_signature_is_antisymmetric_and_zero_beyond_the_grid() -> None:
    signature = engine.signature(encoded(picture(1)))
    assert np.array_equal(layout.from_half(signature[layout.HALF]), signature)
    assert not signature[~layout.INSIDE].any()
    assert (len(layout.HALF), int(layout.INSIDE.sum())) == (272, 544)


class Counted(Frame):
    """Counts how often pixels are asked for."""

    asked = 0

    def region(self, top: int, bottom: int, left: int, right: int) -> NDArray[np.uint8]:
        self.asked += 1
        return super().region(top, bottom, left, right)


@pytest.mark.parametrize("shape", [(65_000, 3), (3, 65_000)], ids=["tall", "wide"])
@pytest.mark.parametrize("strip", [False, True], ids=["flat", "a strip that is not"])
def test_a_large_flat_part_is_not_looked_at_line_by_line(shape: tuple[int, int], strip: bool) -> None:
    """A file of a few bytes would keep a decoder busy for seconds."""
    pixels = np.full((*shape, 3), 90, np.uint8)
    if strip:
        pixels[pixels.shape[0] // 2 :, pixels.shape[1] // 2 :] = np.arange(3) * 50
    frame = Counted(pixels)
    assert window(frame) == exact_window(Frame(pixels))
    assert frame.asked < 3000


def test_words_name_their_position() -> None:
    signature = engine.signature(encoded(picture(1)))
    words = engine.words(signature)
    assert len(words) == 63
    assert words[5] == f"5:{engine.word_integers(signature)[5]}"


def test_words_of_zeros_are_the_number_of_all_middle_digits() -> None:
    assert set(engine.word_integers(np.zeros(648, np.int8)).tolist()) == {(3**16 - 1) // 2}


def test_without_orientations_there_is_one_view() -> None:
    signature = engine.signature(encoded(picture(1)))
    assert np.array_equal(engine.views(signature, all_orientations=False), signature[None])


@pytest.mark.parametrize("view", range(16), ids=engine.VIEW_NAMES)
def test_a_view_is_near_the_signature_of_the_image_turned_so(view: int) -> None:
    pixels = picture(2)
    turned = pixels[:, ::-1] if view % 8 >= 4 else pixels
    turned = np.rot90(turned, view % 4)
    turned = 255 - turned if view >= 8 else turned
    exact = engine.signature(encoded(turned))
    apart = [engine.distance(v, exact) for v in engine.views(engine.signature(encoded(pixels)), True)]
    assert int(np.argmin(apart)) == view
    assert apart[view] < 0.2
    if view in (0, 5, 8, 13):  # nothing moves by a pixel under identity, transposition and inversion
        assert apart[view] == 0.0


@given(SIGNATURES)
def test_views_are_closed_under_turning(signature: Signature) -> None:
    views = engine.views(signature, all_orientations=True)
    known = {view.tobytes() for view in views}
    for view in views:
        assert {v.tobytes() for v in engine.views(view, all_orientations=True)} == known


@given(ANY)
def test_packing_loses_nothing(signature: Signature) -> None:
    packed = engine.pack(signature)
    assert len(packed) == engine.PACKED_BYTES == 243
    assert np.array_equal(engine.unpack(packed), signature)


def test_what_is_no_signature_is_not_packed() -> None:
    with pytest.raises(ValueError, match="-2 to 2"):
        engine.pack(np.full(648, 3, np.int8))
    with pytest.raises(ValueError, match="243 bytes"):
        engine.unpack(b"x" * 242)
    with pytest.raises(ValueError, match="not a packed signature"):
        engine.unpack(b"\0" * 81 + b"\xff" * 162)


@given(ANY, ANY)
def test_distances_from_packed_rows_are_the_plain_ones(a: Signature, b: Signature) -> None:
    apart = engine.distances(engine.pack_many(np.stack([a, b])), np.stack([a, b]))
    assert apart[0, 1] == engine.distance(a, b)
    assert apart[0, 0] == (0.0 if a.any() else 1.0)


@given(ANY, ANY)
def test_distance_is_symmetric_and_between_0_and_1(a: Signature, b: Signature) -> None:
    assert engine.distance(a, b) == engine.distance(b, a)
    assert 0.0 <= engine.distance(a, b) <= 1.0 + 1e-15
    assert engine.distance(a, -a) == 1.0


@given(st.lists(SIGNATURES, min_size=1, max_size=8), SIGNATURES, st.booleans(), st.floats(0.01, 1.2))
def test_a_scan_finds_what_plain_distances_find(
    rows: list[Signature], query: Signature, all_orientations: bool, cutoff: float
) -> None:
    signatures = np.stack(rows)
    views = engine.views(query, all_orientations)
    hits = scan.Query(views, cutoff).scan(scan.pack_halves(signatures))
    apart = engine.distances(engine.pack_many(signatures), views)
    expected = np.flatnonzero(apart.min(axis=1) < cutoff)
    assert hits.rows.tolist() == expected.tolist()
    assert hits.distances.tolist() == apart.min(axis=1)[expected].tolist()
    assert hits.views.tolist() == apart.argmin(axis=1)[expected].tolist()


def correlated(count: int, seed: int) -> np.ndarray:
    """Signatures (count, 648) whose neighbouring values go together as in pictures; some nearly empty."""
    rng = np.random.default_rng(seed)
    grid = rng.standard_normal((count, 9, 9)).cumsum(axis=1).cumsum(axis=2).reshape(count, 81)
    halves = grid[:, layout.POINT[layout.HALF]] - grid[:, layout.NEIGHBOUR[layout.HALF]]
    halves[: count // 10, 5:] = 0
    return layout.from_half((np.sign(halves) * (1 + (np.abs(halves) > 1.5))).astype(np.int8))


PROCESSOR = Path("/proc/cpuinfo").read_text() if sys.platform == "linux" else ""
LOOPS: dict[str, Callable[[], compiled.Inner | None]] = {
    "numpy": lambda: None,
    "this processor's": compiled.load,
    "an older processor's": lambda: compiled.load("_avx2") if "avx2" in PROCESSOR else None,
    "any processor's": lambda: compiled.load("_portable"),
}


def test_a_library_that_was_compiled_for_another_version_is_left_alone() -> None:
    """It is there after an update of the source until that is installed anew."""
    assert compiled.load("_of_a_version_to_come") is None


@pytest.fixture(params=LOOPS)
def loops(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = LOOPS[request.param]()
    if chosen is None and request.param != "numpy":
        pytest.skip("no C compiler when the service was installed, or no such processor")
    monkeypatch.setattr(compiled, "inner", chosen)


@pytest.mark.usefixtures("loops")
@settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 1000), st.booleans(), st.floats(0.01, 1.2))
def test_a_search_finds_what_comparing_everything_finds(seed: int, everything: bool, cutoff: float) -> None:
    signatures = correlated(3000, seed)
    # Copies in which ever more values are others, of which some lie just within the cutoff, some just beyond.
    for i in range(1000):
        halves = signatures[2999, layout.HALF].copy()
        halves[: i // 4] = np.roll(halves, 7)[: i // 4]
        signatures[1000 + i] = layout.from_half(halves)
    table = scan.Rows.of(scan.pack_halves(signatures))
    query = scan.Query(engine.views(signatures[2999], everything), cutoff)
    sieved, scanned = query.search(table), query.scan(table.halves)
    assert len(scanned.rows) > 0
    for ours, theirs in zip(sieved, scanned, strict=True):
        assert ours.tolist() == theirs.tolist()
        assert ours.dtype == theirs.dtype


@pytest.mark.usefixtures("loops")
def test_sketches_rule_out_most_of_the_signatures() -> None:
    signatures = correlated(20_000, 1)
    table = scan.Rows.of(scan.pack_halves(signatures))
    near, _ = sketch.Sieve(signatures[-1:, layout.HALF], 0.45).pairs(table.sketches, len(table.squares))
    assert 19_999 in near
    assert len(near) < 1000


def listed(pairs: compiled.Pairs) -> list[tuple[int, int]]:
    return list(zip(pairs[0].tolist(), pairs[1].tolist(), strict=True))


def test_compiled_sieves_let_through_what_numpys_does_and_hardly_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sieves = [made for make in LOOPS.values() if (made := make()) is not None]
    if not sieves:
        pytest.skip("there was no C compiler when the service was installed")
    signatures = correlated(70_003, 2)  # more than a call's rows, and a last tile that is not full
    sketches = scan.Rows.of(scan.pack_halves(signatures)).sketches
    for views in (1, 2, 3, 4, 5, 8):
        chosen = sketch.Sieve(signatures[-views:, layout.HALF], 0.5)
        monkeypatch.setattr(compiled, "inner", None)
        plain = set(
            zip(*(column.tolist() for column in chosen.pairs(sketches, len(signatures))), strict=True)
        )
        for each in sieves:
            monkeypatch.setattr(compiled, "inner", each)
            found = list(
                zip(*(column.tolist() for column in chosen.pairs(sketches, len(signatures))), strict=True)
            )
            assert plain <= set(found)
            assert len(found) == len(set(found)) < len(plain) * 1.01 + 5


def test_rows_written_piece_by_piece_are_those_written_at_once() -> None:
    halves = scan.pack_halves(correlated(1000, 3))
    memory = scan.Rows.within(bytearray(1024 * scan.ROW_BYTES), 0, 1024)
    start = 0
    for count in (1, 126, 2, 300, 128, 443):
        memory.put(start, halves[start : start + count])
        start += count
    for ours, theirs in zip(memory.part(0, 1000), scan.Rows.of(halves), strict=True):
        assert np.array_equal(ours, theirs)
    assert np.array_equal(memory.part(256, 1000).halves, halves[256:])


@pytest.mark.usefixtures("loops")
@given(st.lists(SIGNATURES, min_size=1, max_size=4), st.lists(SIGNATURES, min_size=1, max_size=4))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_dots_of_packed_halves_are_the_plain_ones(some: list[Signature], others: list[Signature]) -> None:
    one, other = (np.stack(each)[:, layout.HALF].astype(int) for each in (some, others))
    pairs = tuple(each.reshape(-1) for each in np.indices((len(some), len(others))))
    halves, queries = scan.pack_halves(np.stack(some)), scan.pack_halves(np.stack(others))
    assert scan.dots(halves, queries, (pairs[0], pairs[1])).tolist() == (one @ other.T).reshape(-1).tolist()
    assert scan.squares(halves).tolist() == (2 * (one**2).sum(axis=1)).tolist()


def test_a_scan_of_many_rows_keeps_their_numbers() -> None:
    rng = np.random.default_rng(0)
    signatures = layout.from_half(rng.choice([-2, -1, 1, 2], (40_000, 272)).astype(np.int8))
    halves = scan.pack_halves(signatures)
    assert np.array_equal(scan.unpack_halves(halves), signatures)
    for row in (0, 16383, 16384, 39_999):
        hits = scan.Query(engine.views(-signatures[row], True), 0.45).scan(halves)
        assert (hits.rows.tolist(), hits.distances.tolist(), hits.views.tolist()) == ([row], [0.0], [8])


def test_compare_never_fails_on_flat_images() -> None:
    white, black, art = (encoded(p) for p in (np.full((9, 9), 255), np.zeros((9, 9)), picture(1)))
    assert engine.compare(white, white) == 0.0
    assert engine.compare(white, black) == 1.0
    assert engine.compare(white, art) == engine.compare(art, white) == 1.0
    assert engine.compare(art, art) == 0.0
    assert engine.compare(art, encoded(255 - picture(1))) == 1.0
    with pytest.raises(BadImageError):
        engine.compare(art, b"nothing")
    with pytest.raises(BadImageError):
        engine.compare(b"nothing", b"nothing")


@pytest.mark.parametrize(("height", "width"), [(15, 40), (480, 640), (700, 5300), (5300, 700), (5300, 5300)])
def test_compiled_sums_of_boxes_are_numpys(height: int, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    if compiled.inner is None:
        pytest.skip("there was no C compiler when the service was installed")
    rng = np.random.default_rng(height + width)
    for low in (0, 250):  # the largest sums are those of white
        frame = Frame(rng.integers(low, 256, (height, width, 3), dtype=np.uint8))
        box = grid.boxes(frame, Window(0, height - 1, width // 20, width))
        means = grid.fast_means(frame, box)
        with monkeypatch.context() as without:
            without.setattr(compiled, "inner", None)
            assert np.array_equal(means, grid.fast_means(frame, box))
