"""Sidecar processes on a store of their own: what tests of the daemon start, ask and kill."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

from signed_store import SignedStore

from agent_sidecar.calling import call

REQUEST = {"subject": {"type": "user", "id": "a"}, "action": {"name": "act.0"}, "resource": {"type": "t", "id": "i"}}
PATIENCE_S = 30.0
SIDECAR = (sys.executable, "-m", "agent_sidecar")
NOTHING: Mapping[str, str] = MappingProxyType({})


def until(condition: Callable[[], Any], what: str) -> Any:
    """Wait for something another process does, and return what the condition gave."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.01)
    raise AssertionError(f"waited in vain: {what}")


class Process:
    """A running ``writ-sidecar run`` and its log."""

    def __init__(
        self, folder: Path, *more: str, most_files: int, launcher: Sequence[str], environment: Mapping[str, str]
    ) -> None:
        self.socket = folder / "d.sock"
        self.log = folder / f"log-{time.monotonic_ns()}"
        arguments = [
            "--store", (folder / "store").as_uri(), "--channel", "prod", "--root", str(folder / "root.json"),
            "--state", str(folder / "state"), "--socket", str(self.socket), "--poll", "100ms", *more,
        ]  # fmt: skip
        with self.log.open("wb") as log:
            limited = ("/bin/sh", "-c", f'ulimit -n {most_files} && exec "$@"', "sh")
            command = [*limited, *launcher, "run", *arguments]
            self.process = subprocess.Popen(command, stderr=log, env={**os.environ, **environment})

    def ask(self, method: str = "GET", path: str = "/status", body: bytes | None = None) -> Any:
        return call(self.socket, method, path, body)

    def decide(self) -> dict[str, Any]:
        answer: dict[str, Any] = self.ask("POST", "/access/v1/evaluation", json.dumps(REQUEST).encode())
        return answer

    def release(self) -> int:
        try:
            enforced = self.ask()["enforced"]
        except Exception:  # noqa: BLE001 - not up yet
            return -1
        return int(enforced["release"]) if enforced else 0

    def wait_for(self, release: int) -> "Process":
        until(lambda: self.release() == release, f"release {release}: {self.log.read_text()}")
        return self

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_S)


class Bench:
    """A folder with a store and any number of sidecar processes, all ended with the test."""

    def __init__(self, folder: Path, *, oncall: bool) -> None:
        self.folder = folder
        self.state = folder / "state"
        self.store = SignedStore(folder / "store", oncall=oncall)
        (folder / "root.json").write_bytes(self.store.root)
        self.started: list[Process] = []

    def start(
        self,
        *more: str,
        most_files: int = 1024,
        launcher: Sequence[str] = SIDECAR,
        environment: Mapping[str, str] = NOTHING,
    ) -> Process:
        """Start a sidecar, by a command that takes its arguments and under more variables, where they are given."""
        self.started.append(
            Process(self.folder, *more, most_files=most_files, launcher=launcher, environment=environment)
        )
        return self.started[-1]

    def command(self, *arguments: str, text: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
        return subprocess.run(
            [sys.executable, "-m", "agent_sidecar", *arguments], input=text, capture_output=True, check=False,
            timeout=PATIENCE_S,
        )  # fmt: skip


@contextmanager
def new_bench(*, oncall: bool = False) -> Iterator[Bench]:
    """Yield a bench, with somebody on call or not; its processes and its folder end with the block."""
    folder = Path(tempfile.mkdtemp(prefix="writ-"))  # short: a Unix socket path has room for about 100 bytes
    made = Bench(folder, oncall=oncall)
    try:
        yield made
    finally:
        for each in made.started:
            if each.process.poll() is None:
                each.process.kill()
            each.process.wait()
        shutil.rmtree(folder)
