"""The mirror's bound follows the container's memory limit, under both versions of control groups."""

import os
from pathlib import Path

import pytest

from match_service.store.bound import memory_limit, mirror_bytes

PHYSICAL = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
MIB = 1 << 20


def machine(root: Path, groups: str, **limits: str) -> Path:
    """A file system with ``proc/self/cgroup`` and limits by path under ``sys/fs/cgroup``."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(groups)
    for path, text in limits.items():
        file = root / "sys/fs/cgroup" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


@pytest.mark.parametrize(
    ("groups", "limits", "expected"),
    [
        ("0::/\n", {"memory.max": f"{64 * MIB}\n"}, 64 * MIB),
        ("0::/\n", {"memory.max": "max\n"}, PHYSICAL),
        ("0::/pod/main\n", {"pod/main/memory.max": "max", "pod/memory.max": f"{9 * MIB}"}, 9 * MIB),
        ("0::/only/outside\n", {"memory.max": f"{7 * MIB}"}, 7 * MIB),
        ("0::/../elsewhere\n", {"memory.max": f"{7 * MIB}"}, 7 * MIB),
        ("4:memory:/pod\n0::/\n", {"memory/pod/memory.limit_in_bytes": f"{5 * MIB}"}, 5 * MIB),
        ("4:cpu,memory:/out\n", {"memory/memory.limit_in_bytes": f"{6 * MIB}"}, 6 * MIB),
        ("4:memory:/\n", {"memory/memory.limit_in_bytes": "9223372036854771712"}, PHYSICAL),
        ("4:cpu:/\n", {"memory/memory.limit_in_bytes": f"{6 * MIB}"}, PHYSICAL),
        ("", {}, PHYSICAL),
    ],
)
def test_the_least_limit_in_sight_counts(
    tmp_path: Path, groups: str, limits: dict[str, str], expected: int
) -> None:
    assert memory_limit(machine(tmp_path, groups, **limits)) == expected


def test_a_machine_without_control_groups_has_all_its_memory(tmp_path: Path) -> None:
    assert memory_limit(tmp_path) == PHYSICAL


def test_the_mirror_may_have_half_unless_somebody_has_chosen(tmp_path: Path) -> None:
    root = machine(tmp_path, "0::/\n", **{"memory.max": f"{64 * MIB}"})
    assert [mirror_bytes(chosen, root) for chosen in (None, 0, 5 * MIB)] == [32 * MIB, 0, 5 * MIB]
