"""The sidecar under a service manager: real processes, a manager's socket, sockets handed over, signals."""

import json
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sidecar_bench import PATIENCE_S, SIDECAR, Bench, Process, new_bench, until
from signed_store import bundle, rules

from policy_core.errors import KnownError

ALLOW = bundle(rules("allow"), number=1)

HANDING_OVER = """
import os, socket, sys
names, *arguments = sys.argv[1:]
for number, name in enumerate(names.split(","), start=3):
    kind, _, place = name.partition("=")
    family = socket.AF_INET if kind == "tcp" else socket.AF_UNIX
    sock = socket.socket(family)
    sock.bind(("127.0.0.1", int(place)) if kind == "tcp" else place)
    if kind != "tcp":
        os.chmod(place, 0o600 if kind == "admin" else 0o666)
    sock.listen()
    os.dup2(sock.fileno(), 50 + number)
for number, name in enumerate(names.split(","), start=3):
    os.dup2(50 + number, number)
os.environ |= {
    "LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(names.split(","))),
    "LISTEN_FDNAMES": ":".join(name.partition("=")[0] for name in names.split(",")),
}
os.execv(sys.executable, [sys.executable, "-m", "agent_sidecar", *arguments])
"""
"""What systemd does with a socket unit: it binds, listens, and starts the service with the sockets from 3 on."""

STUCK = """
import sys, time
from agent_sidecar import polling
from agent_sidecar.cli.main import main
from agent_sidecar.updating import Updater
polling.MAX_STEP_S = 0.5
honest, began = Updater.poll, time.monotonic()
def poll(self, *, full=False):
    if time.monotonic() - began > 2.0:
        time.sleep(3600)
    return honest(self, full=full)
Updater.poll = poll
sys.exit(main())
"""
"""A sidecar whose polling hangs after two seconds, as if a library waited without a limit."""


@pytest.fixture
def bench() -> Iterator[Bench]:
    with new_bench() as made:
        made.store.publish(ALLOW)
        yield made


class Manager:
    """The end of a service manager: what it was told, in order."""

    def __init__(self, path: Path) -> None:
        self.variables = {"NOTIFY_SOCKET": str(path)}
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))

    def next(self, beginning: str, *, within_s: float = PATIENCE_S) -> str:
        """Return the next message that begins so; those before are dropped. Raises TimeoutError."""
        self._socket.settimeout(within_s)
        while not (found := self._socket.recv(4096).decode()).startswith(beginning):
            pass
        return found

    def hears_no(self, beginning: str, *, for_s: float) -> None:
        """Return once no such message came for so long; those that were on their way are dropped."""
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            try:
                self.next(beginning, within_s=for_s)
            except TimeoutError:
                return
        raise AssertionError(f"{beginning} does not end")

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def manager(bench: Bench) -> Iterator[Manager]:
    made = Manager(bench.folder / "notify")
    yield made
    made.close()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def asked_over_tcp(port: int, token: Path) -> bytes:
    """Return the status a caller gets who shows what is in a token's file."""
    head = "GET /status HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nAuthorization: Bearer {}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port)) as caller:
        caller.sendall(head.format(port, token.read_text().strip()).encode())
        return caller.recv(100)[9:12]


def logged(sidecar: Process, event: str) -> dict[str, object]:
    def last() -> dict[str, object] | None:
        complete = sidecar.log.read_text().rpartition("\n")[0].splitlines()
        return next((found for line in reversed(complete) if (found := json.loads(line))["event"] == event), None)

    found: dict[str, object] = until(last, f"{event}: {sidecar.log.read_text()}")
    return found


def test_the_manager_is_told_of_start_reload_and_end(bench: Bench, manager: Manager) -> None:
    sidecar = bench.start(environment=manager.variables)

    assert manager.next("READY=1")
    assert sidecar.ask(path="/health/live") == {"live": True}  # it answers by then
    assert manager.next("STATUS=channel prod: release 1, fresh")
    sidecar.process.send_signal(signal.SIGHUP)
    assert "MONOTONIC_USEC=" in manager.next("RELOADING=1")
    assert manager.next("READY=1")
    assert sidecar.stop() == 0
    assert manager.next("STOPPING=1")


def test_signs_of_life_end_when_the_polling_thread_hangs_though_decisions_go_on(bench: Bench, manager: Manager) -> None:
    environment = {**manager.variables, "WATCHDOG_USEC": "400000"}
    sidecar = bench.start(launcher=[sys.executable, "-c", STUCK], environment=environment).wait_for(1)

    for _ in range(5):
        assert manager.next("WATCHDOG=1", within_s=5)

    assert logged(sidecar, "watchdog_withheld")
    manager.hears_no("WATCHDOG=1", for_s=1.2)  # three times as long as it would wait
    assert sidecar.decide()["decision"] is True


