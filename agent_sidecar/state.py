"""The state directory of one sidecar: its lock, and ``state.json``, the one file that says what is in force.

``state.json`` refers to snapshots that were made durable before it, and is replaced atomically; whatever moment a
sidecar is killed at, the next start finds the old state or the new one, complete. A file that cannot be read is an
error, never overwritten: it holds what protects against old releases.
"""

import contextlib
import fcntl
import os
import stat
from pathlib import Path
from typing import Annotated

import msgspec

from agent_sidecar.durable import TEMPORARY, StateError, make_directory, read_file, write_file
from agent_sidecar.snapshots import SnapshotFolder, SnapshotRef
from policy_core.errors import ConflictError, UsageError
from policy_core.model import MAX_PIN_S

FORMAT = 1
MAX_STATE_BYTES = 8 << 20  # 64 emergency entries, each with a rule of 16 KiB, are most of it
MAX_ROOT_BYTES = 1 << 20
MAX_REJECTED = 64
STATE_FILE, LOCK_FILE, ROOT_FILE = "state.json", "lock", "root.json"

HostTime = Annotated[float, msgspec.Meta(ge=0, lt=253402300800)]
"""Seconds since the epoch, before the year 10000: what can be shown as a date."""


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the last ``run`` was told and an answer depends on; answers given in process follow it too."""

    store: str
    channel: str
    host: dict[str, str] = {}
    stale_limit_s: float | None = None


class Pin(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A host rollback in force: host time it began and ends, why, and who asked."""

    since: HostTime
    until: HostTime
    reason: str
    by: str


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How far a host may go back by itself: seconds a rollback may hold, and the least release it may go back to."""

    max_pin_s: Annotated[float, msgspec.Meta(gt=0)] = MAX_PIN_S
    min_release: Annotated[int, msgspec.Meta(ge=0)] = 0


class Rejection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """Why a release was refused; with `sha256`, these very bytes were, by this version of the sidecar."""

    at: HostTime
    reason: str
    hint: str = ""
    release: int = 0
    revision: str = ""
    sha256: str = ""
    version: str = ""


class State(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What survives a restart. `versions` are the highest of each TUF role, `time_seen` the highest host time.

    `limits` are those of the newest verified policy, which hold even if its snapshot is damaged later. `emergency` are
    the entries in force, as they were signed: `agent_sidecar.emergencies`.
    """

    format: int = FORMAT
    settings: Settings
    current: SnapshotRef | None = None
    previous: SnapshotRef | None = None
    pin: Pin | None = None
    limits: Limits = Limits()
    emergency: tuple[dict[str, str], ...] = ()
    rejected: tuple[Rejection, ...] = ()
    highest_release: Annotated[int, msgspec.Meta(ge=0)] = 0
    versions: dict[str, int] = {}
    time_seen: HostTime = 0.0

    @property
    def referenced(self) -> tuple[SnapshotRef, ...]:
        """Return the snapshots that must stay on disk."""
        return tuple(ref for ref in (self.current, self.previous) if ref)


