"""A store in a directory (``file:///dir``), with the same conditional semantics as S3: one machine, or an air gap.

The ETag is the SHA-256 of the content. Writers exclude each other by a lock on ``.lock``; a reader needs none, because
an object appears and changes in one rename. What `put` has returned is on disk. Notes on an object lie in a hidden file
beside it.
"""

import contextlib
import errno
import fcntl
import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from bundle_store.names import check_name, is_name
from bundle_store.port import (
    ListedObject,
    ObjectNotFoundError,
    ObjectTooLargeError,
    PreconditionFailedError,
    StoreDeniedError,
    StoredObject,
    StoreUnavailableError,
)

MAX_OBJECT_BYTES = 2**30  # no object is near it; what is longer is somebody else's
MAX_NOTES_BYTES = 4_096

_FOREIGN_HINT = "somebody else writes to the store's directory: find out who, then remove that object"
_FULL_HINT = "make space where the store lies, then run the same command again"
_HINTS = {
    errno.EROFS: "the store's file system is mounted read-only",
    errno.ENOSPC: _FULL_HINT,
    errno.EDQUOT: _FULL_HINT,
    errno.EFBIG: _FULL_HINT,
    errno.ELOOP: _FOREIGN_HINT,
    errno.ENXIO: _FOREIGN_HINT,
}
"""What a person must change before the same call can succeed."""


class FileStore:
    """A `RecordsStore` below one directory, which the first `put` creates."""

    def __init__(self, root: Path, *, url: str) -> None:
        self.url = url
        self._root = root

    def get(self, name: str, *, max_bytes: int, unless_etag: str = "") -> StoredObject | None:
        """Return the object, or None if its content is still the one `unless_etag` names; raises as `Store.get`."""
        with self._converting(name):
            body = self._read(name, max_bytes)
            notes = self._notes(name)
        etag = _etag(body)
        return None if etag == unless_etag else StoredObject(body=body, etag=etag, notes=notes)

    def listing(self, start: str = "", *, after: str = "") -> Iterator[ListedObject]:
        """Yield objects by name; raises as `RecordsStore.listing`."""
        with self._converting(f"{start}*"):
            for name in sorted(self._names_below(start.rpartition("/")[0])):
                if name.startswith(start) and name > after and is_name(name):  # hidden files are the store's own
                    yield ListedObject(name, (self._root / name).stat().st_size)

    def _names_below(self, folder: str) -> Iterator[str]:
        for path, _, files in os.walk(self._root / folder, onerror=_raise_unless_missing):
            below = Path(path).relative_to(self._root)
            yield from ((below / name).as_posix() for name in files)

    def put(self, name: str, body: bytes, *, if_etag: str | None, notes: Mapping[str, str] | None = None) -> str:
        """Write the object under the condition and return its ETag; raises as `RecordsStore.put`."""
        target = self._root / check_name(name)
        with self._converting(name):
            self._make_folders(target.parent)
            with self._locked():
                self._check_condition(name, if_etag)
                if notes:
                    _replace(_notes_file(target), msgspec.json.encode(notes))
                _replace(target, body)
        return _etag(body)

    def _notes(self, name: str) -> dict[str, str]:
        path = _notes_file(self._root / name)
        try:
            return msgspec.json.decode(self._read_file(path, name, MAX_NOTES_BYTES), type=dict[str, str])
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise StoreDeniedError(f"{self.url}: {name}: its notes are damaged", hint=_FOREIGN_HINT) from error

    def _read(self, name: str, max_bytes: int) -> bytes:
        return self._read_file(self._root / check_name(name), name, max_bytes)

    def _read_file(self, path: Path, name: str, max_bytes: int) -> bytes:
        # Whoever may write here must not be able to stop a reader for good: a pipe would never answer.
        with open(path, "rb", opener=_open_at_once) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise StoreDeniedError(f"{self.url}: {name}: is no regular file", hint=_FOREIGN_HINT)
            body = file.read(max_bytes + 1)
        if len(body) > max_bytes:
            raise ObjectTooLargeError(f"{self.url}: {name} is longer than {max_bytes} bytes")
        return body

    def _check_condition(self, name: str, if_etag: str | None) -> None:
        try:
            current = _etag(self._read(name, MAX_OBJECT_BYTES))
        except FileNotFoundError:
            current = None
        if current != if_etag:
            found = "exists already" if if_etag is None else "changed" if current else "is gone"
            raise PreconditionFailedError(f"{self.url}: {name} {found}")

    def _make_folders(self, folder: Path) -> None:
        if not folder.is_dir():
            self._make_folders(folder.parent)
            folder.mkdir(exist_ok=True)
            sync_folder(folder.parent)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        descriptor = os.open(self._root / ".lock", flags, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def _converting(self, name: str) -> Iterator[None]:
        try:
            yield
        except (FileNotFoundError, IsADirectoryError) as error:
            raise ObjectNotFoundError(f"{self.url}: {name} is not there") from error
        except PermissionError as error:
            raise StoreDeniedError(
                f"{self.url}: {name}: permission denied", hint="check owner and mode of the store's directory"
            ) from error
        except (FileExistsError, NotADirectoryError) as error:
            raise StoreDeniedError(
                f"{self.url}: {name}: {error.filename} is no directory", hint="point the store at a directory"
            ) from error
        except OSError as error:
            message = f"{self.url}: {name}: {error.strerror or error}"
            if error.errno in _HINTS:
                raise StoreDeniedError(message, hint=_HINTS[error.errno]) from error
            raise StoreUnavailableError(message) from error


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)


def _raise_unless_missing(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def _notes_file(target: Path) -> Path:
    return target.with_name(f".notes-{target.name}")


def _etag(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def _replace(target: Path, body: bytes) -> None:
    """Put `body` under its final name, so that a crash leaves the old content or the new, never a part."""
    descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=".new-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), 0o644)  # hosts under other accounts read what a publisher wrote
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(target)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            Path(temporary).unlink()
        raise
    sync_folder(target.parent)


def sync_folder(folder: Path) -> None:
    """Make what was created or renamed in a folder survive a loss of power; raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
