"""Files that are read again when they change, without a restart."""

from collections.abc import Iterable
from pathlib import Path

Seen = tuple[tuple[int, int, int, int] | None, ...]


class Watched:
    """Some files; told apart by inode, size and times, so that a file moved into place is noticed too."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self._paths = tuple(paths)
        self._seen: Seen = ()

    def changed(self) -> bool:
        """Tell whether something is other than when this was asked last; true the first time."""
        seen = tuple(map(_stamp, self._paths))
        if seen == self._seen:
            return False
        self._seen = seen
        return True


def _stamp(path: Path) -> tuple[int, int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
