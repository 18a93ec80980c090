"""A real sidecar process beside a real store: memory, start, single-connection latency, and requests during a swap.

There is no peer to run beside it from the package index; the figures of one run are compared with each other.
"""

import contextlib
import http.client
import json
import logging
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.measuring import percentile, table
from benchmarks.workload import documents, requests

SIZES = (20, 10_000)
CALLS = 5_000
SWAPS = 3
PATH = "/access/v1/evaluation"
KEYS = 1_000
COUNTED = b"""\
version: v1
rules:
  - id: counted
    match: {actions: [bench.counted]}
    rate: {limit: 10000, window: 1h, key: [resource.id]}
    decision: throttle
  - {id: all, match: {actions: ["bench.*"]}, decision: allow}
"""
START_TIMEOUT_S = 120


def run() -> None:
    """Print what a host pays: memory and start-up, then latency at rest and while it swaps."""
    memory, latency = [], []
    for size in SIZES:
        for scheme in ("file", "s3"):
            with tempfile.TemporaryDirectory(prefix="writ-bench-") as folder, s3_or_file(scheme, Path(folder)) as world:
                world.commit(documents(size) | {"policies/counted.yaml": COUNTED})
                world.writ("keys", "init", "--dev")
                world.writ("publish")
                with world.sidecar() as online:
                    if scheme == "file":
                        latency += _remembering(online, size)
                        latency += _latencies(world, online, size)
                    memory_mib = online.memory_mib()
                with world.sidecar(offline=True) as offline:
                    memory.append((f"{size:,}", scheme, memory_mib, online.ready_s, offline.ready_s))
    table("Sidecar process", ("rules", "store", "RSS MiB", "start s", "start without network s"), memory)
    table(
        "One connection over the Unix socket (ms)",
        ("rules", "phase", "requests", "p50", "p99", "p99.9", "max"),
        latency,
    )


