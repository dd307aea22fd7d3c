"""Connections and file descriptors, in processes of their own, since a limit once lowered stays so."""

import subprocess
import sys

import pytest

ASK = """
import resource, sys
soft, hard, wanted, threads = map(int, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
from match_service.descriptors import connections
print(connections(wanted, threads), resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""


@pytest.mark.parametrize(
    ("soft", "hard", "given", "limit"),
    [(256, 4096, 1000, 1296), (2000, 4096, 1000, 2000), (256, 1024, 728, 1024), (256, 256, 64, 256)],
    ids=["raised", "enough", "too little", "far too little"],
)
def test_the_limit_is_raised_as_far_as_may_be_and_no_more_connections_are_taken_than_fit(
    soft: int, hard: int, given: int, limit: int
) -> None:
    asked = [str(number) for number in (soft, hard, 1000, 10)]
    told = subprocess.run([sys.executable, "-c", ASK, *asked], capture_output=True, text=True, check=True)
    assert told.stdout.split() == [str(given), str(limit)]
