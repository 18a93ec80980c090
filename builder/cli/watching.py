"""Waits for authors to save: no more than looking at the files every moment, so it works on any file system."""

import os
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

PAUSE_S = 0.5
_SUFFIXES = frozenset({".yaml", ".yml", ".json"})  # what a command writes itself, such as XML, must not wake it


def saves(root: Path, names: Iterable[str], *, sleep: Callable[[float], None] = time.sleep) -> Iterator[None]:
    """Yield at once, then after every change of YAML or JSON in `root/name` or below it, for each of the names.

    Never ends by itself. A change while the caller is busy is found afterwards.
    """
    paths = [root / name for name in sorted(names)]
    while True:
        seen = dict(_states(paths))
        yield
        while dict(_states(paths)) == seen:
            sleep(PAUSE_S)


def _states(paths: Iterable[Path]) -> Iterator[tuple[Path, tuple[int, int]]]:
    """Yield every file with its time of change in nanoseconds and its size in bytes."""
    for path in paths:
        below = (Path(folder, name) for folder, _, names in os.walk(path) for name in names)
        for file in (path, *below):
            if file.suffix.lower() in _SUFFIXES:
                try:
                    state = file.stat()
                except OSError:
                    continue  # gone, or just being replaced
                yield file, (state.st_mtime_ns, state.st_size)
