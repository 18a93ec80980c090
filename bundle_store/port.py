"""The store port: named immutable objects, one mutable one, conditional writes.

Object names are relative POSIX paths such as ``metadata/timestamp.json``. Every implementation has the semantics of S3
conditional requests, so that the commit point of a publish is one compare-and-swap wherever it lives.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from policy_core.errors import ConflictError, InvalidError, RemoteError

STALE_ETAG = '"00000000000000000000000000000000"'
"""An ETag that no version of any object has, however it is spelled: a write on that condition is to be refused."""


class ObjectNotFoundError(RemoteError):
    """The store answered, and the object is not there."""


class StoreDeniedError(RemoteError):
    """The store answered, and refuses these credentials (permanent: a person must change something)."""


class StoreUnavailableError(RemoteError):
    """No usable answer: connection, timeout, 5xx (transient; of a write, the outcome is unknown until read back)."""


class PreconditionFailedError(ConflictError):
    """A conditional write lost: the object exists already, or is no longer the one that was read."""


class ObjectTooLargeError(InvalidError):
    """The object is longer than the caller is willing to read."""


@dataclass(frozen=True, slots=True)
class StoredObject:
    """The bytes of an object, the ETag that names this version of it (opaque, compared as is), and what was noted."""

    body: bytes
    etag: str
    notes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ListedObject:
    """An object as a listing shows it."""

    name: str
    size_bytes: int


class Store(Protocol):
    """Read access, all a host needs."""

    @property
    def url(self) -> str:
        """Name the store in messages, without credentials or query."""
        ...

    def get(self, name: str, *, max_bytes: int, unless_etag: str = "") -> StoredObject | None:
        """Return the object, or None if its ETag is still `unless_etag` (one conditional request).

        Raises ObjectNotFoundError, StoreDeniedError, StoreUnavailableError, ObjectTooLargeError.
        """
        ...


class WritableStore(Store, Protocol):
    """What a publisher needs beside reading."""

    def put(self, name: str, body: bytes, *, if_etag: str | None) -> str:
        """Write the object and return its new ETag, only if its ETag is `if_etag` (None: only if it does not exist).

        Raises PreconditionFailedError if the condition does not hold, StoreDeniedError, and StoreUnavailableError if
        the outcome is unknown: read back and compare.
        """
        ...


class RecordsStore(WritableStore, Protocol):
    """What keeps records of hosts: objects that are listed, and carry notes (a few short ASCII values) beside them."""

    def put(self, name: str, body: bytes, *, if_etag: str | None, notes: Mapping[str, str] | None = None) -> str:
        """Write the object with its notes; otherwise as `WritableStore.put`."""
        ...

    def listing(self, start: str = "", *, after: str = "") -> Iterator[ListedObject]:
        """Yield the objects whose names begin with `start` and come behind `after`, in the order of their names.

        Raises StoreDeniedError, StoreUnavailableError, also while it is iterated. What is not there is an empty list.
        Names that `put` would refuse are passed over: somebody else's.
        """
        ...
