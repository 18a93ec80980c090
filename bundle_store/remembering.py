"""A store as one command sees it: what was read or written once is not asked for again.

Everything but the timestamp is immutable under its name, so its bytes can be kept; whoever uses them verifies them all
the same. The timestamp, and that there is no newer root, are kept until a write fails: then somebody else has been
there. Until then a command works on one state, and the condition on its last write says whether that was still live.
"""

from bundle_store.names import may_change
from bundle_store.port import ObjectNotFoundError, ObjectTooLargeError, StoredObject, WritableStore
from bundle_store.probe import PROBE_OBJECT
from policy_core.errors import KnownError
from policy_core.trust.layout import TIMESTAMP


class RememberingStore:
    """A `WritableStore` in front of another one, for as long as one command runs."""

    def __init__(self, store: WritableStore) -> None:
        self.url = store.url
        self._store = store
        self._known: dict[str, StoredObject] = {}
        self._absent: dict[str, ObjectNotFoundError] = {}

    def get(self, name: str, *, max_bytes: int, unless_etag: str = "") -> StoredObject | None:
        """Return the object, from memory if it is there; raises as `Store.get`."""
        if name in self._absent:
            raise self._absent[name]
        if name in self._known:
            return self._remembered(name, max_bytes, unless_etag)
        try:
            found = self._store.get(name, max_bytes=max_bytes, unless_etag=unless_etag)
        except ObjectNotFoundError as error:
            if name.endswith(".root.json"):
                self._absent[name] = error
            raise
        if found is not None:
            self._remember(name, found)
        return found

    def put(self, name: str, body: bytes, *, if_etag: str | None) -> str:
        """Write the object and remember it; raises as `WritableStore.put`."""
        try:
            etag = self._store.put(name, body, if_etag=if_etag)
        except KnownError:
            if name != PROBE_OBJECT:  # which is refused on purpose
                self._known.pop(TIMESTAMP, None)
                self._absent.clear()
            raise
        self._absent.pop(name, None)
        self._remember(name, StoredObject(body, etag))
        return etag

    def _remember(self, name: str, found: StoredObject) -> None:
        if name == TIMESTAMP or not may_change(name):
            self._known[name] = found

    def _remembered(self, name: str, max_bytes: int, unless_etag: str) -> StoredObject | None:
        known = self._known[name]
        if unless_etag and known.etag == unless_etag:
            return None
        if len(known.body) > max_bytes:
            raise ObjectTooLargeError(f"{self.url}: {name} is longer than {max_bytes} bytes")
        return known