def test_signs_of_life_end_when_the_process_hangs(bench: Bench, manager: Manager) -> None:
    sidecar = bench.start(environment={**manager.variables, "WATCHDOG_USEC": "400000"}).wait_for(1)
    assert manager.next("WATCHDOG=1")

    sidecar.process.send_signal(signal.SIGSTOP)

    manager.hears_no("WATCHDOG=1", for_s=1.2)
    sidecar.process.send_signal(signal.SIGCONT)
    assert manager.next("WATCHDOG=1")


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_reload_applies_what_may_change_and_names_the_rest(bench: Bench, workers: str) -> None:
    file, token, port = bench.folder / "s.toml", bench.folder / "token", free_port()
    for path, text in ((file, 'log_level = "warning"\nmax_pin = "1h"\n'), (token, "the-token-of-the-first-days\n")):
        path.write_text(text)
        path.chmod(0o600)
    more = ("--config", str(file), "--listen", f"127.0.0.1:{port}", "--token-file", str(token), "--workers", workers)
    sidecar = bench.start(*more).wait_for(1)
    assert not [event for event in sidecar.events() if event["level"] == "info"]
    assert asked_over_tcp(port, token) == b"200"

    file.write_text('log_level = "debug"\nmax_pin = "2h"\npoll = "7s"\n')  # the flag --poll wins
    token.write_text("the-token-of-the-next-days\n")
    sidecar.process.send_signal(signal.SIGHUP)

    assert logged(sidecar, "reloaded")["changed"] == ["log_level"]
    until(lambda: asked_over_tcp(port, token) == b"200", "the token of the next days")
    assert logged(sidecar, "restart_needed")["settings"] == ["max_pin"]
    assert logged(sidecar, "polled")["outcome"] in ("activated", "unchanged")
    file.write_text('log_level = "loud"\npol = "5s"\n')
    sidecar.process.send_signal(signal.SIGHUP)
    assert logged(sidecar, "reload_refused")["mistakes"] == [
        f"{file}: pol is not a setting (did you mean poll?)",
        f"{file}: log_level: unknown word (expected debug or info or warning or error, found 'loud')",
    ]
    assert sidecar.decide()["decision"] is True
    assert sidecar.stop() == 0


@pytest.mark.parametrize("workers", ["1", "2"])
def test_sockets_handed_over_are_served_and_left_as_they_were(bench: Bench, workers: str) -> None:
    (bench.state).mkdir(mode=0o700)
    admin, decision = bench.state / "admin.sock", bench.folder / "d.sock"
    token = bench.folder / "token"
    token.write_text("a-token-of-enough-length")
    token.chmod(0o600)
    port = free_port()
    launcher = [sys.executable, "-c", HANDING_OVER, f"decision={decision},admin={admin},tcp={port}"]

    more = ("--listen", f"127.0.0.1:{port}", "--token-file", str(token), "--workers", workers)
    sidecar = bench.start(*more, launcher=launcher).wait_for(1)

    assert decision.stat().st_mode & 0o777 == 0o666
    assert not (bench.folder / "d.sock.lock").exists()
    assert bench.command("status", "--state", str(bench.state)).returncode == 0
    assert asked_over_tcp(port, token) == b"200"
    assert sidecar.stop() == 0
    assert decision.is_socket()
    assert admin.is_socket()


def test_a_socket_handed_over_that_is_not_the_configured_one_is_refused(bench: Bench) -> None:
    launcher = [sys.executable, "-c", HANDING_OVER, f"decision={bench.folder / 'other.sock'}"]

    sidecar = bench.start(launcher=launcher)

    assert sidecar.process.wait(PATIENCE_S) == 2
    assert "error: socket decision: is not the one that is configured" in sidecar.log.read_text()


def test_log_levels_change_while_it_runs(bench: Bench) -> None:
    sidecar = bench.start().wait_for(1)
    state = ("--state", str(bench.state))
    assert bench.command("log-level", *state).stdout == b"info\n"

    done = bench.command("log-level", *state, "debug")

    assert (done.returncode, done.stdout) == (0, b"debug\n")
    assert logged(sidecar, "log_level")["by"] == f"uid {os.getuid()}"
    assert logged(sidecar, "polled")["level"] == "debug"
    assert bench.command("log-level", *state, "error").stdout == b"error\n"
    assert bench.command("log-level", *state, "loud").returncode == 2
    assert sidecar.stop() == 0
    assert sidecar.events()[-1]["event"] != "stopped"


def test_without_a_manager_a_signal_to_reload_ends_nothing(bench: Bench) -> None:
    sidecar = bench.start(launcher=SIDECAR)
    until(bench.state.exists, "a start")

    sidecar.process.send_signal(signal.SIGHUP)

    assert sidecar.wait_for(1).stop() == 0


def test_a_log_level_is_that_of_all_processes(bench: Bench) -> None:
    file, state = bench.folder / "s.toml", ("--state", str(bench.state))
    file.write_text(f"workers = 2\nallow_uids = [{os.getuid() + 4321}]\n")
    sidecar = bench.start("--config", str(file))
    until(lambda: bench.command("status", "--ready", *state).returncode == 0, "ready")

    assert bench.command("log-level", *state, "error").stdout == b"error\n"
    with pytest.raises(KnownError):
        sidecar.ask()

    assert "caller_refused" not in [each["event"] for each in sidecar.events()]
