"""What a rehearsal may take: how much memory is left to this process, as the kernel and its control groups say."""

import os
from collections.abc import Iterator
from pathlib import Path

PART = 0.875
"""Of what is left, a policy may take this much: requests go on meanwhile."""
MAX_CPU_S = 120
"""More than ten times what a million rules take."""

_PROC, _GROUPS = Path("/proc"), Path("/sys/fs/cgroup")


def room_bytes(*, processes: int = 1, proc: Path = _PROC, groups: Path = _GROUPS) -> int | None:
    """Return how much memory each of some processes may take beside what they have; None where nothing says it."""
    left = [found for found in (_of_machine(proc), *_of_groups(proc, groups)) if found is not None]
    return int(max(0, min(left)) * PART / processes) if left else None


def _of_machine(proc: Path) -> int | None:
    return _field(proc / "meminfo", "MemAvailable:", unit=1024)


def _of_groups(proc: Path, groups: Path) -> Iterator[int | None]:
    """Yield what is left to each control group this process is in, the innermost first (version 2, else version 1)."""
    for line in _text(proc / "self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers in ("", "memory"):
            root = groups / controllers
            files = _VERSION_2 if not controllers else _VERSION_1
            inner = Path(os.path.normpath(root / path.lstrip("/")))
            yield from (_of_group(group, *files) for group in (inner, *inner.parents) if group.is_relative_to(root))


def _of_group(group: Path, limit: str, used: str, cached: str) -> int | None:
    """Return what is left to one group: cached files give way. None if it has no limit."""
    try:
        most, now = int(_text(group / limit)), int(_text(group / used))
    except ValueError:  # "max", or no such file
        return None
    return most - now + (_field(group / "memory.stat", cached, unit=1) or 0)


def _field(file: Path, name: str, *, unit: int) -> int | None:
    found = (line.split() for line in _text(file).splitlines())
    return next((int(words[1]) * unit for words in found if words[0] == name), None)


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""


_VERSION_2 = ("memory.max", "memory.current", "inactive_file")
_VERSION_1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
