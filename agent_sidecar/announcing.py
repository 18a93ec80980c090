"""What a living sidecar says is in force, to policies that follow it in process: ``in-force`` in its state directory.

The file is written in place, so that a full disk cannot keep a change from being told. Its head is a number, which
changes with what is in force, and the time of the last beat. A reader looks at both for every answer it gives (one
``pread``), and gives none once the number is another one or the last beat is `BEAT_LIMIT_S` old. So nobody answers from
what this sidecar has stopped enforcing, nor for long after it ended, hung or was killed.

Every sidecar writes a file of its own. A beat counts only within the boot it was made in, by the clock of that boot.
"""

import contextlib
import functools
import hashlib
import math
import os
import secrets
import struct
import threading
import time
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec

from agent_sidecar import logs
from agent_sidecar.activation import Activation, Unavailable
from agent_sidecar.durable import StateError, write_file
from agent_sidecar.snapshots import SnapshotRef
from policy_core.trust.oncall import Emergency

IN_FORCE = "in-force"
BEAT_EVERY_S = 0.5
BEAT_LIMIT_S = 2.0
"""How old the last beat may be; also how far the kernel's clock may seem ahead of it, which it never is."""

_HEAD = struct.Struct("<Qdd")  # number, time of the beat (monotonic clock), host time then
_LENGTHS = struct.Struct("<II")  # bytes of the body, and their CRC-32
_MAX_BODY_BYTES = 64 << 10
_NEVER = -math.inf
_BOOT = Path("/proc/sys/kernel/random/boot_id")


class InForce(msgspec.Struct, frozen=True, kw_only=True):
    """What is in force: a snapshot, until when (host time; None: for ever), and under which emergency entries.

    `entries` is their digest (`entries_digest`). Without a snapshot `reason` says why there is none.
    """

    format: Annotated[int, msgspec.Meta(ge=1, le=1)] = 1
    number: int
    boot: str
    snapshot: SnapshotRef | None = None
    deny_after: float | None = None
    entries: str = ""
    reason: str = ""


class Head(NamedTuple):
    """What every answer depends on: `number` names what is in force, `beat` is in seconds of the monotonic clock."""

    number: int
    beat: float
    host_time: float

    def is_alive(self) -> bool:
        """Tell whether the sidecar that wrote it lives."""
        return 0.0 <= time.monotonic() - self.beat <= BEAT_LIMIT_S


class Announcer:
    """Writes the file of one sidecar; used by any of its threads."""

    def __init__(self, directory: Path) -> None:
        """Make a file of its own in place of that of an earlier sidecar. Raises StateError."""
        path = directory / IN_FORCE
        self._boot = boot_id()
        self._number = secrets.randbits(62)
        self._beat, self._host_time = _NEVER, 0.0
        self._is_ended = False
        self._failed = ""
        self._lock = threading.Lock()
        self._said = InForce(number=self._number, boot=self._boot, reason="the sidecar is starting")
        write_file(path, self._page(), group_reads=True)
        try:
            self._file = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError as error:
            raise StateError(f"{path}: cannot be written: {error.strerror}") from error

    def say(self, active: Activation | Unavailable, entries: Iterable[Emergency]) -> None:
        """Announce what is about to be in force: from now on no reader answers from what was before."""
        with self._lock:
            said = self._saying(active, entries)
            if said != self._said:
                self._number += 1
                self._said = msgspec.structs.replace(said, number=self._number)
                self._write(self._page())

    def beat(self, host_time: float) -> None:
        """Say that this sidecar lives, every `BEAT_EVERY_S`; what could not be written before is written now."""
        with self._lock:
            if self._is_ended:
                return
            self._beat, self._host_time = time.monotonic(), host_time
            page = self._page()
            self._write(page if self._failed else page[: _HEAD.size])

    def end(self) -> None:
        """Say that it does not live any more."""
        with self._lock:
            self._is_ended, self._beat = True, _NEVER
            self._write(self._page())

    def _saying(self, active: Activation | Unavailable, entries: Iterable[Emergency]) -> InForce:
        about = InForce(number=self._number, boot=self._boot)
        if isinstance(active, Unavailable):
            return msgspec.structs.replace(about, reason=active.reason)
        until = None if math.isinf(active.deny_after) else active.deny_after
        digest = entries_digest(entries)
        return msgspec.structs.replace(about, snapshot=active.ref, deny_after=until, entries=digest)

    def _write(self, content: bytes) -> None:
        """Write the beginning of the file. If the disk refuses, beats end, and readers notice."""
        try:
            os.pwrite(self._file, content, 0)
            self._failed = ""
        except OSError as error:
            if self._failed != str(error):
                logs.warning("announcement_failed", reason=f"{IN_FORCE}: {error.strerror}")
            self._failed = str(error)

    def _page(self) -> bytes:
        body = msgspec.json.encode(self._said)
        head = _HEAD.pack(self._number, self._beat, self._host_time)
        return head + _LENGTHS.pack(len(body), zlib.crc32(body)) + body


