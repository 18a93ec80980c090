"""Files that are either the old or the new version after a crash, and never lost once a call has returned."""

import os
import secrets
import stat
from pathlib import Path

from policy_core.errors import InvalidError

TEMPORARY = ".tmp-"
"""Prefix of files an interrupted write leaves behind; nothing ever reads them."""


class StateError(InvalidError):
    """The state directory cannot be read or written, or holds something a sidecar did not write."""


def write_file(path: Path, content: bytes, *, mode: int = 0o600, group_reads: bool = False) -> None:
    """Replace the file with `content`: temporary file beside it, fsync, rename, fsync of the directory.

    With `group_reads` its group may read it, whatever the umask says. Raises StateError if the disk refuses.
    """
    temporary = path.with_name(f"{TEMPORARY}{secrets.token_hex(8)}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        try:
            with os.fdopen(descriptor, "wb") as file:
                if group_reads:
                    os.fchmod(descriptor, mode | stat.S_IRGRP)
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
        sync_directory(path.parent)
    except OSError as error:
        raise StateError(f"{path}: cannot be written: {error.strerror}", hint=_room(error)) from error


def append_line(path: Path, line: bytes) -> None:
    """Append a line and fsync. A torn last line, left by a crash, is ended first so that it spoils nothing else.

    Raises StateError if the disk refuses.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "rb+") as file:
            length = file.seek(0, os.SEEK_END)
            torn = length > 0 and os.pread(file.fileno(), 1, length - 1) != b"\n"
            file.write((b"\n" if torn else b"") + line + b"\n")
            file.flush()
            os.fsync(file.fileno())
        if length == 0:
            sync_directory(path.parent)
    except OSError as error:
        raise StateError(f"{path}: cannot be written: {error.strerror}", hint=_room(error)) from error


def make_directory(path: Path, *, group_reads: bool = False) -> None:
    """Create a private directory that survives a crash, if it does not exist; `group_reads` opens it to its group.

    Raises StateError.
    """
    try:
        if not path.is_dir():
            path.mkdir(mode=0o700, parents=True)
            sync_directory(path.parent)
        if group_reads:
            mode = stat.S_IMODE(path.stat().st_mode)
            if mode != (wanted := mode | stat.S_IRGRP | stat.S_IXGRP):  # a service may not set 2750
                path.chmod(wanted)
    except OSError as error:
        raise StateError(f"{path}: cannot be created: {error.strerror}", hint=_room(error)) from error


def sync_directory(path: Path) -> None:
    """Make renames in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_file(path: Path, *, max_bytes: int) -> bytes:
    """Return the content of a file of at most `max_bytes`. Raises FileNotFoundError, and StateError for all else."""
    try:
        # whoever may put something else there must not be able to stop a start for good: a pipe would never answer
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise StateError(f"{path}: is no regular file")
            content = file.read(max_bytes + 1)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise StateError(f"{path}: cannot be read: {error.strerror}") from error
    if len(content) > max_bytes:
        raise StateError(f"{path}: too large (expected at most {max_bytes} bytes)")
    return content


def _room(error: OSError) -> str:
    return "the disk or its quota is full" if error.errno in _FULL else "the sidecar must own its state directory"


_FULL = frozenset({28, 122})  # ENOSPC, EDQUOT
