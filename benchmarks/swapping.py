"""Requests while policies are swapped under them: the same load with and without, and memory over many swaps.

Both last as long, so that what the machine does to one it has the time to do to the other. All releases are made
before, and then served one after the other by putting the signed timestamp of each in its place, so that no publisher
competes. Nothing has real-time priority: two busy threads that have it are stopped by the kernel for 50 ms in each
second. OPA's row is not measured here: it is what was seen of it on another run of such a machine.
"""

import contextlib
import itertools
import json
import os
import select
import socket
import subprocess
import sys
import tempfile
import time
from array import array
from bisect import bisect
from collections.abc import Iterator
from pathlib import Path

import click

from benchmarks.measuring import percentile, table
from benchmarks.pictures import curves, save
from benchmarks.sidecar import Sidecar, World, s3_or_file
from benchmarks.workload import documents, requests

SIZES = tuple(int(size) for size in os.environ.get("SWAP_SIZES", "10000,100000").split(","))
SWAPS, MANY_SWAPS = int(os.environ.get("SWAPS", "20")), int(os.environ.get("MANY_SWAPS", "100"))
CONNECTIONS = tuple(int(each) for each in os.environ.get("SWAP_CONNECTIONS", "1,32").split(","))
REQUESTS = 2_000
POLICIES = 3
"""One more than a host holds, so that each release is loaded anew."""
ELSEWHERE = "OPA 1.9, on another run of such a machine"
OPA_STEADY: tuple[object, ...] = ("10,000", "1", f"{ELSEWHERE}: at rest", "", 0.26, 0.49, "", 3.8)
OPA: tuple[object, ...] = ("10,000", "1", f"{ELSEWHERE}: 4 swaps", "", 0.34, 10.7, 36.0, 98.0)
OPA_MEMORY: tuple[object, ...] = ("10,000", f"{ELSEWHERE}: 4 swaps", 263.0, 473.0)
BOUNDS_MS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50)
PARTS = (0.5, 0.9, 0.99, 0.999, 0.9999)
SETTLE_S = 1.0
PATIENCE_S = 120.0


def run() -> None:
    """Print latencies with and without swaps, and the memory before and after many; draw the first."""
    rows, memory, shares = [OPA_STEADY, OPA], [OPA_MEMORY], []
    for size in SIZES:
        with tempfile.TemporaryDirectory(prefix="writ-") as folder, s3_or_file("file", Path(folder)) as world:
            states = _released(world, size, max(SWAPS, MANY_SWAPS if size == SIZES[0] else 0) + 2)
            (world.folder / "requests.json").write_text(json.dumps(requests(size, REQUESTS)))
            for connections in CONNECTIONS:
                lines, lasted_s = {}, 0.0
                for swaps, phase in ((SWAPS, f"{SWAPS} swaps"), (0, "at rest")):
                    times, took_s, lasted_s = _measured(world, states, connections, swaps, lasted_s)
                    parts = (percentile(times, part) for part in (0.5, 0.99, 0.999))
                    rows.append((f"{size:,}", str(connections), phase, f"{len(times):,}", *parts, times[-1]))
                    lines[phase] = [percentile(times, part) for part in PARTS]
                    shares.append((f"{size:,}", str(connections), phase, *_histogram(times)))
                    click.echo(f"{rows[-1]}, {took_s / max(1, swaps):.1f} s from a release to its swap", err=True)
                if connections == CONNECTIONS[0]:
                    _draw(size, lines)
            if size == SIZES[0] and MANY_SWAPS:
                memory.append((f"{size:,}", f"{MANY_SWAPS} swaps", *_memory_over(world, states, MANY_SWAPS)))
    table("Requests while policies are swapped (ms)", _HEADER, rows)
    table("Histogram: how many took up to … ms", (*_HEADER[:3], *map(str, BOUNDS_MS), "longer"), shares)
    table("Memory over swaps (MiB)", ("rules", "", "after the first", "after all"), memory)


def _released(world: World, size: int, count: int) -> list[bytes]:
    """Make that many releases, and return the signed timestamp of each."""
    timestamp = world.folder / "store/metadata/timestamp.json"
    states = []
    for number in range(POLICIES):
        extra = b"version: v1\nrules:\n  - {id: x%d, decision: deny, match: {topics: [x]}}\n" % number
        world.commit((documents(size) if not number else {}) | {"policies/extra.yaml": extra})
        if not number:
            world.writ("keys", "init", "--dev")
        world.writ("publish")
        states.append(timestamp.read_bytes())
    for number in range(POLICIES + 1, count + 1):
        to = str((number - 1) % POLICIES + 1)
        world.writ("rollback", "--channel", "prod", "--to", to, "--reason", "benchmark")
        states.append(timestamp.read_bytes())
    return states


