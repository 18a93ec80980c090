"""The one way to read what a store says: a full TUF update, verified from the trust root down.

python-tuf's client keeps the versions it has seen in the cache directory and refuses lower ones, expired metadata and
anything not signed by enough keys. The files it accepted are then verified a second time as a chain, because the chain
is what a host keeps beside the bundle and starts from without network.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from tuf.api import exceptions as tuf_errors
from tuf.api.metadata import Root, TargetFile
from tuf.api.serialization import DeserializationError
from tuf.ngclient import FetcherInterface, Updater, UpdaterConfig

from bundle_store.port import ObjectNotFoundError, ObjectTooLargeError, Store, StoredObject, StoreUnavailableError
from policy_core.errors import RemoteError
from policy_core.trust import layout
from policy_core.trust.chain import MetadataChain, VerifiedRelease, decode, verify_chain
from policy_core.trust.errors import ExpiredError, MetadataError, RollbackError
from policy_core.trust.release import Release


class CacheError(RemoteError):
    """The client's cache directory cannot be used, so nothing can be fetched."""

    default_hint = "the cache directory must be writable, on a disk with space"


class TrustedClient:
    """Reads one channel of one store; `cache` is a directory of its own, whose content survives between uses.

    The cache holds the highest versions seen: without it, an old but unexpired state of the store is accepted.
    """

    def __init__(self, store: Store, *, trusted_root: bytes, channel: str, cache: Path) -> None:
        self._store = store
        self._trusted_root = trusted_root
        self._channel = layout.check_channel(channel)
        self._cache = cache

    def refresh(self, *, timestamp: StoredObject | None = None) -> tuple[MetadataChain, VerifiedRelease]:
        """Update from the store and return the chain of metadata now in force, with what it says.

        A `timestamp` that was read a moment ago is verified like any other, and not read again. Raises MetadataError,
        RollbackError, ExpiredError, RemoteError.
        """
        store = _Polled(self._store, timestamp) if timestamp else self._store
        with updating(store, "metadata/", trusted_root=self._trusted_root, cache=self._cache) as updater:
            updater.refresh()
            for role in (self._channel, layout.oncall_role(self._channel)):
                updater.get_targetinfo(f"{role}/any")  # loads the role, if it is delegated, whatever it lists
            chain = self._read_chain()
        verified = verify_chain(chain, trusted_root=self._trusted_root, channel=self._channel)
        return chain, verified

    def download(self, release: Release) -> bytes:
        """Return the bundle of a verified release, its length and digest checked.

        Raises MetadataError if the bytes are not the signed ones, RemoteError.
        """
        name = layout.target_object(release.channel, release.name, release.sha256)
        return read_target(self._store, name, release.target())

    def _read_chain(self) -> MetadataChain:
        """Read the files the Updater has just accepted; it keeps every root it has seen under its version."""
        newest = decode(self._file("root"), Root, limit=layout.MAX_ROOT_BYTES).signed.version
        first = decode(self._trusted_root, Root, limit=layout.MAX_ROOT_BYTES).signed.version
        return MetadataChain(
            roots=tuple(self._file(f"root_history/{version}.root") for version in range(first + 1, newest + 1)),
            timestamp=self._file("timestamp"),
            snapshot=self._file("snapshot"),
            targets=self._file("targets"),
            channel=self._file_if_any(self._channel),
            oncall=self._file_if_any(layout.oncall_role(self._channel)),
        )

    def _file(self, name: str) -> bytes:
        return (self._cache / f"{name}.json").read_bytes()

    def _file_if_any(self, role: str) -> bytes:
        """Return the file of a role; empty if it is not delegated, about which verifying the chain says more."""
        try:
            return self._file(role)
        except FileNotFoundError:
            return b""


@contextlib.contextmanager
def updating(store: Store, folder: str, *, trusted_root: bytes, cache: Path) -> Iterator[Updater]:
    """Yield python-tuf's client of the repository whose metadata lies in `folder` of a store, as every host uses it.

    Nobody else uses `cache` meanwhile, and what the library raises in the block becomes MetadataError, RollbackError,
    ExpiredError, CacheError or another RemoteError.
    """
    fetcher = _StoreFetcher(store)
    with _locked(cache), _converting(fetcher, store, cache):
        yield Updater(
            metadata_dir=str(cache),
            metadata_base_url=folder,  # the fetcher takes object names for URLs
            fetcher=fetcher,
            config=_CONFIG,
            bootstrap=trusted_root,
        )


