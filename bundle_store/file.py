"""A store in a directory (``file:///dir``), with the same conditional semantics as S3: one machine, or an air gap.

The ETag is the SHA-256 of the content. Writers exclude each other by a lock on ``.lock``; a reader needs none, because
an object appears and changes in one rename. What `put` has returned is on disk.
"""

import contextlib
import fcntl
import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bundle_store.names import check_name
from bundle_store.port import (
    ObjectNotFoundError,
    ObjectTooLargeError,
    PreconditionFailedError,
    StoreDeniedError,
    StoredObject,
    StoreUnavailableError,
)


class FileStore:
    """A `WritableStore` below one directory, which the first `put` creates."""

    def __init__(self, root: Path, *, url: str) -> None:
        self.url = url
        self._root = root

    def get(self, name: str, *, max_bytes: int, unless_etag: str = "") -> StoredObject | None:
        """Return the object, or None if its content is still the one `unless_etag` names; raises as `Store.get`."""
        with self._converting(name):
            body = self._read(name, max_bytes)
        etag = _etag(body)
        return None if etag == unless_etag else StoredObject(body=body, etag=etag)

    def put(self, name: str, body: bytes, *, if_etag: str | None) -> str:
        """Write the object under the condition and return its ETag; raises as `WritableStore.put`."""
        target = self._root / check_name(name)
        with self._converting(name):
            self._make_folders(target.parent)
            with self._locked():
                self._check_condition(name, target, if_etag)
                _replace(target, body)
        return _etag(body)

    def _read(self, name: str, max_bytes: int) -> bytes:
        with (self._root / check_name(name)).open("rb") as file:
            body = file.read(max_bytes + 1)
        if len(body) > max_bytes:
            raise ObjectTooLargeError(f"{self.url}: {name} is longer than {max_bytes} bytes")
        return body

    def _check_condition(self, name: str, target: Path, if_etag: str | None) -> None:
        try:
            current = _etag(target.read_bytes())
        except FileNotFoundError:
            current = None
        if current != if_etag:
            found = "exists already" if if_etag is None else "changed" if current else "is gone"
            raise PreconditionFailedError(f"{self.url}: {name} {found}")

    def _make_folders(self, folder: Path) -> None:
        if not folder.is_dir():
            self._make_folders(folder.parent)
            folder.mkdir(exist_ok=True)
            _sync_folder(folder.parent)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        descriptor = os.open(self._root / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
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
            raise StoreUnavailableError(f"{self.url}: {name}: {error.strerror or error}") from error


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
    _sync_folder(target.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
