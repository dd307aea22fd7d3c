"""The folder rules that nothing else would notice: a stray file in operator/ breaks Python itself."""

import operator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted(path for part in ("operator", "service") for path in (ROOT / part).rglob("*.py"))


@pytest.mark.parametrize("folder", ["operator", "service"])
def test_a_container_folder_holds_no_module_of_its_own(folder: str) -> None:
    """operator/__init__.py would shadow the standard library's operator for every python started here."""
    assert [path.name for path in (ROOT / folder).glob("*.py")] == []


def test_the_standard_library_operator_is_the_one_imported() -> None:
    assert not Path(str(operator.__file__)).is_relative_to(ROOT)
    assert operator.itemgetter(0)(["first"]) == "first"


def test_test_folders_are_no_packages() -> None:
    """tests/unit/operator/__init__.py would be imported as `operator`."""
    cluster = ROOT / "tests/cluster/labcluster"
    found = [path for path in (ROOT / "tests").rglob("__init__.py") if not path.is_relative_to(cluster)]
    assert found == []


def test_locks_name_no_registry() -> None:
    """A lock made behind a mirror must install from anywhere."""
    for lock in (ROOT / "requirements").glob("*.txt"):
        lines = [line for line in lock.read_text("utf-8").splitlines() if not line.startswith("#")]
        assert [
            line for line in lines if "://" in line or line.startswith(("-i", "--index", "--extra-index"))
        ] == []


@pytest.mark.parametrize("name", ["operator", "service", "dev"])
def test_every_locked_requirement_carries_a_hash(name: str) -> None:
    text = (ROOT / f"requirements/{name}.txt").read_text("utf-8").replace("\\\n", " ")
    requirements = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert requirements
    assert [line for line in requirements if "--hash=sha256:" not in line] == []


def test_no_source_file_is_longer_than_400_lines() -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text("utf-8").splitlines()) for path in SOURCES}
    assert {path: lines for path, lines in lengths.items() if lines > 400} == {}


def test_the_arguments_of_a_job_go_to_the_program_of_the_image() -> None:
    """The Job that moves a collection names arguments only; the image knows the program's path."""
    text = (ROOT / "Dockerfile.service").read_text("utf-8")
    assert '\nENTRYPOINT ["/opt/match/bin/match-service"]\n' in text


def test_every_module_says_why_it_exists() -> None:
    silent = [
        str(p.relative_to(ROOT))
        for p in SOURCES
        if p.read_text("utf-8").strip()[:3] not in ('"""', 'r""', "")
    ]
    assert silent == []