def read_signed(store: Store, name: str, *, max_bytes: int) -> StoredObject:
    """Return an object that signed metadata gives a length for, its content still unverified.

    Raises MetadataError if it is longer than `max_bytes`, RemoteError.
    """
    try:
        stored = store.get(name, max_bytes=max_bytes)
    except ObjectTooLargeError as error:
        raise MetadataError(error.message) from error
    if stored is None:
        raise StoreUnavailableError(f"{store.url}: {name}: answered 'not modified' to an unconditional request")
    return stored


def read_target(store: Store, name: str, target: TargetFile) -> bytes:
    """Return the bytes of a verified target, their length and digests checked.

    Raises MetadataError if they are not the signed ones, RemoteError.
    """
    body = read_signed(store, name, max_bytes=target.length).body
    if len(body) != target.length:
        raise MetadataError(f"{store.url}: {name}: {len(body)} bytes (expected {target.length})")
    try:
        target.verify_length_and_hashes(body)
    except tuf_errors.LengthOrHashMismatchError as error:
        raise MetadataError(f"{store.url}: {name}: content does not have the signed digest") from error
    return body


@contextlib.contextmanager
def _locked(cache: Path) -> Iterator[None]:
    """Keep other users of the cache out: two Updaters in one directory damage each other's files."""
    try:
        cache.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(cache / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise CacheError(f"{cache}: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)  # held for one update, whose requests all have timeouts
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _converting(fetcher: "_StoreFetcher", store: Store, cache: Path) -> Iterator[None]:
    try:
        yield
    except tuf_errors.DownloadError as error:
        cause = error.__cause__
        if isinstance(cause, ObjectNotFoundError) and layout.TIMESTAMP in cause.message:
            cause.hint = "nothing was ever published here: check the store's address, or run `writ keys init`"
        if isinstance(cause, RemoteError | MetadataError):
            raise cause from None
        raise MetadataError(f"{store.url}: {_one_line(error)}") from error
    except tuf_errors.ExpiredMetadataError as error:
        raise ExpiredError(f"{store.url}: {_one_line(error)}") from error
    except tuf_errors.BadVersionNumberError as error:
        raise RollbackError(f"{store.url}: {_one_line(error)}") from error
    except (tuf_errors.LengthOrHashMismatchError, DeserializationError) as error:  # which do not say of what
        raise MetadataError(f"{store.url}: {fetcher.newest}: {_one_line(error)}") from error
    except tuf_errors.RepositoryError as error:
        raise MetadataError(f"{store.url}: {_one_line(error)}") from error
    except OSError as error:
        raise CacheError(f"{cache}: {error.strerror or error}") from error


class _Polled:
    """A store whose timestamp is at hand. A newer root may have other keys for it: then it is read after that root."""

    def __init__(self, store: Store, timestamp: StoredObject) -> None:
        self.url = store.url
        self._store = store
        self._timestamp: StoredObject | None = timestamp

    def get(self, name: str, *, max_bytes: int, unless_etag: str = "") -> StoredObject | None:
        if name == layout.TIMESTAMP and self._timestamp:
            return self._timestamp
        found = self._store.get(name, max_bytes=max_bytes, unless_etag=unless_etag)
        if name.endswith(".root.json"):
            self._timestamp = None
        return found


class _StoreFetcher(FetcherInterface):
    """Lets the Updater read from a store. A forbidden root is an error here, not the end of the roots.

    The library takes 403 for "no newer root", with which a denied reader would hold on to revoked keys. `newest` is the
    name of the object that was read last.
    """

    def __init__(self, store: Store) -> None:
        self.newest = ""
        self._store = store

    def _fetch(self, url: str) -> Iterator[bytes]:
        self.newest = url
        try:
            return iter((read_signed(self._store, url, max_bytes=layout.MAX_TARGETS_BYTES).body,))
        except ObjectNotFoundError as error:
            raise tuf_errors.DownloadHTTPError(error.message, 404) from error


_CONFIG = UpdaterConfig(
    max_root_rotations=layout.MAX_ROOT_ROTATIONS,
    root_max_length=layout.MAX_ROOT_BYTES,
    timestamp_max_length=layout.MAX_TIMESTAMP_BYTES,
    snapshot_max_length=layout.MAX_SNAPSHOT_BYTES,
    targets_max_length=layout.MAX_TARGETS_BYTES,
)


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text[:1].lower() + text[1:]
