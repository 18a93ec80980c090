"""The segment files of a spool: their names, how one begins, and how one is read after a crash.

A file is ``<number>.open.jsonl`` while it is written to and until it is known to be on the disk, ``.sealed.jsonl``
after that. It appears under its name with its header whole.
"""

import contextlib
import errno
import os
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from agent_sidecar.durable import TEMPORARY, StateError, read_file
from policy_core.decision_log.errors import LogError
from policy_core.decision_log.lines import (
    MAX_LINE_BYTES,
    MAX_SEGMENT_BYTES,
    Seal,
    SegmentHeader,
    decode_header,
    decode_seal,
)
from policy_core.decision_log.segment import SegmentReader

_MAX_SEAL_BYTES = 1_024
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
OPEN, SEALED, DAMAGED = ".open.jsonl", ".sealed.jsonl", ".damaged"


def open_path(directory: Path, number: int) -> Path:
    """Return where a segment is written."""
    return directory / f"{number:016}{OPEN}"


def sealed_path(directory: Path, number: int) -> Path:
    """Return where a segment is once it is finished."""
    return directory / f"{number:016}{SEALED}"


def numbers(directory: Path, suffix: str) -> list[int]:
    """Return the numbers of the segments with a suffix, rising. Raises OSError."""
    found = (path.name.removesuffix(suffix) for path in directory.iterdir() if path.name.endswith(suffix))
    return sorted(int(name) for name in found if name.isdecimal())


def finished(directory: Path, *, before: int) -> list[Path]:
    """Return the segments numbered below the one that is written to, oldest first. Raises OSError."""
    found = {number: open_path(directory, number) for number in numbers(directory, OPEN) if number < before}
    found |= {number: sealed_path(directory, number) for number in numbers(directory, SEALED)}
    return [path for _, path in sorted(found.items())]


def size_of(paths: Iterable[Path]) -> int:
    """Return the bytes of files that may be shipped, and so deleted, meanwhile."""
    size = 0
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            size += path.stat().st_size
    return size


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment as it was found: what could be read of it, and the bytes after that."""

    path: Path
    reader: SegmentReader
    rest: bytes

    @property
    def number(self) -> int:
        """Return the number of the file."""
        return int(self.path.name.partition(".")[0])

    @property
    def is_damaged(self) -> bool:
        """Tell whether more is wrong than a last line without end, which is what a crash leaves."""
        return b"\n" in self.rest

    def follows(self, other: "Segment") -> bool:
        """Tell whether this is the next segment of the same chain."""
        mine, others = self.reader.header, other.reader.header
        if mine is None or others is None or not other.reader.is_sealed:
            return False
        if mine.host != others.host:  # a host that got another name began another chain
            return mine.segment == 1
        found = (mine.chain, mine.segment, mine.first_seq, mine.previous)
        return found == (others.chain, others.segment + 1, other.reader.last_seq + 1, other.reader.head.hex())


def read_segment(path: Path) -> Segment:
    """Read a segment up to its first line that does not fit. Raises StateError, FileNotFoundError."""
    content = read_file(path, max_bytes=MAX_SEGMENT_BYTES)
    reader, start = SegmentReader(path.name), 0
    try:
        while (end := content.find(b"\n", start)) >= 0:
            reader.feed(content[start:end])
            start = end + 1
    except LogError:
        pass  # the rest says where, and is kept
    return Segment(path, reader, content[reader.length :])


def read_header(path: Path) -> SegmentHeader:
    """Return the header of a segment that a process of this host has just begun. Raises StateError, OSError."""
    with path.open("rb") as file:
        line = file.readline(MAX_LINE_BYTES)
    try:
        return decode_header(line.removesuffix(b"\n"))
    except ValueError as error:
        raise StateError(f"{path}: is no segment: {error}") from error


def read_ends(path: Path) -> tuple[SegmentHeader, Seal]:
    """Return the first and the last line of a finished segment. Raises StateError, OSError."""
    with path.open("rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - _MAX_SEAL_BYTES))
        last = file.read().rpartition(b'\n{"type":"seal"')
    try:
        return read_header(path), decode_seal((last[1] + last[2]).strip())
    except ValueError as error:
        raise StateError(f"{path}: is no finished segment: {error}") from error


def temporary(directory: Path, content: bytes, *, durable: bool = False) -> Path:
    """Return a new file with a content, which gets its name with `Path.rename`. Raises OSError, and leaves no file."""
    path = directory / f"{TEMPORARY}{secrets.token_hex(8)}"
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        try:
            write_all(file, content)
            if durable:
                os.fsync(file)
        finally:
            os.close(file)
    except OSError:
        path.unlink(missing_ok=True)
        raise
    return path


def write_anew(directory: Path, number: int) -> None:
    """Write a finished segment to a new file, which takes its place. Raises OSError."""
    for path in (open_path(directory, number), sealed_path(directory, number)):
        if path.exists():
            temporary(directory, path.read_bytes(), durable=True).rename(path)


def write_all(file: int, content: bytes) -> None:
    """Write in one go. Raises OSError, also for a disk that takes only a part."""
    written = os.write(file, content)
    if written < len(content):
        written += os.write(file, content[written:])  # says why, or takes the rest
    if written < len(content):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def discard_temporaries(directory: Path) -> None:
    """Remove what a creation that was cut short has left. Raises StateError."""
    try:
        for path in directory.glob(f"{TEMPORARY}*"):
            path.unlink(missing_ok=True)
    except OSError as error:
        raise StateError(f"{directory}: cannot be written: {error.strerror}") from error


def boot_id() -> str:
    """Return the kernel's id of this boot, which no other has."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip().replace("-", "")
    except OSError:
        return "0" * 32  # not Linux: each start then counts as the same boot, and is recovered all the same
