"""A day of a host, shortened by a clock of our own: what grows? The host and its store are real, time is not.

Polls every 30 s, a fresh timestamp every hour, a release every two hours, and each minute decisions under ever new
names, some of which are counted. Once everything has reached its limits nothing may grow.
"""

import gc
import json
import os
import random
import tempfile
import time
from pathlib import Path

from agent_sidecar.enforcement import Enforcement
from agent_sidecar.history import History
from agent_sidecar.host_clock import HostClock
from agent_sidecar.logs import configure
from agent_sidecar.memory import HostMemory
from agent_sidecar.state import Settings, StateDirectory
from agent_sidecar.updating import Updater
from benchmarks.measuring import table
from benchmarks.sidecar import COUNTED, World, s3_or_file
from benchmarks.workload import documents, requests
from bundle_store.client import TrustedClient
from bundle_store.opening import open_reader

RULES, HOURS, POLL_S, RELEASE_EVERY_H = 10_000, 24, 30.0, 2
PER_MINUTE = 600


def run() -> None:
    """Print memory, files and descriptors through the day."""
    configure(level="error")
    rows = []
    with tempfile.TemporaryDirectory(prefix="writ-") as folder, s3_or_file("file", Path(folder)) as world:
        world.commit(documents(RULES) | {"policies/counted.yaml": COUNTED})
        world.writ("keys", "init", "--dev")
        world.writ("publish")
        day = _Day(world)
        for hour in range(HOURS + 1):
            day.live_an_hour()
            if hour % 4 == 0:
                rows.append((hour + 1, day.releases, *day.seen()))
            world.writ("refresh")
            if (hour + 1) % RELEASE_EVERY_H == 0:
                day.release(hour)
    table(
        f"A day with {RULES:,} rules",
        ("hour", "releases", "RSS MiB", "files", "KiB on disk", "descriptors", "keys counted"),
        rows,
    )


class _Day:
    """One host through a day; `seen` is what it takes."""

    def __init__(self, world: World) -> None:
        self.now = time.time()
        self.releases = 1
        self._world = world
        self._path = world.folder / "state"
        self._asked = requests(RULES, 2_000)
        self._draw = random.Random(1)
        self._number = 0
        root = (world.repository / "trust/root.json").read_bytes()
        settings = Settings(store=world.url, channel="prod")
        directory = StateDirectory.open(self._path, settings=settings, trusted_root=root)
        self._clock, history = HostClock(clock=lambda: self.now), History(self._path)
        self._enforcement = Enforcement(directory, clock=self._clock, history=history, min_release=0, max_pin_s=3600)
        self._memory = HostMemory(self._path, host_id="soaked", clock=self._clock, fleet=None)
        store = open_reader(world.url)
        self._updater = Updater(
            store=store,
            client=TrustedClient(store, trusted_root=root, channel="prod", cache=self._path / "tuf"),
            snapshots=directory.snapshots,
            enforcement=self._enforcement,
            clock=self._clock,
            history=history,
            monotonic=lambda: self.now,
            wait_for_requests=lambda: True,
        )

    def live_an_hour(self) -> None:
        """Poll and decide for an hour."""
        for step in range(int(3600 / POLL_S)):
            self._updater.poll()
            if step % int(60 / POLL_S) == 0:
                self._decide()
            self._memory.tend()
            self.now += POLL_S

    def release(self, number: int) -> None:
        """Publish other rules."""
        extra = b"version: v1\nrules:\n  - {id: x%d, decision: deny, match: {topics: [x]}}\n" % number
        self._world.commit({"policies/extra.yaml": extra})
        self._world.writ("publish")
        self.releases += 1

    def seen(self) -> tuple[float, int, float, int, int]:
        """Return resident memory, files, their size, descriptors, and keys under a rate."""
        gc.collect()
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        files = [file for file in self._path.rglob("*") if file.is_file()]
        size = sum(file.stat().st_size for file in files) / 1024
        resident = pages * os.sysconf("SC_PAGE_SIZE") / 2**20
        return (
            resident,
            len(files),
            size,
            len(list(Path("/proc/self/fd").iterdir())),
            self._memory.status().counted_keys,
        )

    def _decide(self) -> None:
        for _ in range(PER_MINUTE):
            self._number += 1
            request = json.loads(json.dumps(self._draw.choice(self._asked)))
            if self._number % 3 == 0:
                request["action"]["name"] = "bench.counted"
                request["resource"]["id"] = f"service-{self._number % 5000}"
            elif self._number % 3 == 1:
                request["action"]["name"] += f".{self._number}"
            self._enforcement.active.answer(request, now=self._clock(), decision_id="d", memory=self._memory)


if __name__ == "__main__":
    run()
