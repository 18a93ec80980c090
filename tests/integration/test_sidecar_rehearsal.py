"""A release that cannot be loaded does not take the sidecar with it: the policy in force answers on."""

import os
import resource
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sidecar_bench import Bench, Process, new_bench, until
from signed_store import bundle, rules

from agent_sidecar.calling import call
from policy_core.model import Clauses, Decision, Rule

MIB = 1 << 20
GREEDY = bundle(rules("deny"), number=2, **{"data.json": b'{"d":[' + b"[]," * 12_000_000 + b"[]]}"})


@pytest.fixture
def bench() -> Iterator[Bench]:
    with new_bench() as made:
        made.store.publish(bundle(rules("allow"), number=1))
        yield made


def test_a_release_that_does_not_fit_into_memory_is_refused_and_the_old_one_answers_on(bench: Bench) -> None:
    sidecar = bench.start().wait_for(1)
    _leave(sidecar, 64 * MIB)

    bench.store.publish(GREEDY)
    rejection = until(lambda: sidecar.ask()["rejection"], "a rejection")

    assert (rejection["release"], "takes more memory than there is" in rejection["reason"]) == (2, True)
    assert sidecar.decide()["decision"] is True
    bench.store.publish(bundle(rules("deny"), number=3))
    sidecar.wait_for(3)
    until(lambda: sidecar.ask()["rejection"] is None, "nothing is refused any more")
    assert sidecar.stop() == 0


def test_a_release_whose_rehearsal_is_killed_is_tried_again_when_asked(bench: Bench) -> None:
    sidecar = bench.start().wait_for(1)
    many = [Clauses(actions=("act.0",), labels={f"l{n}": "x"}) for n in range(20_000)]
    slow = [Rule(policy="p", id=f"r{n}", decision=Decision.DENY, match=each) for n, each in enumerate(many)]

    bench.store.publish(bundle([*slow, *rules("deny")], number=2))
    os.kill(until(lambda: _child(sidecar), "a rehearsal"), signal.SIGKILL)
    rejection = until(lambda: sidecar.ask()["rejection"], "a rejection")

    assert (rejection["release"], rejection["reason"]) == (2, _KILLED)
    assert sidecar.release() == 1
    events = [event for event in sidecar.events() if event["event"] == "rejected"]
    assert [event["reason"] for event in events] == [_KILLED]
    assert call(bench.state / "admin.sock", "POST", "/refresh")["outcome"] == "activated"
    assert sidecar.decide()["decision"] is False


def test_a_sidecar_that_ends_takes_its_rehearsal_with_it(bench: Bench) -> None:
    sidecar = bench.start().wait_for(1)
    bench.store.publish(GREEDY)
    child = until(lambda: _child(sidecar), "a rehearsal")

    assert sidecar.stop() == 0

    until(lambda: not _is_running(child), "its end")


def _leave(sidecar: Process, more_bytes: int) -> None:
    """Let a sidecar, and what it starts, have just so much more memory than it has."""
    pages = int(Path(f"/proc/{sidecar.process.pid}/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + more_bytes
    resource.prlimit(sidecar.process.pid, resource.RLIMIT_AS, (most, most))


def _child(sidecar: Process) -> Any:
    found = Path(f"/proc/{sidecar.process.pid}/task").glob("*/children")
    numbers = [int(word) for file in found for word in file.read_text().split()]
    return next((each for each in numbers if b"agent_sidecar.rehearsal" in _command(each)), None)


def _command(number: int) -> bytes:
    try:
        return Path(f"/proc/{number}/cmdline").read_bytes()
    except OSError:
        return b""


def _is_running(number: int) -> bool:
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


_KILLED = "rehearsal: loading the bundle ended its process (SIGKILL)"
