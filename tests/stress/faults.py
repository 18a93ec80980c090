"""What may happen at a request to a store, as the publisher sees it."""

import os
import signal
from collections.abc import Callable
from typing import TypeVar

from bundle_store.port import PreconditionFailedError, StoredObject, StoreUnavailableError, WritableStore

Answer = TypeVar("Answer")


def _killed(request: Callable[[], object]) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _killed_after(request: Callable[[], object]) -> None:
    request()
    _killed(request)


def _unknown(request: Callable[[], object]) -> None:
    raise StoreUnavailableError("500")


def _lost(request: Callable[[], object]) -> None:
    request()
    raise StoreUnavailableError("no answer")


def _refused(request: Callable[[], object]) -> None:
    raise PreconditionFailedError("412")


def _repeated(request: Callable[[], object]) -> None:
    request()
    raise PreconditionFailedError("412")


FAULTS: dict[str, Callable[[Callable[[], object]], None]] = {
    "killed": _killed,  # before the request
    "killed-after": _killed_after,
    "unknown": _unknown,  # 409, 500, 503, timeout: not applied
    "lost": _lost,  # the same, but applied
    "refused": _refused,  # 412, without a reason
    "repeated": _repeated,  # 412, because somebody on the way sent an applied write again
}


class FaultyStore:
    """A store with a fault at the request number `at`, and a count of all; 0 is never."""

    def __init__(self, store: WritableStore, fault: str = "", at: int = 0) -> None:
        self.url = store.url
        self.requests: list[str] = []
        self._store = store
        self._fault = fault
        self._at = at

    def get(self, name: str, *, max_bytes: int, unless_etag: str = "") -> StoredObject | None:
        return self._request(f"get {name}", lambda: self._store.get(name, max_bytes=max_bytes, unless_etag=unless_etag))

    def put(self, name: str, body: bytes, *, if_etag: str | None) -> str:
        return self._request(f"put {name}", lambda: self._store.put(name, body, if_etag=if_etag))

    def _request(self, what: str, request: Callable[[], Answer]) -> Answer:
        self.requests.append(what)
        if len(self.requests) == self._at:
            FAULTS[self._fault](request)
        return request()
