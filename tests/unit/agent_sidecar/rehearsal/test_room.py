"""How much memory is left: what the machine and every control group around this process say, the least of it."""

from pathlib import Path

import pytest

from agent_sidecar.rehearsal.room import PART, room_bytes

GIB = 1 << 30


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A machine with 8 GiB left and no control groups."""
    _write(tmp_path / "proc/meminfo", f"MemTotal: 1 kB\nMemAvailable: {8 * GIB // 1024} kB\n")
    return tmp_path


def test_without_groups_the_machine_is_the_limit(machine: Path):
    assert _room(machine) == 8 * GIB * PART


def test_the_tightest_group_around_a_process_counts(machine: Path):
    _write(machine / "proc/self/cgroup", "0::/pod/container\n")
    _group(machine / "groups/pod", limit=3 * GIB, used=2 * GIB)
    _group(machine / "groups/pod/container", limit="max", used=GIB)

    assert _room(machine) == GIB * PART


def test_cached_files_give_way(machine: Path):
    _write(machine / "proc/self/cgroup", "0::/\n")
    _group(machine / "groups", limit=3 * GIB, used=2 * GIB, cached=GIB)

    assert _room(machine) == 2 * GIB * PART


def test_a_group_above_its_limit_leaves_nothing(machine: Path):
    _write(machine / "proc/self/cgroup", "0::/\n")
    _group(machine / "groups", limit=GIB, used=2 * GIB)

    assert _room(machine) == 0


def test_groups_of_the_first_version_are_read_too(machine: Path):
    _write(machine / "proc/self/cgroup", "4:cpu,cpuacct:/x\n9:memory:/docker/abc\n")
    group = machine / "groups/memory/docker/abc"
    _write(group / "memory.limit_in_bytes", f"{2 * GIB}\n")
    _write(group / "memory.usage_in_bytes", f"{GIB}\n")

    assert _room(machine) == GIB * PART


def test_a_path_outside_of_what_is_seen_leads_nowhere_else(machine: Path):
    _write(machine / "proc/self/cgroup", "0::/../../elsewhere\n")

    assert _room(machine) == 8 * GIB * PART


def test_processes_share_what_is_left(machine: Path):
    assert _room(machine, processes=4) == 8 * GIB * PART / 4


def test_where_nothing_says_it_nothing_is_known(tmp_path: Path):
    assert _room(tmp_path) is None


def _room(machine: Path, *, processes: int = 1) -> int | None:
    return room_bytes(processes=processes, proc=machine / "proc", groups=machine / "groups")


def _group(path: Path, *, limit: int | str, used: int, cached: int = 0) -> None:
    _write(path / "memory.max", f"{limit}\n")
    _write(path / "memory.current", f"{used}\n")
    _write(path / "memory.stat", f"anon 5\ninactive_file {cached}\n")


def _write(file: Path, content: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content)
