"""A host of Elasticsearch that is gone with its network: nothing says so, and no request may wait for it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from match_service.store import connection, passing

SUPPORT = Path(__file__).parents[1] / "support"


@pytest.mark.elastic
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may drop packets, in a network of its own")
def test_a_host_that_falls_silent_is_given_up_and_another_connection_is_tried() -> None:
    folders = [str(SUPPORT), str(SUPPORT.parent / "cluster")]
    done = subprocess.run(
        ["unshare", "--net", sys.executable, SUPPORT / "silent.py"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(folders)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["documents"] == 3
    # The kernel looks at its clock only when it sends again, after 0.2, 0.4, 0.8 ... seconds.
    assert connection.SILENCE_SECONDS <= found["open"] < 3 * connection.SILENCE_SECONDS
    assert found["new"] < passing.PATIENCE_SECONDS
