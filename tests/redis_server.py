"""A real Redis server for tests: on a free loopback port, with nothing on disk, ended by its process id.

Without ``redis-server`` on the PATH these tests are skipped; with ``WRIT_TEST_REDIS=required`` they fail instead.
"""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

PROGRAM = shutil.which("redis-server")
REQUIRED = os.environ.get("WRIT_TEST_REDIS") == "required"  # read before tests get an environment of their own
START_TIMEOUT_S = 10


class RedisServer:
    """One server; `start` after `kill` is a restart on the same port that has forgotten everything."""

    def __init__(self, folder: str, port: int) -> None:
        self.port = port
        self.url = f"redis://127.0.0.1:{port}/0"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        assert PROGRAM
        options = ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", self._folder]
        self._process = subprocess.Popen([PROGRAM, "--port", str(self.port), *options], stdout=subprocess.DEVNULL)
        end = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < end and self._process.poll() is None:
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=1) as probe:
                    probe.sendall(b"PING\r\n")
                    if probe.recv(16).startswith(b"+PONG") and self._process.poll() is None:
                        return
            except OSError:
                time.sleep(0.01)
        raise AssertionError("redis-server did not start")

    def pause(self) -> None:
        """Let it accept connections and answer nothing."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        if self._process:
            self._signal(signal.SIGCONT)
            self._process.kill()
            self._process.wait()
        self._process = None

    def _signal(self, number: signal.Signals) -> None:
        assert self._process
        self._process.send_signal(number)


@contextmanager
def redis_server() -> Iterator[RedisServer]:
    """Yield a running server; it ends with the block."""
    if not PROGRAM:
        if REQUIRED:
            pytest.fail("redis-server is not installed, and WRIT_TEST_REDIS=required")
        pytest.skip("redis-server is not installed")
    with tempfile.TemporaryDirectory(prefix="writ-redis-") as folder:
        server = RedisServer(folder, _free_port())
        try:
            try:
                server.start()
            except AssertionError:  # another test was quicker to take the port
                server = RedisServer(folder, _free_port())
                server.start()
            yield server
        finally:
            server.kill()


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port
