"""A rehearsal ends badly in its own process: real bundles that eat memory or time, and a child that is killed."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from signed_store import bundle, rules

from agent_sidecar.rehearsal.rehearsing import RefusedError, Rehearsal, RehearsalError
from policy_core.model import Clauses, Decision, Rule

GOOD = bundle(rules("allow"), number=1)
GREEDY = bundle(rules("allow"), number=2, **{"data.json": b'{"d":[' + b"[]," * 3_000_000 + b"[]]}"})
MIB = 1 << 20


def _slow() -> bytes:
    """Return a bundle that takes seconds to load: so many rules, none of which shares a clause with another."""
    match = [Clauses(actions=(f"act.{n}",), labels={f"l{n}": "x", "m": f"{n}*"}) for n in range(40_000)]
    return bundle(
        [Rule(policy="p", id=f"r{n}", decision=Decision.DENY, match=each) for n, each in enumerate(match)], number=3
    )


SLOW = _slow()


def test_what_can_be_loaded_is_measured():
    rehearsal = Rehearsal()

    rehearsal(GOOD)

    assert 0 <= rehearsal.last.peak_bytes < 64 * MIB
    assert 0 < rehearsal.last.seconds < 30


def test_what_eats_memory_is_stopped_where_none_is_left():
    rehearsal = Rehearsal(room=lambda: 64 * MIB)

    with pytest.raises(RehearsalError, match=r"takes more memory than there is \(more than 64 MiB\)"):
        rehearsal(GREEDY)
    rehearsal(GOOD)


def test_what_loads_for_ever_is_stopped():
    with pytest.raises(RehearsalError, match="takes more than 1 s of a processor"):
        Rehearsal(max_cpu_s=1)(SLOW)


def test_nobody_waits_for_ever_where_processors_are_busy():
    with pytest.raises(RehearsalError, match="was not loaded within 0 s"):
        Rehearsal(patience_s=0.3)(SLOW)

    assert not _children()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_crash_is_no_verdict_on_the_bytes(number: signal.Signals):
    threading.Thread(target=_kill_child, args=(number,)).start()

    with pytest.raises(RehearsalError, match=re.escape(f"ended its process ({number.name})")):
        Rehearsal()(SLOW)


def test_closing_ends_it_and_begins_no_more():
    rehearsal = Rehearsal()
    threading.Thread(target=lambda: (_await_child(), rehearsal.close())).start()

    with pytest.raises(RehearsalError):
        rehearsal(SLOW)
    with pytest.raises(RehearsalError, match="is ending"):
        rehearsal(GOOD)


def test_what_is_refused_is_refused_in_the_words_of_the_loader():
    damaged = bundle(rules("allow"), number=1, **{"matcher.jsonl": b'{"format":1,"rules":2}\n[]\n'})

    with pytest.raises(RefusedError, match="wrong number of rules"):
        Rehearsal()(damaged)
    with pytest.raises(RefusedError, match="not a bundle archive"):
        Rehearsal()(b"")


def test_a_child_steps_back_behind_requests():
    seen: list[tuple[int, str]] = []

    def look() -> None:
        child = _await_child()
        while not os.getpriority(os.PRIO_PROCESS, child):
            time.sleep(0.005)
        time.sleep(0.05)
        seen.append((os.getpriority(os.PRIO_PROCESS, child), Path(f"/proc/{child}/oom_score_adj").read_text().strip()))

    looking = threading.Thread(target=look)
    looking.start()
    Rehearsal()(SLOW)
    looking.join()

    assert seen == [(5, "1000")]


def test_a_child_that_is_given_too_little_is_followed_by_one_that_competes():
    seen: dict[int, set[int]] = {}
    is_over = threading.Event()

    def look() -> None:
        while not is_over.wait(0.005):
            with contextlib.suppress(OSError):
                for child in _children():
                    seen.setdefault(child, set()).add(os.getpriority(os.PRIO_PROCESS, child))

    looking = threading.Thread(target=look)
    looking.start()
    rehearsal = Rehearsal(stepped_back_s=0.5)
    rehearsal(SLOW)
    is_over.set()
    looking.join()

    assert [max(priorities) for priorities in seen.values()] == [5, 0]
    assert rehearsal.last.seconds > 0


def test_a_child_ends_with_its_parent(tmp_path: Path):
    (tmp_path / "slow").write_bytes(SLOW)
    code = (
        "from agent_sidecar.rehearsal.rehearsing import Rehearsal as R; import sys; R()(open(sys.argv[1], 'rb').read())"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "slow")]) as parent:
        while not (children := _children(parent.pid)):
            time.sleep(0.005)
        time.sleep(0.5)
        parent.kill()
    began = time.monotonic()

    while _is_running(children[0]):
        assert time.monotonic() - began < 1.0
        time.sleep(0.01)


def _is_running(number: int) -> bool:
    with contextlib.suppress(OSError):
        return b"agent_sidecar.rehearsal" in Path(f"/proc/{number}/cmdline").read_bytes()
    return False


def _children(parent: int | None = None) -> list[int]:
    """Return rehearsals this process, or another one, has started."""
    found = Path(f"/proc/{parent or os.getpid()}/task").glob("*/children")
    numbers = [int(word) for file in found for word in file.read_text().split()]
    return [number for number in numbers if b"agent_sidecar.rehearsal" in Path(f"/proc/{number}/cmdline").read_bytes()]


def _await_child() -> int:
    while not (found := _children()):
        time.sleep(0.005)
    return found[0]


def _kill_child(number: signal.Signals) -> None:
    child = _await_child()
    time.sleep(0.1)
    os.kill(child, number)
