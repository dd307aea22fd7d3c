"""Decoding in processes of its own: the same answers, and an end to whatever does not end by itself."""

import itertools
import os
import struct
import threading
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from match_service import engine
from match_service.engine.overlap import MODES, overlap
from match_service.engine.variants import signature_and_variants
from match_service.errors import BadImageError, FeaturelessImageError, OverloadedError
from match_service.workshop import Workshop
from pictures import flat, jpeg
from serving import server


def endless_png() -> bytes:
    """A PNG of 50 MB that is nothing but headers: Pillow reads them one by one, in Python."""
    chunk = struct.pack(">I", 0) + b"aaAa" + struct.pack(">I", zlib.crc32(b"aaAa"))
    header = struct.pack(">IIBBBBB", 64, 64, 8, 2, 0, 0, 0)
    start = struct.pack(">I", 13) + b"IHDR" + header + struct.pack(">I", zlib.crc32(b"IHDR" + header))
    return b"\x89PNG\r\n\x1a\n" + start + chunk * 4_000_000


@pytest.fixture
def workshop() -> Iterator[Workshop]:
    made = Workshop(2, 60.0, wait=60.0)
    yield made
    made.close()


@pytest.fixture
def strict() -> Iterator[Workshop]:
    made = Workshop(2, 2.0, wait=1.0)
    _serve(made, 4)
    yield made
    made.close()


def _serve(workshop: Workshop, count: int) -> None:
    """Have ``count`` images decoded, however busy the helpers are just now."""
    deadline = time.monotonic() + 60
    while count:
        assert time.monotonic() < deadline
        try:
            workshop.signature(jpeg(1))
        except OverloadedError:
            continue
        count -= 1


def test_it_answers_as_the_engine_does(workshop: Workshop) -> None:
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(workshop.signature, [jpeg(seed) for seed in range(16)]))
    for seed, signature in enumerate(found):
        assert np.array_equal(signature, engine.signature(jpeg(seed)))
    assert workshop.compare(jpeg(1), jpeg(2)) == engine.compare(jpeg(1), jpeg(2))
    for mode, every in itertools.product(MODES, (True, False)):
        there = workshop.overlap(jpeg(1), jpeg(2), mode, all_orientations=every)
        assert there == overlap(jpeg(1), jpeg(2), mode, all_orientations=every)
    for mirrored in (False, True):
        found = workshop.signature_and_variants(jpeg(1), mirrored=mirrored)
        expected = signature_and_variants(jpeg(1), mirrored=mirrored)
        assert all(np.array_equal(one, other) for one, other in zip(found, expected, strict=True))


def test_it_refuses_as_the_engine_does(workshop: Workshop) -> None:
    for data in (b"", b"nonsense", jpeg(1)[:2000], flat()):
        with pytest.raises(BadImageError) as expected:
            engine.signature(data)
        with pytest.raises(BadImageError) as refusal:
            workshop.signature(data)
        assert (str(refusal.value), refusal.value.reason) == (str(expected.value), expected.value.reason)
    with pytest.raises(FeaturelessImageError):
        engine.signature(flat())


def test_an_image_that_takes_too_long_is_refused_and_the_next_ones_are_served(strict: Workshop) -> None:
    slow = endless_png()
    for _ in range(3):
        _serve(strict, 2)
        with pytest.raises(BadImageError, match="took longer than 2 seconds to decode"):
            strict.signature(slow)
    _serve(strict, 4)


def test_more_than_can_be_worked_off_is_told_and_not_queued_for_ever(strict: Workshop) -> None:
    slow = endless_png()
    said: list[str] = []
    started = threading.Barrier(6)

    def ask(_: int) -> None:
        started.wait()
        try:
            strict.signature(slow)
        except (BadImageError, OverloadedError) as error:
            said.append(type(error).__name__)

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(ask, range(6)))
    assert set(said) == {"BadImageError", "OverloadedError"}


def test_a_helper_that_dies_costs_one_answer(workshop: Workshop) -> None:
    slow = endless_png()
    with ThreadPoolExecutor(1) as threads:
        refused = threads.submit(workshop.signature, slow)
        pause = threading.Event()
        while not refused.done():
            for helper in _descendants(os.getpid()):
                if _seconds_of_work(helper) > 0.5:
                    os.kill(helper, 9)
            pause.wait(0.05)
        with pytest.raises(BadImageError, match="broke the decoder"):
            refused.result()
    assert workshop.compare(jpeg(1), jpeg(1)) == 0.0


def test_the_service_stays_awake_beside_an_endless_image_and_leaves_no_process_behind(tmp_path: Path) -> None:
    with server(tmp_path, MATCH_DECODE_TIMEOUT_SECONDS="2", MATCH_DECODE_PROCESSES="2") as running:
        family = _descendants(running.process.pid)
        with ThreadPoolExecutor(1) as threads:
            slow = threads.submit(running.form, "POST", "/search", {}, {"image": endless_png()})
            answered = 0
            while not slow.done():
                assert running.add("a", jpeg(1)).status == 200
                answered += 1
            assert slow.result().error == "The image took longer than 2 seconds to decode."
        assert answered > 5
        assert running.terminate() == 0
    deadline = time.monotonic() + 10
    pause = threading.Event()
    while any(Path(f"/proc/{pid}").exists() for pid in family):
        assert time.monotonic() < deadline
        pause.wait(0.05)


def test_a_stop_told_to_all_processes_finishes_what_is_in_work(tmp_path: Path) -> None:
    with server(tmp_path, MATCH_DECODE_TIMEOUT_SECONDS="10", MATCH_DRAIN_SECONDS="2") as running:
        with ThreadPoolExecutor(1) as threads:
            slow = threads.submit(running.form, "POST", "/search", {}, {"image": endless_png()})
            pause = threading.Event()
            while not _busy(running.process.pid):
                assert not slow.done()
                pause.wait(0.02)
            for pid in {running.process.pid} | _descendants(running.process.pid):
                os.kill(pid, 15)
            assert slow.result().error == "The image took longer than 10 seconds to decode."
        assert running.process.wait(40) == 0


def _busy(server_pid: int) -> bool:
    """Whether a process of the server's has worked for a while."""
    return any(_seconds_of_work(pid) > 0.7 for pid in _descendants(server_pid))


def _descendants(pid: int) -> set[int]:
    found: set[int] = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text("utf-8", "replace").rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
        if parent == pid:
            child = int(stat.parent.name)
            found |= {child} | _descendants(child)
    return found


def _seconds_of_work(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return int(fields[11]) / os.sysconf("SC_CLK_TCK")
