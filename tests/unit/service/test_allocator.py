"""Freed memory goes back to the system, shown by processes that have freed some."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")

FREED = """
from match_service import allocator

blocks = [bytes(1000) for _ in range(100_000)]
last = blocks[-1]  # what lies before it cannot be returned by itself
del blocks
before = allocator.resident()
allocator.trim()
print(before - allocator.resident())
"""
THREADS = """
import re, sys, threading
from pathlib import Path
from match_service import allocator

if sys.argv[1] == "shared":
    allocator.share_heaps()
here = threading.Barrier(9)

def work():
    block = bytes(5000)
    here.wait()
    here.wait()

threads = [threading.Thread(target=work) for _ in range(8)]
for each in threads:
    each.start()
here.wait()
# A heap of a thread reserves 64 MiB of address space, at a multiple of as much.
maps = Path("/proc/self/maps").read_text()
starts = {int(start, 16) for start in re.findall("^([0-9a-f]+)-", maps, re.M)}
heaps = [start for start in starts if start % 2**26 == 0]
here.wait()
print(len(heaps))
"""


def run(program: str, *arguments: str) -> int:
    ran = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, check=True)
    return int(ran.stdout)


def test_what_lies_freed_between_what_is_used_is_returned() -> None:
    assert run(FREED) > 50 * 1000 * 1000


def test_threads_share_heaps() -> None:
    assert run(THREADS, "shared") < run(THREADS, "each its own")
