"""Programs of the lab start once, start again when their settings change, and are not mistaken for others."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from labcluster import paths, processes

SLEEP = ("sleep", "600")


@pytest.fixture(autouse=True)
def _lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("MATCH_LAB_DIR", str(tmp_path))
    yield
    for name in processes.names():
        processes.stop(name)


def environment() -> dict[str, str]:
    """One in which a new Python finds the lab however these tests were started."""
    return os.environ | {"PYTHONPATH": str(Path(processes.__file__).parents[1])}


def test_a_running_program_is_left_alone() -> None:
    assert processes.ensure("program", SLEEP)
    pid = processes.running("program")
    assert not processes.ensure("program", SLEEP)
    assert processes.running("program") == pid


def test_a_program_that_died_is_started_again() -> None:
    processes.ensure("program", SLEEP)
    pid = processes.running("program")
    assert pid is not None
    known = processes.identity(pid)
    os.kill(pid, signal.SIGKILL)
    while processes.identity(pid) == known:
        pass
    assert processes.running("program") is None
    assert processes.ensure("program", SLEEP)


def test_other_settings_restart_a_program_and_equal_ones_are_not_even_written(tmp_path: Path) -> None:
    file = tmp_path / "settings/file"
    processes.ensure("program", SLEEP, {file: "one"})
    pid, written = processes.running("program"), file.stat().st_mtime_ns
    assert not processes.ensure("program", SLEEP, {file: "one"})
    assert file.stat().st_mtime_ns == written
    assert processes.ensure("program", SLEEP, {file: "two"})
    assert processes.running("program") != pid
    assert processes.ensure("program", ("sleep", "500"), {file: "two"})


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may take niceness back")
def test_a_program_does_not_inherit_the_niceness_of_the_command_that_started_it() -> None:
    telling = ("sh", "-c", "nice; exec sleep 600")
    start = f"from labcluster import processes; processes.ensure('program', {telling})"
    subprocess.run(["nice", "-n", "7", sys.executable, "-c", start], check=True, env=environment())
    log = paths.logs() / "program.log"
    while not (told := log.read_text()).endswith("\n"):
        pass
    assert told == "0\n"


def test_a_process_that_took_over_a_pid_is_not_ours() -> None:
    """The record of a killed program may name the pid of anything by now."""
    folder = paths.run() / "processes"
    folder.mkdir(parents=True)
    record = {"pid": os.getpid(), "identity": "another-boot:1", "command": list(SLEEP)}
    (folder / "program.json").write_text(json.dumps(record))
    assert processes.running("program") is None
    processes.stop("program")
    assert processes.names() == []


def test_what_stopped_is_forgotten_and_its_log_kept() -> None:
    processes.ensure("program", ("sh", "-c", "echo why; exec sleep 600"))
    processes.stop("program")
    processes.ensure("program", SLEEP)
    assert (paths.logs() / "program.log.1").exists()


def test_a_program_outlives_its_starter_without_a_warning_and_leaves_nothing_when_stopped() -> None:
    starter = """if True:
        from labcluster import processes
        processes.ensure("program", ("sleep", "600"))
        processes.ensure("other", ("sleep", "600"))
        processes.stop("other")
        print(processes.running("program"))
    """
    command = [sys.executable, "-X", "dev", "-c", starter]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment())
    assert done.stderr == ""
    assert processes.running("program") == int(done.stdout)


def test_a_program_does_not_keep_a_lock_of_whoever_started_it(tmp_path: Path) -> None:
    starter = 'from labcluster import processes; processes.ensure("program", ("sleep", "600"))'
    command = ["flock", tmp_path / "lock", sys.executable, "-c", starter]
    subprocess.run(command, check=True, env=environment())
    assert processes.running("program")
    subprocess.run(["flock", "--nonblock", tmp_path / "lock", "true"], check=True)


def test_a_program_that_was_killed_is_remembered_as_stopped() -> None:
    processes.ensure("program", SLEEP)
    pid = processes.running("program")
    processes.kill("program")
    assert processes.running("program") is None
    assert not Path(f"/proc/{pid}").exists()
    assert processes.names() == ["program"]


def test_a_child_that_ignores_a_request_to_stop_is_killed() -> None:
    deaf = "trap '' TERM; echo ready; while true; do sleep 600 & wait; done"
    with subprocess.Popen(["sh", "-c", deaf], stdout=subprocess.PIPE, start_new_session=True) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert processes.end(child, 0.05) == -signal.SIGKILL
        os.killpg(child.pid, signal.SIGKILL)


def test_a_child_that_stops_when_asked_gives_its_own_exit_code() -> None:
    polite = "trap 'exit 7' TERM; echo ready; while true; do sleep 0.01; done"
    with subprocess.Popen(["sh", "-c", polite], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert processes.end(child) == 7