class _Releases:
    """The releases of a store, let out one after the other."""

    def __init__(self, world: World, states: list[bytes], sidecar: Sidecar) -> None:
        self._timestamp = world.folder / "store/metadata/timestamp.json"
        self._left = iter(enumerate(states, start=1))
        self._sidecar = sidecar

    def next(self) -> float:
        """Let the next one out, and return after how many seconds it is enforced."""
        number, state = next(self._left)
        self.put(self._timestamp, state)
        began = time.monotonic()
        while f'"release":{number}}}' not in self._sidecar.ask({"job": {"topic": "job.none"}}):
            if time.monotonic() - began > PATIENCE_S:
                raise SystemExit(f"release {number} is not enforced")
            time.sleep(0.05)
        return time.monotonic() - began

    @staticmethod
    def put(path: Path, content: bytes) -> None:
        """Replace a file at once."""
        temporary = path.with_suffix(".new")
        temporary.write_bytes(content)
        temporary.replace(path)


@contextlib.contextmanager
def _sidecar(world: World, states: list[bytes]) -> Iterator[tuple[Sidecar, _Releases]]:
    """Yield a new sidecar that enforces the second release, and what lets out the others."""
    _Releases.put(world.folder / "store/metadata/timestamp.json", states[0])
    subprocess.run(["rm", "-rf", str(world.folder / "state")], check=True)
    with world.sidecar() as sidecar:
        releases = _Releases(world, states, sidecar)
        releases.next()
        releases.next()
        yield sidecar, releases


def _measured(
    world: World, states: list[bytes], connections: int, swaps: int, least_s: float
) -> tuple[list[float], float, float]:
    """Return the sorted latencies of all requests (ms) during some swaps, how long these took together, and the load.

    That lasts `least_s` at least: what the machine does to one phase it should have the time to do to the other.
    """
    took_s, began = 0.0, time.monotonic()
    with _sidecar(world, states) as (_, releases), _load(world, connections) as client:
        time.sleep(SETTLE_S)
        for _ in range(swaps):
            took_s += releases.next()
            time.sleep(SETTLE_S / 2)
        time.sleep(SETTLE_S)
        lasted_s = time.monotonic() - began
        time.sleep(max(0.0, least_s - lasted_s))
        said, _ = client.communicate(b"")
    times = array("f")
    times.frombytes(said)
    return sorted(times), took_s, lasted_s


def _histogram(times: list[float]) -> list[str]:
    """Return how many sorted latencies there are up to each bound and above the one before, then beyond them all."""
    places = [0, *(bisect(times, bound) for bound in BOUNDS_MS), len(times)]
    return [f"{high - low:,}" for low, high in itertools.pairwise(places)]


def _memory_over(world: World, states: list[bytes], swaps: int) -> tuple[float, float]:
    with _sidecar(world, states) as (sidecar, releases):
        releases.next()
        time.sleep(SETTLE_S)
        before = sidecar.memory_mib()
        for _ in range(swaps - 2):
            releases.next()
        time.sleep(SETTLE_S)
        return before, sidecar.memory_mib()


def _draw(size: int, lines: dict[str, list[float]]) -> None:
    save(
        f"swapping-{size}.svg",
        curves(
            f"Requests over one connection, {size:,} rules",
            x=("one request in … takes longer", [round(1 / (1 - part)) for part in PARTS]),
            unit="ms",
            lines=lines,
        ),
    )


@contextlib.contextmanager
def _load(world: World, connections: int) -> Iterator["subprocess.Popen[bytes]"]:
    """Keep a client asking in a process of its own until the end of its input; it then writes its latencies."""
    command = [sys.executable, "-m", "benchmarks.swapping", str(world.folder), str(connections)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as client:
        try:
            yield client
        finally:
            client.kill()


def _ask_until_told(folder: Path, connections: int) -> None:
    """Ask on each connection as soon as the reply before is there; write all latencies (ms, 32-bit floats)."""
    bodies = [json.dumps(each).encode() for each in json.loads((folder / "requests.json").read_text())]
    path = b"/access/v1/evaluation"
    asked = [b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (path, len(b), b) for b in bodies]
    times, began, number = array("f"), {}, 0
    poll = select.epoll()
    poll.register(0, select.EPOLLIN | select.EPOLLHUP)
    sockets: dict[int, socket.socket] = {}
    for _ in range(connections):
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(str(folder / "d.sock"))
        sockets[sock.fileno()] = sock
        poll.register(sock.fileno(), select.EPOLLIN)
        began[sock.fileno()] = time.perf_counter()
        sock.sendall(asked[number := number + 1])
    while True:
        for descriptor, _ in poll.poll():
            if not descriptor:
                sys.stdout.buffer.write(times.tobytes())
                return
            sock = sockets[descriptor]
            _read_reply(sock)
            now = time.perf_counter()
            times.append((now - began[descriptor]) * 1e3)
            number = (number + 1) % len(asked)
            began[descriptor] = time.perf_counter()
            sock.sendall(asked[number])


def _read_reply(sock: socket.socket) -> None:
    reply = sock.recv(65_536)
    while True:
        head, end, body = reply.partition(b"\r\n\r\n")
        if end and len(body) >= int(head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0]):
            return
        more = sock.recv(65_536)
        if not more:
            raise SystemExit("the sidecar closed the connection")
        reply += more


_HEADER = ("rules", "connections", "phase", "requests", "p50", "p99", "p99.9", "max")

if __name__ == "__main__":
    _ask_until_told(Path(sys.argv[1]), int(sys.argv[2]))
