"""Objects that are written once, by one host, under a name of their own: delivered when they were read back.

May be done again after any failure, by whoever does not know how it ended: there is one object in the end, or an error
says that something else has its name. So it needs no store that honours conditions, and `PutObject` and `GetObject` are
enough.
"""

from collections.abc import Callable, Mapping

from bundle_store.port import (
    ObjectNotFoundError,
    PreconditionFailedError,
    RecordsStore,
    StoreDeniedError,
    StoreUnavailableError,
)
from policy_core.errors import ConflictError, InvalidError


class DifferentObjectError(ConflictError):
    """The name is taken by other content: somebody else writes there, or changed it (permanent)."""

    default_hint = "find out who wrote it; what this host has is kept"


def deliver(
    store: RecordsStore,
    name: str,
    body: bytes,
    *,
    notes: Mapping[str, str] | None = None,
    content: Callable[[bytes], bytes] = bytes,
) -> None:
    """Write an object unless it is there, read it back, and return if it has the same `content` as `body`.

    `content` undoes what may differ from one writer to another, such as compression, and raises InvalidError for what
    cannot be ours. Raises DifferentObjectError, StoreDeniedError, and StoreUnavailableError: try again.
    """
    unknown: StoreUnavailableError | None = None
    try:
        store.put(name, body, if_etag=None, notes=notes)
    except PreconditionFailedError:
        pass  # it is there, from an attempt whose end was not seen, or from somebody else
    except StoreUnavailableError as error:
        unknown = error
    try:
        found = store.get(name, max_bytes=2 * len(body) + 1_024)
        same = found is not None and (found.body == body or content(found.body) == content(body))
    except ObjectNotFoundError as error:
        raise unknown or StoreUnavailableError(f"{store.url}: {name}: was written, and is not there") from error
    except StoreDeniedError as error:
        raise unknown or error from error  # to who may not list, S3 says so of what is missing
    except InvalidError:  # too large is among them
        same = False
    if not same:
        raise DifferentObjectError(f"{store.url}: {name}: is there with other content")
