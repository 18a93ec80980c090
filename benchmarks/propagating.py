"""From publishing to the last of many hosts enforcing, and what polling costs the store: simulated hosts, real polls.

Each host is the sidecar's own updater, with a state directory and a TUF client of its own, over a real store in a
directory. Simulated are the clock and that there is one process: polls happen one after the other, each at its moment
of simulated time, and what it took is added to that moment. Not simulated are a network, and the rehearsal of a release
in a process of its own, which is measured once and added.
"""

import heapq
import itertools
import os
import random
import tempfile
import time
from pathlib import Path

from agent_sidecar.enforcement import Enforcement
from agent_sidecar.history import History
from agent_sidecar.host_clock import HostClock
from agent_sidecar.logs import configure
from agent_sidecar.polling import JITTER, backoff_s
from agent_sidecar.rehearsal.rehearsing import Rehearsal
from agent_sidecar.state import Settings, StateDirectory
from agent_sidecar.updating import Outcome, Updater
from benchmarks.measuring import percentile, table
from benchmarks.sidecar import World, s3_or_file
from benchmarks.workload import documents
from bundle_store.client import TrustedClient
from bundle_store.opening import open_reader
from bundle_store.port import Store, StoredObject

HOSTS = int(os.environ.get("PROPAGATING_HOSTS", "1000"))
RULES, RELEASES, POLL_S, APART_S = 20, 3, 30.0, 200.0


def run() -> None:
    """Print how long releases take to reach all hosts, and the requests of each."""
    configure(level="error")
    with tempfile.TemporaryDirectory(prefix="writ-") as folder, s3_or_file("file", Path(folder)) as world:
        world.commit(documents(RULES))
        world.writ("keys", "init", "--dev")
        world.writ("publish")
        rehearsed_s = _rehearsed_s(world)
        fleet = _Fleet(world)
        rows = []
        for number in range(2, RELEASES + 2):
            before = fleet.reads
            fleet.poll_until(fleet.now + APART_S / 2)
            quiet = (fleet.reads - before) / HOSTS * 3600 / (APART_S / 2)
            extra = b"version: v1\nrules:\n  - {id: x%d, decision: deny, match: {topics: [x]}}\n" % number
            world.commit({"policies/extra.yaml": extra})
            world.writ("publish")
            published, before = fleet.now, fleet.reads
            fleet.poll_until(published + APART_S / 2)
            times = sorted(at - published + rehearsed_s for at in fleet.enforced_at(number))
            parts = (percentile(times, part) for part in (0.5, 0.99))
            cost = (fleet.reads - before) / HOSTS - quiet * APART_S / 2 / 3600
            rows.append((number, f"{HOSTS:,}", *parts, times[-1], quiet, cost))
    table(
        f"From publish to enforced, polling every {POLL_S:.0f} s (s)",
        ("release", "hosts", "p50", "p99", "last", "requests a host and hour at rest", "more for the release"),
        rows,
    )


def _rehearsed_s(world: World) -> float:
    blob = next((world.folder / "store/targets").rglob("*.tar.gz")).read_bytes()
    began = time.perf_counter()
    Rehearsal()(blob)
    return time.perf_counter() - began


class _Fleet:
    """All hosts, and the clock they share; `reads` are requests to the store."""

    def __init__(self, world: World) -> None:
        self.now = time.time()
        self.reads = 0
        self._draw = random.Random(1)
        self._order = itertools.count()
        self._hosts = [_Host(self, world, number) for number in range(HOSTS)]
        self._due = [(self.now + self._draw.uniform(0, POLL_S), next(self._order), host) for host in self._hosts]
        heapq.heapify(self._due)
        self.poll_until(self.now + 2 * POLL_S)

    def poll_until(self, end: float) -> None:
        """Let simulated time pass."""
        while self._due[0][0] < end:
            self.now, _, host = heapq.heappop(self._due)
            outcome, took_s = host.poll()
            delay_s = backoff_s(POLL_S, int(outcome is Outcome.UNREACHABLE))
            again = self.now + took_s + delay_s * self._draw.uniform(1 - JITTER, 1 + JITTER)
            heapq.heappush(self._due, (again, next(self._order), host))
        self.now = end

    def enforced_at(self, release: int) -> list[float]:
        """Return when each host enforced a release."""
        return [host.enforced_at[release] for host in self._hosts]


class _Host:
    def __init__(self, fleet: _Fleet, world: World, number: int) -> None:
        self.enforced_at: dict[int, float] = {}
        self._fleet = fleet
        path = world.folder / "hosts" / str(number)
        root = (world.repository / "trust/root.json").read_bytes()
        settings = Settings(store=world.url, channel="prod")
        directory = StateDirectory.open(path, settings=settings, trusted_root=root)
        directory.close()  # its lock would take a descriptor for each host
        clock, history = HostClock(clock=lambda: fleet.now), History(path)
        self._enforcement = Enforcement(directory, clock=clock, history=history, min_release=0, max_pin_s=3600)
        store = _Counted(fleet, open_reader(world.url))
        self._updater = Updater(
            store=store,
            client=TrustedClient(store, trusted_root=root, channel="prod", cache=path / "tuf"),
            snapshots=directory.snapshots,
            enforcement=self._enforcement,
            clock=clock,
            history=history,
            monotonic=lambda: fleet.now,
            wait_for_requests=lambda: True,
        )

    def poll(self) -> tuple[Outcome, float]:
        """Poll once; return the outcome, and the seconds it took."""
        began = time.perf_counter()
        outcome = self._updater.poll()
        took_s = time.perf_counter() - began
        if outcome is Outcome.ACTIVATED and (current := self._enforcement.state.current):
            self.enforced_at[current.release] = self._fleet.now + took_s
        return outcome, took_s


class _Counted:
    """A store whose reads are counted."""

    def __init__(self, fleet: _Fleet, inner: Store) -> None:
        self.url = inner.url
        self._fleet = fleet
        self._inner = inner

    def get(self, name: str, *, max_bytes: int, unless_etag: str = "") -> StoredObject | None:
        """Read, and count it."""
        self._fleet.reads += 1
        return self._inner.get(name, max_bytes=max_bytes, unless_etag=unless_etag)


if __name__ == "__main__":
    run()
