"""The protocol of sd_notify: real datagrams, on paths and in the abstract namespace, and never an error."""

import os
import secrets
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent_sidecar.notifying import Notifier
from policy_core.errors import UsageError


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    """Return the address of a manager, and what it reads from."""
    address = f"@writ-{secrets.token_hex(8)}" if request.param == "abstract" else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(address.replace("@", "\0", 1))
        sock.settimeout(5)
        yield address, sock


def test_states_are_sent_as_systemd_reads_them(manager: tuple[str, socket.socket]) -> None:
    address, sock = manager
    notifier = Notifier.taken_from({"NOTIFY_SOCKET": address})
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000

    notifier.ready()
    notifier.reloading()
    notifier.stopping()
    notifier.alive()

    sent = [sock.recv(1000).decode() for _ in range(4)]
    assert (sent[0], *sent[2:]) == ("READY=1", "STOPPING=1", "WATCHDOG=1")
    reloading, usec = sent[1].splitlines()
    assert reloading == "RELOADING=1"
    assert before <= int(usec.removeprefix("MONOTONIC_USEC=")) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000


def test_a_status_is_one_line_and_sent_when_it_changes(manager: tuple[str, socket.socket]) -> None:
    address, sock = manager
    notifier = Notifier(address)

    for line in ("release 1", "release 1", "release 2\nREADY=1", "x" * 5000):
        notifier.status(line)

    assert [sock.recv(1000) for _ in range(3)] == [
        b"STATUS=release 1", b"STATUS=release 2 READY=1", b"STATUS=" + b"x" * 200,
    ]  # fmt: skip


def test_what_the_manager_said_is_taken_out_of_the_environment() -> None:
    environment = {"NOTIFY_SOCKET": "/none", "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid()), "HOME": "/"}

    assert Notifier.taken_from(environment).watchdog_s == 3.0
    assert environment == {"HOME": "/"}


@pytest.mark.parametrize(
    "more",
    [
        {"WATCHDOG_PID": "1"},
        {"WATCHDOG_USEC": "0"},
        {"WATCHDOG_USEC": "-1"},
        {"WATCHDOG_USEC": "²"},
        {"NOTIFY_SOCKET": ""},
    ],
)
def test_a_watchdog_for_another_process_or_none_is_not_fed(more: dict[str, str]) -> None:
    environment = {"NOTIFY_SOCKET": "/none", "WATCHDOG_USEC": "3000000", **more}

    assert Notifier.taken_from(environment).watchdog_s is None


@pytest.mark.parametrize("address", ["relative", "vsock:2:1", "/", "@"])
def test_an_address_that_is_no_socket_is_refused(address: str) -> None:
    with pytest.raises(UsageError, match="NOTIFY_SOCKET"):
        Notifier.taken_from({"NOTIFY_SOCKET": address})


def test_a_manager_that_is_gone_or_full_holds_nobody_up(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    gone = Notifier(str(tmp_path / "gone"))

    gone.ready()
    gone.alive()

    assert [record.getMessage() for record in caplog.records] == ["notify_failed"]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as deaf:
        deaf.bind(str(tmp_path / "deaf"))
        notifier = Notifier(str(tmp_path / "deaf"))
        for _ in range(5000):  # more than any queue of datagrams takes
            notifier.alive()


def test_without_a_manager_nothing_is_sent() -> None:
    Notifier.taken_from({}).ready()
