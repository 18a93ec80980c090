"""Journals: facts that outlive the process, one line each, written before anybody relies on them.

A journal is a *base*, replaced atomically, and the numbered segments written after it. An appended line survives the
death of the process at once, and that of the machine once it is synced. Every line has a checksum. A line torn off at
the end of a segment is what a crash leaves, and is ignored; any other damage means that nobody knows what was written.
The files then are set aside, and `forgot_at` says since when everything is known again: what that means for a decision
is up to the owner of the journal.
"""

import contextlib
import io
import os
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from agent_sidecar import logs
from agent_sidecar.durable import StateError, make_directory, read_file, sync_directory, write_file
from agent_sidecar.state import HostTime

FORMAT = 1
SEGMENT_BYTES = 8 << 20
"""A segment larger than this, and than the base, is folded into a new base."""
MAX_FILE_BYTES = 512 << 20
_CHECKSUM_CHARS = 8

Record = TypeVar("Record", bound=msgspec.Struct)
State = TypeVar("State")


class _Head(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """First line of a base: it holds all segments up to `through`, as of host time `at`."""

    format: int
    through: int
    at: HostTime
    forgot_at: HostTime | None = None


class _DamagedError(Exception):
    """What is on disk is not what was written."""


class Journal(Generic[Record, State]):
    """One journal of a directory. `fold` makes a state of records, `unfold` the records of a state that still matter.

    Whoever appends holds a lock of their own, and gives it to `tend`, which one thread calls now and then.
    """

    def __init__(
        self,
        directory: Path,
        name: str,
        kind: type[Record],
        *,
        fold: Callable[[Iterable[Record]], State],
        unfold: Callable[[State, float], Iterable[Record]],
    ) -> None:
        self.forgot_at: float | None = None
        self.at = 0.0
        self._directory = directory
        self._name = name
        self._base = directory / f"{name}.base"
        self._decode = msgspec.json.Decoder(kind).decode
        self._encode = msgspec.json.Encoder().encode
        self._fold = fold
        self._unfold = unfold
        self._through = 0
        self._number = 0
        self._file = -1
        self._length = 0
        self._closed_bytes = 0
        self._dirty = False

    def open(self, now: float) -> State:
        """Return what was written, and begin a segment. A disk that refuses is logged, and tried again by `tend`."""
        try:
            state = self._fold(self._read())
        except _DamagedError as error:
            self.forgot_at = now
            state = self._fold(())
            logs.warning("journal_damaged", journal=self._name, reason=str(error), hint="check the disk")
            self._set_aside()
        self._number = max([self._through, *self._segments()])
        try:
            make_directory(self._directory)
            self._write_base(state, max(now, self.at))
            self._switch(self._create())
        except StateError as error:
            logs.warning("journal_unwritable", journal=self._name, reason=error.message, hint=error.hint)
        return state

    @property
    def size_bytes(self) -> int:
        """Return how much of the disk the journal takes."""
        return self._closed_bytes + self._length

    def append(self, *records: Record, durable: bool = False) -> None:
        """Write records, `durable` so that they survive the machine. Raises StateError, and then none is written."""
        lines = b"".join(_line(self._encode(record)) for record in records)
        if self._file < 0:
            raise StateError(f"{self._name}: the disk refuses a new file")
        try:
            written = os.write(self._file, lines)
            if durable and written == len(lines):
                os.fsync(self._file)
        except OSError as error:
            self._cut()
            raise StateError(f"{self._name}: cannot be written: {error.strerror}") from error
        if written < len(lines):
            self._cut()
            raise StateError(f"{self._name}: cannot be written: the disk is full")
        self._length += len(lines)
        self._dirty = not durable

    def tend(self, lock: contextlib.AbstractContextManager[object], now: float) -> None:
        """Sync what was appended, and fold a large segment into the base. Raises StateError."""
        self.sync()
        if self._file >= 0 and self._length <= max(SEGMENT_BYTES, self._closed_bytes):
            return
        created = self._create()
        with lock:
            full = self._switch(created)
        if full >= 0:
            os.close(full)  # what was appended after the sync above is synced with the base
        try:
            self._write_base(self._fold(self._read(before=self._number)), now)
        except _DamagedError as error:
            raise StateError(f"{self._name}: cannot be folded: {error}", hint="check the disk") from error

    def sync(self) -> None:
        """Make sure that what was appended survives the machine. Raises StateError."""
        file = self._file
        if self._dirty and file >= 0:  # of a segment that was given up nothing more can be saved
            self._dirty = False
            try:
                os.fsync(file)
            except OSError as error:
                self._dirty = True
                raise StateError(f"{self._name}: cannot be synced: {error.strerror}") from error

    def _cut(self) -> None:
        """Take back what the disk took only in part; a segment from which it cannot be taken back is given up."""
        try:
            os.ftruncate(self._file, self._length)
        except OSError:
            os.close(self._file)
            self._file, self._dirty = -1, False

    def _create(self) -> int:
        path = self._segment(self._number + 1)
        file = -1
        make_directory(self._directory)
        try:
            file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            sync_directory(self._directory)
        except OSError as error:
            if file >= 0:
                os.close(file)
            raise StateError(f"{path}: cannot be made: {error.strerror}") from error
        return file

    def _set_aside(self) -> None:
        """Keep damaged files for a person to look at, and only those of the last time."""
        with contextlib.suppress(OSError):
            for old in self._directory.glob(f"{self._name}.*.damaged"):
                old.unlink()
            for path in (self._base, *map(self._segment, self._segments())):
                if path.exists():
                    os.link(path, path.with_name(f"{path.name}.damaged"))

    def _switch(self, created: int) -> int:
        """Append to a new segment from now on, and return the file of the one before."""
        full, self._file = self._file, created
        self._closed_bytes += self._length
        self._number += 1
        self._length = 0
        return full

    def _write_base(self, state: State, now: float) -> None:
        """Replace the base and drop the segments it holds: all but the one that is appended to."""
        through = self._number - 1 if self._file >= 0 else self._number
        head = _Head(FORMAT, through, now, self.forgot_at)
        records = (self._encode(record) for record in self._unfold(state, now))
        content = b"".join(map(_line, (self._encode(head), *records)))
        write_file(self._base, content)
        self._closed_bytes = len(content)
        for number in self._segments():
            if number <= through:
                with contextlib.suppress(OSError):  # the base says that it is not to be read
                    self._segment(number).unlink()

    def _read(self, *, before: int | None = None) -> Iterator[Record]:
        """Yield the records of the base and of the segments after it, up to the one numbered `before`."""
        segments = [number for number in self._segments() if before is None or number < before]
        try:
            lines = _lines(read_file(self._base, max_bytes=MAX_FILE_BYTES))
        except FileNotFoundError:
            if segments:
                raise _DamagedError(f"{self._base} is missing") from None
            return
        except StateError as error:
            raise _DamagedError(error.message) from error
        try:
            head = msgspec.json.decode(next(lines, b""), type=_Head)
            if head.format != FORMAT:
                raise _DamagedError(f"{self._base}: format {head.format} (expected {FORMAT})")
            self.at, self._through = head.at, head.through
            if head.forgot_at is not None:  # a base that was damaged later, and could not be replaced, knows less
                self.forgot_at = max(head.forgot_at, self.forgot_at or 0.0)
            yield from map(self._decode, lines)
            after = [number for number in segments if number > head.through]
            if after != list(range(head.through + 1, head.through + 1 + len(after))):
                raise _DamagedError(f"{self._name}: a segment is missing (found {after} after {head.through})")
            for number in after:
                content = read_file(self._segment(number), max_bytes=MAX_FILE_BYTES)
                yield from map(self._decode, _lines(content[: content.rfind(b"\n") + 1]))
        except (OSError, StateError, ValueError, RecursionError) as error:
            raise _DamagedError(f"{self._name}: {error}") from error

    def _segments(self) -> list[int]:
        names = (path.name.split(".") for path in self._directory.glob(f"{self._name}.*.log"))
        return sorted(int(parts[1]) for parts in names if len(parts) == 3 and parts[1].isdecimal())

    def _segment(self, number: int) -> Path:
        return self._directory / f"{self._name}.{number}.log"


def _line(content: bytes) -> bytes:
    return b"%08x %b\n" % (zlib.crc32(content), content)


def _lines(content: bytes) -> Iterator[bytes]:
    """Yield what each line holds. Raises _DamagedError for one that was altered."""
    for number, line in enumerate(io.BytesIO(content), 1):
        held = line[_CHECKSUM_CHARS + 1 : -1]
        if line != _line(held):
            raise _DamagedError(f"line {number} is not as it was written")
        yield held