class Silent:
    """Announces nothing, and takes away what an earlier sidecar announced."""

    def __init__(self, directory: Path) -> None:
        """Raise StateError if it cannot be taken away: nobody may take it for ours."""
        try:
            (directory / IN_FORCE).unlink(missing_ok=True)
        except OSError as error:
            raise StateError(f"{directory / IN_FORCE}: cannot be removed: {error.strerror}") from error

    def say(self, active: Activation | Unavailable, entries: Iterable[Emergency]) -> None:
        """Say nothing."""

    def beat(self, host_time: float) -> None:
        """Say nothing."""

    def end(self) -> None:
        """Say nothing."""


class Announcement:
    """The file of a sidecar as its readers see it, open for as long as somebody has it."""

    def __init__(self, directory: Path) -> None:
        """Raise StateError if there is none that can be read."""
        path = directory / IN_FORCE
        try:
            self._file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError as error:
            hint = _SETTING if isinstance(error, FileNotFoundError) else ""
            raise StateError(f"{path}: cannot be read: {error.strerror}", hint=hint) from error
        found = os.fstat(self._file)
        self.id = (found.st_dev, found.st_ino)

    def head(self) -> Head:
        """Return what it says at this moment; a head that cannot be read is one of no living sidecar."""
        try:
            return Head(*_HEAD.unpack(os.pread(self._file, _HEAD.size, 0)))
        except (OSError, struct.error):
            return _NOBODY

    def read(self) -> InForce:
        """Return all it says. Raises StateError if that is damaged, being changed, or about another boot."""
        try:
            page = os.pread(self._file, _HEAD.size + _LENGTHS.size + _MAX_BODY_BYTES, 0)
            number, _, _ = _HEAD.unpack_from(page)
            length, checksum = _LENGTHS.unpack_from(page, _HEAD.size)
            body = page[_HEAD.size + _LENGTHS.size :][:length]
            said = msgspec.json.decode(body, type=InForce)
        except (OSError, struct.error, ValueError) as error:
            raise StateError(f"{IN_FORCE}: is damaged: {error}") from error
        if said.number != number or zlib.crc32(body) != checksum:
            raise StateError(f"{IN_FORCE}: is damaged, or being changed")
        if said.boot != boot_id():
            raise StateError(f"{IN_FORCE}: was written before this machine was started, or on another one")
        return said

    def is_replaced(self, directory: Path) -> bool:
        """Tell whether another sidecar has put a file of its own in place of this one."""
        with contextlib.suppress(OSError):
            found = (directory / IN_FORCE).stat(follow_symlinks=False)
            return (found.st_dev, found.st_ino) != self.id
        return True

    def __del__(self) -> None:
        """Let go of the file: not before the last reader is done, so that its number is not another file's by then."""
        with contextlib.suppress(AttributeError, OSError):
            os.close(self._file)


def entries_digest(entries: Iterable[Emergency]) -> str:
    """Return the SHA-256 (hex) over emergency entries as they were signed, in their order."""
    return hashlib.sha256(msgspec.json.encode([entry.custom() for entry in entries], order="sorted")).hexdigest()


@functools.cache
def boot_id() -> str:
    """Return what names this boot of this machine, whichever container asks. Raises StateError."""
    try:
        return _BOOT.read_text(encoding="ascii").strip()
    except OSError as error:
        raise StateError(f"{_BOOT}: cannot be read: {error.strerror}", hint="in_process needs Linux") from error


_NOBODY = Head(0, _NEVER, 0.0)
_SETTING = "in_process = true in the sidecar's configuration opens it to applications"
