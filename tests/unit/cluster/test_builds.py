"""A build is reused exactly while nothing that defines it has changed."""

from pathlib import Path

import pytest

from labcluster import builds, progress


@pytest.fixture(name="sources")
def _sources(tmp_path: Path) -> Path:
    (tmp_path / "src").mkdir()
    (tmp_path / "src/main.go").write_text("one")
    (tmp_path / "src/__pycache__").mkdir()
    (tmp_path / "src/__pycache__/main.pyc").write_bytes(b"noise")
    return tmp_path / "src"


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def key(sources: Path, *words: str) -> str:
    return builds.key(builds.files_under(sources), sources, *words)


def test_a_key_depends_on_contents_names_modes_and_words(sources: Path) -> None:
    seen = {key(sources), key(sources, "flag")}
    (sources / "main.go").write_text("two")
    seen.add(key(sources))
    (sources / "main.go").chmod(0o755)
    seen.add(key(sources))
    (sources / "main.go").rename(sources / "other.go")
    seen.add(key(sources))
    assert len(seen) == 5


def test_a_key_ignores_where_the_checkout_lies_and_what_tools_leave_in_it(sources: Path) -> None:
    before = key(sources)
    (sources / "__pycache__/main.pyc").write_bytes(b"more noise")
    moved = sources.rename(sources.with_name("elsewhere"))
    assert key(moved) == before


def test_a_thing_is_built_once(sources: Path) -> None:
    calls: list[Path] = []

    def build(out: Path) -> None:
        calls.append(out)
        (out / "result").write_text("made")

    first = builds.built("thing", key(sources), "", build)
    assert builds.built("thing", key(sources), "", build) == first
    assert (first / "result").read_text() == "made"
    assert len(calls) == 1


def test_half_a_build_is_never_taken_for_a_whole_one(sources: Path) -> None:
    def broken(out: Path) -> None:
        (out / "half").write_text("x")
        raise progress.LabError("no disk")

    def whole(out: Path) -> None:
        (out / "whole").write_text("x")

    with pytest.raises(progress.LabError):
        builds.built("thing", key(sources), "", broken)
    done = builds.built("thing", key(sources), "", whole)
    assert [path.name for path in done.iterdir()] == ["whole"]


def test_only_the_last_few_builds_of_a_thing_are_kept(sources: Path) -> None:
    made = [builds.built("thing", key(sources, str(n)), "", lambda _: None) for n in range(builds.KEPT + 2)]
    assert sum(path.exists() for path in made) == builds.KEPT
    assert made[-1].exists()