class Sidecar:
    """A running process and a connection to it; `ready_s` is from its start to its first decision."""

    def __init__(self, process: subprocess.Popen[bytes], address: Path, started: float) -> None:
        self.process = process
        self._socket = socket.socket(socket.AF_UNIX)
        while True:
            time.sleep(0.002)
            if time.perf_counter() - started > START_TIMEOUT_S or process.poll() is not None:
                raise SystemExit("the sidecar did not start")
            with contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
                self._socket.connect(str(address))
                break
        while "policy_unavailable" in self.ask({"job": {"topic": "job.none"}}):
            time.sleep(0.002)
        self.ready_s = time.perf_counter() - started

    def ask(self, request: dict[str, Any]) -> str:
        """Ask one request and return the body of the answer."""
        body = json.dumps(request).encode()
        self._socket.sendall(
            b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (PATH.encode(), len(body)) + body
        )
        response = http.client.HTTPResponse(self._socket)
        response.begin()
        return response.read().decode()

    def memory_mib(self) -> float:
        """Return the resident memory of the process in MiB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmRSS"))


class World:
    """A policy repository, its keys and a store in one folder."""

    def __init__(self, folder: Path, url: str, environment: dict[str, str]) -> None:
        self.folder = folder
        self.url = url
        self.environment = environment
        self.repository = folder / "repository"
        self.repository.mkdir()
        self._run("git", "init", "--quiet", "--initial-branch=main")

    def commit(self, files: dict[str, bytes]) -> None:
        """Commit policy files, with the store's address in ``writ.yaml``."""
        for name, content in files.items():
            path = self.repository / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.replace(b"file:///nowhere", self.url.encode()))
        self._run("git", "add", "--all")
        self._run("git", "-c", "user.name=b", "-c", "user.email=b@example.com", "commit", "--quiet", "-m", "policies")

    def writ(self, *arguments: str) -> None:
        """Run a ``writ`` command in the repository."""
        self._run(sys.executable, "-m", "builder", *arguments)

    @contextmanager
    def sidecar(self, *, offline: bool = False) -> Iterator[Sidecar]:
        """Run a sidecar until the block ends; `offline` gives it a store nobody answers from."""
        environment = dict(self.environment)
        url = self.url
        if offline and url.startswith("file:"):
            url = "file:///nonexistent"
        elif offline:
            environment["AWS_ENDPOINT_URL"] = "http://127.0.0.1:9"
        address = self.folder / "d.sock"
        started = time.perf_counter()
        process = subprocess.Popen(
            [
                sys.executable, "-m", "agent_sidecar", "run", "--store", url, "--channel", "prod", "--poll", "1s",
                "--root", str(self.repository / "trust" / "root.json"), "--state", str(self.folder / "state"),
                "--socket", str(address),
            ],
            env=environment,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            yield Sidecar(process, address, started)
        finally:
            process.terminate()
            process.wait(timeout=START_TIMEOUT_S)

    def _run(self, *arguments: str) -> None:
        subprocess.run(arguments, cwd=self.repository, env=self.environment, check=True, stdout=subprocess.DEVNULL)


@contextmanager
def s3_or_file(scheme: str, folder: Path) -> Iterator[World]:
    """Yield a world whose store is a directory, or a bucket of an S3 server in this process."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "WRIT_", "XDG_"))}
    environment |= {"HOME": str(folder), "PYTHONPATH": str(Path(__file__).parents[1])}
    if scheme == "file":
        yield World(folder, (folder / "store").as_uri(), environment)
        return
    import boto3
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    environment |= {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true",
    }  # fmt: skip
    os.environ.update({key: value for key, value in environment.items() if key.startswith("AWS_")})
    bucket = f"bench-{uuid.uuid4()}"  # moto keeps its buckets for as long as this process lives
    boto3.session.Session().client("s3").create_bucket(Bucket=bucket)
    try:
        yield World(folder, f"s3://{bucket}/policies", environment)
    finally:
        server.stop()


def _remembering(sidecar: Sidecar, size: int) -> list[tuple[object, ...]]:
    """Measure what is allowed, and what is allowed and counted in the journal."""
    return [
        _row(size, phase, _measured(sidecar, [_numbered(action, i) for i in range(CALLS)], lambda: False))
        for action, phase in (("bench.free", "allowed"), ("bench.counted", f"allowed and counted, {KEYS:,} keys"))
    ]


def _numbered(action: str, number: int) -> dict[str, Any]:
    resource = {"type": "service", "id": f"service-{number % KEYS}"}
    return {"subject": {"type": "agent", "id": "a"}, "action": {"name": action}, "resource": resource}


def _latencies(world: World, sidecar: Sidecar, size: int) -> list[tuple[object, ...]]:
    """Measure at rest, then while other releases are published and swapped in."""
    asked = requests(size, CALLS)
    steady = _measured(sidecar, asked, lambda: False)
    publisher = threading.Thread(target=_publish_some, args=(world,))
    publisher.start()
    swapping = _measured(sidecar, asked, publisher.is_alive)
    publisher.join()
    return [_row(size, "at rest", steady), _row(size, f"{SWAPS} swaps, publisher beside it", swapping)]


def _publish_some(world: World) -> None:
    for number in range(SWAPS):
        world.commit(
            {
                "policies/extra.yaml": b"version: v1\nrules:\n  - {id: x%d, decision: deny, match: {topics: [x]}}\n"
                % number
            }
        )
        world.writ("publish")
        time.sleep(2)  # longer than the poll: the swap falls into the measurement


def _measured(sidecar: Sidecar, asked: list[dict[str, Any]], going_on: Any) -> list[float]:
    times = []
    while True:
        for request in asked:
            started = time.perf_counter()
            sidecar.ask(request)
            times.append((time.perf_counter() - started) * 1e3)
        if not going_on():
            return sorted(times)


def _row(size: int, phase: str, times: list[float]) -> tuple[object, ...]:
    parts = (percentile(times, part) for part in (0.5, 0.99, 0.999))
    return (f"{size:,}", phase, f"{len(times):,}", *parts, times[-1])


if __name__ == "__main__":
    run()
