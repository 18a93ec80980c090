"""The state directory of one sidecar: its lock, and ``state.json``, the one file that says what is in force.

``state.json`` refers to snapshots that were made durable before it, and is replaced atomically; whatever moment a
sidecar is killed at, the next start finds the old state or the new one, complete. A file that cannot be read is an
error, never overwritten: it holds what protects against old releases.
"""

import fcntl
import os
import stat
from pathlib import Path

import msgspec

from agent_sidecar.durable import TEMPORARY, StateError, make_directory, read_file, write_file
from agent_sidecar.snapshots import SnapshotFolder, SnapshotRef
from policy_core.errors import ConflictError, UsageError

FORMAT = 1
MAX_STATE_BYTES = 1 << 20
MAX_REJECTED = 64
ADMIN_SOCKET, STATE_FILE, LOCK_FILE, ROOT_FILE = "admin.sock", "state.json", "lock", "root.json"


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the last ``run`` was told and an answer depends on; answers given in process follow it too."""

    store: str
    channel: str
    host: dict[str, str] = {}
    stale_limit_s: float | None = None


class Pin(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A host rollback in force: host time it began and ends, why, and who asked."""

    since: float
    until: float
    reason: str
    by: str


class Rejection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """Why a release was refused; with `sha256`, these very bytes were, by this version of the sidecar."""

    at: float
    reason: str
    hint: str = ""
    release: int = 0
    revision: str = ""
    sha256: str = ""
    version: str = ""


class State(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What survives a restart. `versions` are the highest of each TUF role, `time_seen` the highest host time."""

    format: int = FORMAT
    settings: Settings
    current: SnapshotRef | None = None
    previous: SnapshotRef | None = None
    pin: Pin | None = None
    rejected: tuple[Rejection, ...] = ()
    highest_release: int = 0
    versions: dict[str, int] = {}
    time_seen: float = 0.0

    @property
    def referenced(self) -> tuple[SnapshotRef, ...]:
        """Return the snapshots that must stay on disk."""
        return tuple(ref for ref in (self.current, self.previous) if ref)


class StateDirectory:
    """Exclusive owner of a state directory from `open` to `close`."""

    def __init__(self, path: Path, lock: int, state: State, trusted_root: bytes) -> None:
        self.path = path
        self.snapshots = SnapshotFolder(path / "snapshots")
        self.trusted_root = trusted_root
        self.state = state
        self._lock = lock

    @classmethod
    def open(cls, path: Path, *, settings: Settings, trusted_root: bytes) -> "StateDirectory":
        """Lock the directory (created if missing) and read its state.

        Raises ConflictError if another sidecar holds it, UsageError if it is open to others or belongs to another
        channel, StateError if its state cannot be read or the disk refuses.
        """
        make_directory(path)
        if path.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise UsageError(f"{path}: other users can write to it (expected mode 0700)", hint=f"chmod 700 {path}")
        lock = _take_lock(path)
        try:
            state = read_state(path)
            if state is None:
                state = State(settings=settings)
            _check_channel(path, state, settings)
            directory = cls(path, lock, state, trusted_root)
            directory._discard_temporaries()
            write_file(path / ROOT_FILE, trusted_root)
            directory.save(msgspec.structs.replace(state, settings=settings))
        except BaseException:
            os.close(lock)
            raise
        return directory

    def save(self, state: State) -> None:
        """Make a new state durable; only then is it `state`. Raises StateError, and the old one stays."""
        write_file(self.path / STATE_FILE, msgspec.json.format(msgspec.json.encode(state), indent=2))
        self.state = state

    def close(self) -> None:
        """Release the lock."""
        os.close(self._lock)

    def _discard_temporaries(self) -> None:
        for left in (*self.path.glob(f"{TEMPORARY}*"), *self.path.glob(f"snapshots/*/{TEMPORARY}*")):
            left.unlink(missing_ok=True)


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
        return read_file(path / ROOT_FILE, max_bytes=1 << 20)
    except FileNotFoundError as error:
        raise UsageError(
            f"{path}: is not the state directory of a sidecar", hint="writ-sidecar run --state makes one"
        ) from error


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
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    return lock
