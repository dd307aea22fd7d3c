"""Runs the stages behind `make demo`, `make test`, `make check` and `make bench`, one after the other.

It exists so that each of these commands is one thing to type, says at every moment what it is doing, and
closes with the wall time of each stage. Everything it runs can be run alone: it prints the command.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parent.parent
OUTCOMES = ("failed", "errors", "passed", "skipped")
BY_TWO = ("-n", "2", "--dist", "loadfile")
"""For pytest: two processes; a file is one's alone."""


@dataclass(frozen=True)
class Stage:
    """One command, run in the project's folder with this Python unless it is a tool of the environment.

    ``beside``: the stage after it, which waits for pods more than it computes, may run meanwhile.
    """

    name: str
    command: tuple[str, ...]
    tests: bool = False
    beside: bool = False


@dataclass
class Result:
    """How a stage ended; ``seconds`` of wall time."""

    stage: Stage
    code: int
    seconds: float
    counts: dict[str, int] = field(default_factory=dict)


def pytest_stage(folder: str, *options: str, beside: bool = False) -> Stage:
    """All tests of one folder of tests/."""
    return Stage(folder, ("-m", "pytest", f"tests/{folder}", *options), tests=True, beside=beside)


CLUSTER = Stage("local cluster", ("-m", "labcluster", "up"))
CHECK = (
    Stage("lint", ("-m", "ruff", "check", "--quiet")),
    Stage("format", ("-m", "ruff", "format", "--check", "--quiet")),
    Stage("types", ("-m", "mypy", "--no-error-summary")),
    Stage("layers", ("lint-imports",)),
    pytest_stage("unit", *BY_TWO),
)


def bench_stages() -> tuple[Stage, ...]:
    """One stage for each bench/*.py that can be run."""
    scripts = sorted(p for p in (ROOT / "bench").glob("*.py") if "__main__" in p.read_text("utf-8"))
    return tuple(Stage(p.stem, (f"bench/{p.name}",)) for p in scripts)


def stages(what: str) -> tuple[Stage, ...]:
    """The stages of a command."""
    if what == "demo":
        return (CLUSTER, Stage("demo", ("examples/demo.py",)))
    if what == "check":
        return CHECK
    if what == "bench":
        return bench_stages()
    beside = (pytest_stage(name, beside=True) for name in ("contract", "browser"))
    # Not beside the stories: the integration tests take a node of the local cluster away.
    return (*CHECK, CLUSTER, *beside, pytest_stage("e2e"), pytest_stage("integration"))


def counts(report: Path) -> dict[str, int]:
    """Outcomes in a JUnit file, in pytest's words."""
    if not report.is_file() or not report.stat().st_size:
        return {}
    suites = list(ET.parse(report).getroot().iter("testsuite"))  # noqa: S314  # our own pytest wrote it
    total = {
        key: sum(int(s.get(key, 0)) for s in suites) for key in ("tests", "failures", "errors", "skipped")
    }
    bad = total["failures"] + total["errors"] + total["skipped"]
    return {
        "failed": total["failures"],
        "errors": total["errors"],
        "passed": total["tests"] - bad,
        "skipped": total["skipped"],
    }


def run(stage: Stage, output: IO[str] | None = None) -> Result:
    """Run one stage with its output on ours, or into a file."""
    head, *rest = stage.command
    tool = Path(sys.executable).parent / head
    command = [str(tool), *rest] if tool.is_file() else [sys.executable, *stage.command]
    env = dict(os.environ)
    env["PYTHONPATH"] = os.pathsep.join([str(ROOT / "tests/cluster"), *filter(None, [env.get("PYTHONPATH")])])
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "junit.xml")
        if stage.tests:
            command.append(f"--junitxml={report}")
        started = time.monotonic()
        code = subprocess.run(
            command, cwd=ROOT, env=env, check=False, stdout=output, stderr=output
        ).returncode
        return Result(stage, code, time.monotonic() - started, counts(report))


def run_all(planned: tuple[Stage, ...]) -> list[Result]:
    """Run the stages in order up to the first that fails; those beside show their output at the end."""
    results: list[Result] = []
    with ThreadPoolExecutor(max_workers=1) as pool, tempfile.TemporaryDirectory() as folder:
        beside: dict[Future[Result], Path] = {}
        for stage in planned:
            shown = f"\n=== {stage.name}: {' '.join(stage.command)}"
            if stage.beside:
                print(f"{shown} (meanwhile; its output comes at the end)", flush=True)
                log = Path(folder, stage.name)
                beside[pool.submit(logged, stage, log)] = log
                continue
            print(shown, flush=True)
            results.append(run(stage))
            if results[-1].code:
                if beside:
                    print(f"\n{stage.name} failed (above); what runs beside is waited for", flush=True)
                break
        for future, log in beside.items():
            results.append(future.result())
            print(f"\n=== {results[-1].stage.name}: its output", flush=True)
            with log.open(encoding="utf-8", errors="replace") as output:
                shutil.copyfileobj(output, sys.stdout)
    return results


def logged(stage: Stage, log: Path) -> Result:
    """Run one stage with its output in ``log``."""
    with log.open("w", encoding="utf-8") as output:
        return run(stage, output)


def table(results: list[Result], planned: tuple[Stage, ...], wall: float) -> Iterator[str]:
    """Lines of the closing table; ``wall`` seconds passed in all."""
    done = {result.stage: result for result in results}
    for stage in planned:
        if not (result := done.get(stage)):
            yield f"  {stage.name:<14} {'-':>7}    not run"
            continue
        tests = ", ".join(f"{n} {word}" for word, n in result.counts.items() if n)
        outcome = "ok" if result.code == 0 else f"FAILED (exit code {result.code})"
        yield f"  {stage.name:<14} {result.seconds:>7.1f} s  {outcome}{'  ' + tests if tests else ''}"
    yield f"  {'all':<14} {wall:>7.1f} s"


def closing(results: list[Result], wall: float) -> str:
    """One last line, as pytest's own, over all stages."""
    total = {word: sum(r.counts.get(word, 0) for r in results) for word in OUTCOMES}
    words = ", ".join(f"{n} {word}" for word, n in total.items() if n) or "no tests ran"
    return f"=== {words} in {wall:.2f}s ==="


def main() -> int:
    """Run the stages of the command named; start none after one has failed, and return its exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("what", choices=("demo", "test", "check", "bench"))
    what: str = parser.parse_args().what
    planned, started = stages(what), time.monotonic()
    results = run_all(planned)
    wall = time.monotonic() - started
    failed = [result for result in results if result.code]
    print("\nWall time of each stage")
    print("\n".join(table(results, planned, wall)))
    if failed:
        print(f"\nFailed: {', '.join(r.stage.name for r in failed)}; the output is above.")
    elif what == "test":
        print("\nThe local cluster is left running: `make status` shows it, `make down` stops it.")
    if what in {"test", "check"}:
        print(closing(results, wall))
    return failed[0].code if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("\nInterrupted; what runs is left as it is. `make status` shows it, `make down` stops it.")
        sys.exit(130)
