"""What polls cost a host: requests, bytes on the wire both ways, and CPU; and what verification adds to a start.

The store is an S3 server in this process, behind a relay that counts bytes. CPU is that of the polling thread alone.
"""

import contextlib
import os
import socket
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from agent_sidecar.activation import prepare
from agent_sidecar.enforcement import Enforcement
from agent_sidecar.history import History
from agent_sidecar.host_clock import HostClock
from agent_sidecar.state import Settings, StateDirectory
from agent_sidecar.updating import Outcome, Updater
from benchmarks.measuring import table
from benchmarks.sidecar import World, s3_or_file
from benchmarks.workload import documents
from bundle_store.client import TrustedClient
from bundle_store.opening import open_reader
from bundle_store.port import Store, StoredObject

SIZES = (20, 10_000)
ROUNDS = 100
STARTS = 5


def run() -> None:
    """Print a row for each kind of poll, and the parts of a start from disk."""
    polls, starts = [], []
    for size in SIZES:
        with tempfile.TemporaryDirectory(prefix="writ-bench-") as folder, s3_or_file("s3", Path(folder)) as world:
            world.commit(documents(size))
            world.writ("keys", "init", "--dev")
            world.writ("publish")
            host = Host(world, Relay(os.environ["AWS_ENDPOINT_URL"]))
            polls += [(f"{size:,}", *row) for row in host.polls()]
            starts.append((f"{size:,}", *host.start_ms()))
    table("Polls of an S3 store", ("rules", "poll", "requests", "bytes up", "bytes down", "CPU ms"), polls)
    table("Start from disk, without network (ms)", ("rules", "verify", "load and self-test"), starts)


class Relay:
    """Passes connections on to a server, and counts the bytes that go up and down."""

    def __init__(self, endpoint: str) -> None:
        self.up = self.down = 0
        parts = urlsplit(endpoint)
        self._target = (parts.hostname, parts.port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            near, _ = self._listener.accept()
            far = socket.create_connection(self._target)
            threading.Thread(target=self._pass_on, args=(near, far, "up"), daemon=True).start()
            threading.Thread(target=self._pass_on, args=(far, near, "down"), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket, way: str) -> None:
        with contextlib.suppress(OSError):  # the other direction has ended
            while data := source.recv(65_536):
                setattr(self, way, getattr(self, way) + len(data))
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)


class Counting:
    """A store that counts its requests."""

    def __init__(self, inner: Store) -> None:
        self.url, self.requests, self._inner = inner.url, 0, inner

    def get(self, name: str, *, max_bytes: int, unless_etag: str = "") -> StoredObject | None:
        """Pass a read on."""
        self.requests += 1
        return self._inner.get(name, max_bytes=max_bytes, unless_etag=unless_etag)


class Host:
    """A sidecar's polling, in this process."""

    def __init__(self, world: World, relay: Relay) -> None:
        self._world, self._relay, self._seconds = world, relay, 0.0
        os.environ["AWS_ENDPOINT_URL"] = relay.endpoint
        self._store = Counting(open_reader(world.url))
        root = (world.repository / "trust/root.json").read_bytes()
        state = world.folder / "state"
        self._directory = StateDirectory.open(
            state, settings=Settings(store=world.url, channel="prod"), trusted_root=root
        )
        clock, history = HostClock(), History(state)
        enforcement = Enforcement(self._directory, clock=clock, history=history, min_release=0, max_pin_s=3600.0)
        self._updater = Updater(
            store=self._store,
            client=TrustedClient(self._store, trusted_root=root, channel="prod", cache=state / "tuf"),
            snapshots=self._directory.snapshots,
            enforcement=enforcement,
            clock=clock,
            history=history,
            monotonic=lambda: self._seconds,
        )

    def polls(self) -> list[tuple[object, ...]]:
        """Return a row for each kind of poll."""
        return [
            self._row("first", Outcome.ACTIVATED),
            self._row("nothing new", Outcome.UNCHANGED, rounds=ROUNDS),
            self._row("root probe", Outcome.UNCHANGED, before=self._wait, rounds=ROUNDS),
            self._row("timestamp refreshed", Outcome.UNCHANGED, before=self._refresh, rounds=3),
            self._row("a release", Outcome.ACTIVATED, before=self._publish),
            self._row("a release of bytes on disk", Outcome.ACTIVATED, before=self._roll_back),
        ]

    def start_ms(self) -> tuple[float, float]:
        """Return how long verifying the snapshot in force takes, and loading it after that; the best of some."""
        directory, ref = self._directory, self._directory.state.current
        if ref is None:
            raise SystemExit("nothing was activated")
        verifying, loading = [], []
        for _ in range(STARTS):
            started = time.perf_counter()
            snapshot = directory.snapshots.load(ref, trusted_root=directory.trusted_root, channel="prod")
            verified = time.perf_counter()
            prepare(snapshot.blob, snapshot.release, host={}, now=time.time())
            verifying.append((verified - started) * 1e3)
            loading.append((time.perf_counter() - verified) * 1e3)
        return min(verifying), min(loading)

    def _row(
        self, kind: str, expected: Outcome, *, before: Callable[[], None] = lambda: None, rounds: int = 1
    ) -> tuple[object, ...]:
        found = []
        for _ in range(rounds):
            before()
            self._relay.up = self._relay.down = self._store.requests = 0
            started = time.thread_time()
            outcome = self._updater.poll()
            cpu_ms = (time.thread_time() - started) * 1e3
            if outcome is not expected:
                raise SystemExit(f"{kind}: the poll ended {outcome}")
            found.append((self._store.requests, self._relay.up, self._relay.down, cpu_ms))
        requests, up, down, _ = found[-1]
        return kind, requests, up, down, statistics.median(each[3] for each in found)

    def _wait(self) -> None:
        self._seconds += 3600.0

    def _refresh(self) -> None:
        self._world.writ("refresh")

    def _publish(self) -> None:
        self._world.commit(
            {"policies/extra.yaml": b"version: v1\nrules:\n  - {id: x, decision: deny, match: {topics: [x]}}\n"}
        )
        self._world.writ("publish")

    def _roll_back(self) -> None:
        self._world.writ("rollback", "--channel", "prod", "--reason", "bench")


if __name__ == "__main__":
    run()