class StateDirectory:
    """Exclusive owner of a state directory from `open` to `close`."""

    def __init__(self, path: Path, lock: int, state: State, trusted_root: bytes, *, group_reads: bool = False) -> None:
        self.path = path
        self.snapshots = SnapshotFolder(path / "snapshots", group_reads=group_reads)
        self._group_reads = group_reads
        self.trusted_root = trusted_root
        self.state = state
        self._lock = lock

    @classmethod
    def open(
        cls, path: Path, *, settings: Settings, trusted_root: bytes, group_reads: bool = False
    ) -> "StateDirectory":
        """Lock the directory (created if missing) and read its state.

        With `group_reads` its group may read what is enforced: state, trust root and snapshots. Raises ConflictError if
        another sidecar holds it, UsageError if it is open to others or belongs to another channel, StateError if its
        state cannot be read or the disk refuses.
        """
        make_directory(path, group_reads=group_reads)
        _check_owner(path)
        lock = _take_lock(path)
        try:
            found = read_state(path)
            state = msgspec.structs.replace(found, settings=settings) if found else State(settings=settings)
            if found:
                _check_channel(path, found, settings)
            directory = cls(path, lock, state, trusted_root, group_reads=group_reads)
            directory._discard_temporaries()
            directory._keep_root()
            if state != found:  # a full disk must not keep a host from enforcing what it has
                directory.save(state)
            if group_reads:
                directory._open_to_group()
        except BaseException:
            os.close(lock)
            raise
        return directory

    def save(self, state: State) -> None:
        """Make a new state durable; only then is it `state`. Raises StateError, and the old one stays."""
        content = msgspec.json.format(msgspec.json.encode(state), indent=2)
        write_file(self.path / STATE_FILE, content, group_reads=self._group_reads)
        self.state = state

    def close(self) -> None:
        """Release the lock."""
        os.close(self._lock)

    def _discard_temporaries(self) -> None:
        for left in (*self.path.glob(f"{TEMPORARY}*"), *self.path.glob(f"snapshots/*/{TEMPORARY}*")):
            with contextlib.suppress(OSError):  # nothing ever reads them
                left.unlink()

    def _keep_root(self) -> None:
        """Keep the trust root for commands that look at the directory later; never read by ``run``."""
        file = self.path / ROOT_FILE
        try:
            kept = read_file(file, max_bytes=MAX_ROOT_BYTES)
        except (FileNotFoundError, StateError):
            kept = b""
        if kept != self.trusted_root:
            write_file(file, self.trusted_root, group_reads=self._group_reads)

    def _open_to_group(self) -> None:
        for name in (STATE_FILE, ROOT_FILE):
            (self.path / name).chmod(0o640)
        self.snapshots.open_to_group()


def read_state(path: Path) -> State | None:
    """Return the state in a directory, None if it holds none yet; needs no lock. Raises StateError."""
    file = path / STATE_FILE
    try:
        state = msgspec.json.decode(read_file(file, max_bytes=MAX_STATE_BYTES), type=State)
    except FileNotFoundError:
        return None
    except (ValueError, RecursionError) as error:
        raise StateError(
            f"{file}: is damaged: {error}",
            hint=f"move {file} away to start from the store again; give --min-release to refuse an old repository",
        ) from error
    if state.format != FORMAT:
        raise StateError(f"{file}: format {state.format} (expected {FORMAT})", hint="upgrade the sidecar")
    return state


def read_trusted_root(path: Path) -> bytes:
    """Return the trust root the last ``run`` on this directory was given. Raises UsageError if there was none."""
    try:
        return read_file(path / ROOT_FILE, max_bytes=MAX_ROOT_BYTES)
    except FileNotFoundError as error:
        raise UsageError(
            f"{path}: is not the state directory of a sidecar", hint="writ-sidecar run --state makes one"
        ) from error


def _check_owner(path: Path) -> None:
    """Refuse a directory in which another user could lower what protects against old releases."""
    found = path.stat()
    if found.st_uid != os.geteuid():
        raise UsageError(
            f"{path}: belongs to another user (expected user id {os.geteuid()}, found {found.st_uid})",
            hint="run the sidecar as its owner, or give it a directory of its own",
        )
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise UsageError(f"{path}: other users can write to it (expected mode 0700)", hint=f"chmod 700 {path}")


def _check_channel(path: Path, state: State, settings: Settings) -> None:
    if state.settings.channel != settings.channel:
        raise UsageError(
            f"{path}: belongs to channel {state.settings.channel} (expected {settings.channel})",
            hint="give each channel a state directory of its own",
        )


def _take_lock(path: Path) -> int:
    try:
        lock = os.open(path / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StateError(f"{path}: cannot be locked: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.pread(lock, 32, 0).decode("ascii", "replace").strip() or "unknown"
        os.close(lock)
        raise ConflictError(
            f"{path}: another sidecar uses it (process {holder})", hint="one state directory serves one sidecar"
        ) from error
    except OSError as error:
        os.close(lock)
        raise StateError(f"{path}: cannot be locked: {error.strerror}") from error
    with contextlib.suppress(OSError):  # on a full disk the next one is told a wrong process, nothing more
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    return lock
