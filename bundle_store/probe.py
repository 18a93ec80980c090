"""Does this store honour conditional writes? Some servers ignore the headers, and then every race would lose updates.

The probe writes one fixed object (once) and then tries two writes that must both be refused. A publisher probes before
each publish: a proxy or another server may have come between since the last one.
"""

from bundle_store.port import STALE_ETAG, PreconditionFailedError, WritableStore
from policy_core.errors import RemoteError

PROBE_OBJECT = "probe/conditional-writes"
PROBE_BODY = b"writ: this object must never change\n"


class UnsafeStoreError(RemoteError):
    """The store ignores conditional writes: publishers would silently undo each other."""

    default_hint = "use a server with If-Match and If-None-Match on PutObject, and no proxy that strips headers"


def probe_conditional_writes(store: WritableStore) -> None:
    """Return if the store refuses both conditional rewrites; raises UnsafeStoreError, or what `put` raises."""
    if not _refuses(store, if_etag=None) and not _refuses(store, if_etag=None):  # the very first write creates it
        raise UnsafeStoreError(f"{store.url}: ignores If-None-Match on writes")
    if not _refuses(store, if_etag=STALE_ETAG):
        raise UnsafeStoreError(f"{store.url}: ignores If-Match on writes")


def _refuses(store: WritableStore, *, if_etag: str | None) -> bool:
    try:
        store.put(PROBE_OBJECT, PROBE_BODY, if_etag=if_etag)
    except PreconditionFailedError:
        return True
    return False
