"""Writes whose outcome is always known in the end: numbered objects, bundles, and the swap of the timestamp.

A lost answer (409, 5xx, timeout) leaves the outcome of a conditional write open. The object is then read back and
compared, never written again blindly.
"""

import random
import time
from collections.abc import Callable, Iterator

from bundle_store.port import (
    ObjectNotFoundError,
    ObjectTooLargeError,
    PreconditionFailedError,
    StoreUnavailableError,
    WritableStore,
)
from policy_core.errors import ConflictError
from policy_core.trust.layout import MAX_TIMESTAMP_BYTES, TIMESTAMP, metadata_name

WRITE_ATTEMPTS = 3
MAX_ORPHANS = 1000  # consecutive numbers taken by publishers that lost a race or died

_UNKNOWN_HINT = "run the same command again: what was written already is recognised"


MAX_RACES = 8
FIRST_PAUSE_S = 0.05


class RaceLostError(ConflictError):
    """Somebody else committed first: read the new state and start over."""


def attempts(url: str) -> Iterator[int]:
    """Yield once for each attempt at a commit, after a pause that grows and varies if the last one lost its race.

    Raises ConflictError after too many; `url` names the store.
    """
    for attempt in range(MAX_RACES):
        yield attempt
        time.sleep(random.SystemRandom().uniform(0, FIRST_PAUSE_S * 2**attempt))
    raise ConflictError(f"{url}: lost {MAX_RACES} races against other publishers", hint="run the command again")


def put_immutable(store: WritableStore, name: str, body: bytes) -> bool:
    """Write an object that never changes and tell whether it now holds exactly `body`, by whomever.

    Raises StoreUnavailableError if that could not be found out, StoreDeniedError.
    """
    for attempt in range(WRITE_ATTEMPTS):
        try:
            store.put(name, body, if_etag=None)
        except PreconditionFailedError:
            return _holds(store, name, body)
        except StoreUnavailableError as error:
            try:
                return _holds(store, name, body)
            except ObjectNotFoundError:  # not written
                if attempt == WRITE_ATTEMPTS - 1:
                    raise error from None
        else:
            return True
    raise AssertionError  # the loop returns or raises


def put_numbered(store: WritableStore, role: str, first: int, make: Callable[[int], bytes]) -> tuple[int, bytes]:
    """Write metadata under the first free number from `first` on and return number and bytes.

    A number that is taken by other bytes is an orphan: nothing that is live points at it, and nothing ever will.
    Raises as `put_immutable`, and ConflictError after too many orphans.
    """
    for version in range(first, first + MAX_ORPHANS):
        data = make(version)
        if put_immutable(store, metadata_name(role, version), data):
            return version, data
    raise ConflictError(
        f"{store.url}: metadata/*.{role}.json: {MAX_ORPHANS} numbers from {first} on are taken",
        hint="somebody fills the store: check who may write to it",
    )


def swap_timestamp(store: WritableStore, body: bytes, *, etag: str | None) -> None:
    """Make `body` the timestamp if `etag` still names the one in the store (None: there is none). The commit point.

    Raises as `swap`.
    """
    swap(store, TIMESTAMP, body, etag=etag, max_bytes=MAX_TIMESTAMP_BYTES)


def swap(store: WritableStore, name: str, body: bytes, *, etag: str | None, max_bytes: int) -> None:
    """Make `body` the object if `etag` still names the one in the store (None: there is none).

    Raises RaceLostError if another one is there, StoreUnavailableError if the outcome stays unknown.
    """
    for attempt in range(WRITE_ATTEMPTS):
        try:
            store.put(name, body, if_etag=etag)
        except (PreconditionFailedError, StoreUnavailableError) as error:
            found_body, found_etag = _found(store, name, max_bytes)
            if found_body == body:
                return
            if found_etag != etag or isinstance(error, PreconditionFailedError):
                raise RaceLostError(f"{store.url}: somebody else wrote {name} at the same time") from error
            # Still the old one: the same conditional write is safe, even if the first one is still on its way.
            if attempt == WRITE_ATTEMPTS - 1:
                error.hint = _UNKNOWN_HINT
                raise
        else:
            return


def _holds(store: WritableStore, name: str, body: bytes) -> bool:
    try:
        stored = store.get(name, max_bytes=len(body))
    except ObjectTooLargeError:
        return False
    return stored is not None and stored.body == body


def _found(store: WritableStore, name: str, max_bytes: int) -> tuple[bytes | None, str | None]:
    try:
        stored = store.get(name, max_bytes=max_bytes)
    except ObjectNotFoundError:
        return None, None
    except StoreUnavailableError as error:
        error.hint = _UNKNOWN_HINT
        raise
    return (stored.body, stored.etag) if stored else (None, None)
