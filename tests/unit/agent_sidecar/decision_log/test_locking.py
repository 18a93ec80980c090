"""A process that is stopped while it holds the lock of a spool denies nothing to others but what it must."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from spooled import entry, flaws, names, new_spool

from agent_sidecar.decision_log import locking
from agent_sidecar.decision_log.errors import SpoolError

HOLD = """
import fcntl, os, sys, time
fcntl.flock(os.open(sys.argv[1], os.O_RDWR | os.O_CREAT), fcntl.LOCK_EX)
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "lock")], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        process.stdout.readline()
        os.kill(process.pid, signal.SIGSTOP)
        yield process
        process.kill()


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locking, "PATIENCE_S", 0.1)


@pytest.mark.parametrize("is_alone", [False, True], ids=["shared", "alone"])
def test_a_stopped_process_that_holds_the_lock_is_not_waited_for_for_ever(
    tmp_path: Path, holder: "subprocess.Popen[str]", is_alone: bool
) -> None:
    spool = new_spool(tmp_path, is_alone=is_alone)
    with pytest.raises(SpoolError, match="cannot be locked: another process of this sidecar holds it"):
        spool.open()
    began = time.monotonic()
    for _ in range(5):  # what comes now is denied at once: nobody waits for each
        with pytest.raises(SpoolError, match="cannot be locked"):
            spool.append(entry("a"))
    assert time.monotonic() - began < 0.3

    holder.kill()
    holder.wait()
    spool.append(entry("b"))

    assert names(tmp_path) == ["b"]
    assert flaws(tmp_path) == []
    spool.close()


def test_who_is_alone_has_the_lock_before_it_writes(tmp_path: Path, holder: "subprocess.Popen[str]") -> None:
    spool, other = new_spool(tmp_path, is_alone=True), new_spool(tmp_path)
    with pytest.raises(SpoolError):
        spool.open()
    holder.kill()
    holder.wait()
    spool.append(entry("a"))

    with pytest.raises(SpoolError, match="cannot be locked"):
        other.append(entry("b"))

    assert names(tmp_path) == ["a"]
    spool.close()
    other.close()
