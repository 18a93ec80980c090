"""A host in this process that polls a store: the sidecar's own machinery, real files, a clock the test owns."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from agent_sidecar.activation import Activation
from agent_sidecar.enforcement import Enforcement
from agent_sidecar.fleet import FleetStore
from agent_sidecar.history import History
from agent_sidecar.host_clock import HostClock
from agent_sidecar.memory import HostMemory
from agent_sidecar.state import Settings, StateDirectory
from agent_sidecar.updating import Outcome, Updater
from bundle_store.client import TrustedClient
from bundle_store.opening import open_reader
from bundle_store.port import Store, StoredObject, StoreUnavailableError

REQUEST = {
    "subject": {"type": "user", "id": "ann"},
    "action": {"name": "act.0"},
    "resource": {"type": "service", "id": "web"},
}


class WatchedStore:
    """Passes reads on, remembers which there were, and can be cut off."""

    def __init__(self, inner: Store) -> None:
        self.url = inner.url
        self.reads: list[str] = []
        self.is_down = False
        self._inner = inner

    def get(self, name: str, *, max_bytes: int, unless_etag: str = "") -> StoredObject | None:
        self.reads.append(name)
        if self.is_down:
            raise StoreUnavailableError("store: cut off")
        return self._inner.get(name, max_bytes=max_bytes, unless_etag=unless_etag)


class Served(Protocol):
    """Where a store is, and the trust root a host is given for it."""

    url: str
    root: bytes


class Host:
    """One state directory; `start` is a new process on it."""

    def __init__(self, path: Path, store: Served, **settings: Any) -> None:
        self.path = path
        self.store = WatchedStore(open_reader(store.url))
        self.settings = Settings(store=store.url, channel="prod", **settings)
        self.trusted_root = store.root
        self.now: float | None = None
        self.seconds = 0.0
        self.directory: StateDirectory | None = None
        self.wait_for_requests: Callable[[], bool] = lambda: True
        self.rehearse: Callable[[bytes], None] = lambda blob: None  # noqa: ARG005

    def start(self, *, min_release: int = 0, max_pin_s: float = 3600.0) -> "Host":
        self.stop()
        self.directory = StateDirectory.open(self.path, settings=self.settings, trusted_root=self.trusted_root)
        self.clock = HostClock(clock=lambda: time.time() if self.now is None else self.now)
        self.history = History(self.path)
        self.enforcement = Enforcement(
            self.directory, clock=self.clock, history=self.history, min_release=min_release, max_pin_s=max_pin_s
        )
        client = TrustedClient(self.store, trusted_root=self.trusted_root, channel="prod", cache=self.path / "tuf")
        self.updater = Updater(
            store=self.store,
            client=client,
            snapshots=self.directory.snapshots,
            enforcement=self.enforcement,
            clock=self.clock,
            history=self.history,
            min_release=min_release,
            monotonic=lambda: self.seconds,
            wait_for_requests=self.wait_for_requests,
            rehearse=self._rehearse,
        )
        self.updater.start()
        return self

    def _rehearse(self, blob: bytes) -> None:
        self.rehearse(blob)

    def stop(self) -> None:
        if self.directory:
            self.directory.close()
        self.directory = None

    def poll(self, **options: Any) -> Outcome:
        """Poll once; `self.store.reads` then holds just the reads of this poll."""
        self.store.reads.clear()
        return self.updater.poll(**options)

    def new_memory(self, fleet: FleetStore | None = None) -> HostMemory:
        """Return what a process on this state directory remembers."""
        return HostMemory(self.path, host_id="host-1", clock=self.clock, fleet=fleet)

    @property
    def release(self) -> int:
        """Return the release requests are answered from, 0 if none."""
        active = self.enforcement.active
        return active.policy.release if isinstance(active, Activation) else 0

    def decide(self, action: str = "act.0") -> str:
        request = {**REQUEST, "action": {"name": action}}
        return str(self.enforcement.active.answer(request, now=self.clock(), decision_id="").decision)

    def events(self, kind: str = "") -> list[Any]:
        return [event for event in self.history.last(1000) if kind in ("", event.event)]
