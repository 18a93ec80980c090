"""Several processes that answer as one: real ones, each asked over a connection of its own, some of them killed."""

import contextlib
import fcntl
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from effort import PROFILE
from granting import ASKING, FILES, asking_request, grant_for
from sidecar_bench import REQUEST, Bench, Process, new_bench, until
from signed_store import bundle, denial, rules
from spooled import records

from agent_sidecar.calling import call
from policy_core.model import Clauses, Decision, Rate, RateScope, Rule

WORKERS = 4
LIMIT = 10
COUNTED = Rule(
    "p", "counted", Decision.THROTTLE, match=Clauses(actions=("counted",)),
    rate=Rate(LIMIT, 3600, ("resource.id",), RateScope.HOST),
)  # fmt: skip
STATEFUL = [ASKING, COUNTED, Rule("p", "yes", Decision.ALLOW, match=Clauses(actions=("counted", "act.0")))]


class Line:
    """A connection to one worker; `worker` is what its decision ids begin with."""

    def __init__(self, path: Path) -> None:
        self._connection = http.client.HTTPConnection("localhost", timeout=10)
        self._connection.sock = socket.socket(socket.AF_UNIX)
        self._connection.sock.settimeout(10)
        self._connection.sock.connect(str(path))
        self.worker = self.ask()["decision_id"].partition("-")[0]

    def ask(self, request: dict[str, Any] = REQUEST) -> dict[str, Any]:
        self._connection.request("POST", "/access/v1/evaluation", json.dumps(request))
        answer: dict[str, Any] = json.loads(self._connection.getresponse().read())["context"]
        return answer

    def close(self) -> None:
        self._connection.close()


@pytest.fixture
def bench() -> Iterator[Bench]:
    with new_bench(oncall=True) as made:
        yield made


def started(bench: Bench, *policy: Rule, **files: bytes) -> Process:
    bench.store.publish(bundle(list(policy) or rules("allow"), number=1, **files))
    sidecar = bench.start("--workers", str(WORKERS)).wait_for(1)
    until(lambda: len(ready(sidecar)) == WORKERS, f"workers: {sidecar.log.read_text()}")
    return sidecar


def ready(sidecar: Process) -> list[int]:
    """Return the process ids of the workers that answer, in the primary's words."""
    with contextlib.suppress(Exception):
        return [each["pid"] for each in admin(sidecar)["workers"] if each["ready"]]
    return []


def admin(sidecar: Process) -> dict[str, Any]:
    status: dict[str, Any] = call(sidecar.socket.parent / "state/admin.sock", "GET", "/status")
    return status


@contextlib.contextmanager
def lines(sidecar: Process) -> Iterator[list[Line]]:
    """Yield a connection to each worker."""
    found: dict[str, Line] = {}
    opened: list[Line] = []
    try:
        for _ in range(400):
            opened.append(Line(sidecar.socket))
            found.setdefault(opened[-1].worker, opened[-1])
            if len(found) == WORKERS:
                break
        assert len(found) == WORKERS, found
        yield list(found.values())
    finally:
        for line in opened:
            line.close()


def test_all_workers_answer_from_one_release_within_a_second_of_a_swap(bench: Bench) -> None:
    sidecar = started(bench)
    changed: dict[str, float] = {}
    stop = threading.Event()

    def watch(line: Line) -> list[int]:
        seen = [1]
        while not stop.is_set():
            seen.append(line.ask()["policy"]["release"])
            if seen[-1] == 2 and line.worker not in changed:
                changed[line.worker] = time.monotonic()
        return seen

    with lines(sidecar) as each, ThreadPoolExecutor(WORKERS) as threads:
        watching = [threads.submit(watch, line) for line in each]
        bench.store.publish(bundle(rules("deny", *["allow"] * 500), number=2))
        until(lambda: len(changed) == WORKERS, "all workers")
        stop.set()

        for done in watching:
            assert done.result() == sorted(done.result())
    assert max(changed.values()) - min(changed.values()) < 1.0
    assert {worker["release"] for worker in admin(sidecar)["workers"]} == {2}
    assert sidecar.stop() == 0


def test_a_rate_is_counted_once_for_all_workers(bench: Bench) -> None:
    sidecar = started(bench, *STATEFUL)
    request = REQUEST | {"action": {"name": "counted"}}

    with lines(sidecar) as each, ThreadPoolExecutor(WORKERS) as threads:
        many = threads.map(lambda line: [line.ask(request) for _ in range(8)], each)
        answers = [answer for some in many for answer in some]
        other = {"resource": {"type": "t", "id": "o", "properties": {"huge": 2**70, "text": "é\0"}}}
        assert each[0].ask(request | other)["decision"] == "allow"

    assert sorted(answer["decision"] for answer in answers) == ["allow"] * LIMIT + ["throttle"] * (8 * WORKERS - LIMIT)
    assert len({answer["decision_id"] for answer in answers}) == 8 * WORKERS
    assert admin(sidecar)["memory"]["counted_keys"] == 2


def test_a_grant_is_spent_once_for_all_workers(bench: Bench) -> None:
    sidecar = started(bench, *STATEFUL, **FILES)

    with lines(sidecar) as each, ThreadPoolExecutor(WORKERS) as threads:
        grant = grant_for(each[0].ask(asking_request())["approval"])
        answers = list(threads.map(lambda line: line.ask(asking_request(grant)), each))

    assert sorted(answer["decision"] for answer in answers) == ["allow"] + ["require_approval"] * (WORKERS - 1)


def test_rollback_and_emergencies_are_in_force_everywhere_when_they_are_confirmed(bench: Bench) -> None:
    sidecar = started(bench)
    bench.store.publish(bundle(rules("deny", "allow"), number=2))
    sidecar.wait_for(2)
    state = ["--state", str(bench.state)]

    with lines(sidecar) as each:
        assert [line.ask()["decision"] for line in each] == ["deny"] * WORKERS
        assert bench.command("rollback", *state, "--reason", "test").returncode == 0
        assert [line.ask()["decision"] for line in each] == ["allow"] * WORKERS
        bench.store.call(denial("act.0"))
        until(lambda: "emergency" in [event["event"] for event in sidecar.events()], "an emergency entry")
        assert [line.ask()["reason_code"] for line in each] == ["emergency_deny"] * WORKERS


def test_a_worker_that_dies_or_hangs_is_replaced_and_answers_from_what_is_in_force(bench: Bench) -> None:
    sidecar = started(bench)
    before = set(ready(sidecar))
    dead, hung, *_ = before

    os.kill(dead, signal.SIGKILL)
    os.kill(hung, signal.SIGSTOP)
    bench.store.publish(bundle(rules("deny"), number=2))

    until(lambda: len(set(ready(sidecar)) - {dead, hung}) == WORKERS, "replacements")
    assert {worker["release"] for worker in admin(sidecar)["workers"]} == {2}
    with lines(sidecar) as each:
        assert [line.ask()["decision"] for line in each] == ["deny"] * WORKERS
    assert len([event for event in sidecar.events() if event["event"] == "worker_ended"]) >= 2
    assert admin(sidecar)["workers_replaced"] >= 2


def test_workers_end_with_their_primary_however_it_ends(bench: Bench) -> None:
    sidecar = started(bench)
    workers = ready(sidecar)

    sidecar.process.kill()
    sidecar.process.wait()

    until(lambda: not any(map(is_running, workers)), "the end of all workers")


def test_requests_under_way_are_answered_when_the_sidecar_ends(bench: Bench) -> None:
    sidecar = started(bench)

    with lines(sidecar) as each:
        asked = threading.Thread(target=lambda: [line.ask() for line in each])
        asked.start()
        asked.join()
        workers = ready(sidecar)
        assert sidecar.stop() == 0

    assert not any(map(is_running, workers))
    assert sidecar.events()[-1]["event"] == "stopped"
    assert not sidecar.socket.exists()


def test_decisions_of_all_workers_are_counted_and_told_by_each(bench: Bench) -> None:
    sidecar = started(bench)

    with lines(sidecar) as each:
        for line in each:
            line.ask()
        until(lambda: admin(sidecar)["decisions"] >= 2 * WORKERS, "counts")
        until(lambda: sidecar.ask()["decisions"] >= 2 * WORKERS, "what workers tell of each other")
        assert sidecar.ask(path="/health/ready")["ready"] is True


def is_running(number: int) -> bool:
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_connections_opened_together_are_spread_over_the_workers(bench: Bench) -> None:
    sidecar = started(bench)
    sockets = [socket.socket(socket.AF_UNIX) for _ in range(40)]
    for sock in sockets:
        sock.connect(str(sidecar.socket))

    taken = until(lambda: _all_taken(sidecar, len(sockets)), "connections")

    for sock in sockets:
        sock.close()
    assert sum(count > 0 for count in taken) >= WORKERS - 1, taken
    assert max(taken) <= len(sockets) * 3 // 4, taken


def _all_taken(sidecar: Process, count: int) -> list[int]:
    taken = [worker["connections"] for worker in admin(sidecar)["workers"]]
    return taken if sum(taken) == count else []


@pytest.mark.skipif(PROFILE != "nightly", reason="takes as long as workers wait for their primary")
def test_workers_deny_while_their_primary_hangs(bench: Bench) -> None:
    sidecar = started(bench)

    with lines(sidecar) as each:
        sidecar.process.send_signal(signal.SIGSTOP)
        until(lambda: {line.ask()["reason_code"] for line in each} == {"policy_unavailable"}, "denials")
        sidecar.process.send_signal(signal.SIGCONT)
        until(lambda: {line.ask()["decision"] for line in each} == {"allow"}, "answers")
    assert admin(sidecar)["workers_replaced"] == 0


def test_a_process_that_is_stopped_while_it_writes_the_log_costs_denials_and_no_worker(bench: Bench) -> None:
    sidecar = started(bench)
    holding = "import fcntl, sys; f = open(sys.argv[1]); fcntl.flock(f, fcntl.LOCK_EX); print(flush=True); input()"
    lock = str(bench.state / "spool/lock")

    with lines(sidecar) as each, ThreadPoolExecutor(WORKERS) as threads:
        with subprocess.Popen(
            [sys.executable, "-c", holding, lock], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as holder:
            assert holder.stdout
            holder.stdout.readline()
            holder.send_signal(signal.SIGSTOP)
            denied = list(threads.map(lambda line: [line.ask()["reason_code"] for _ in range(20)], each))
            assert len(ready(sidecar)) == WORKERS
            holder.kill()
        assert [line.ask()["decision"] for line in each] == ["allow"] * WORKERS

    assert denied == [["log_unavailable"] * 20] * WORKERS
    assert admin(sidecar)["workers_replaced"] == 0


def test_decisions_of_all_workers_are_in_one_log_without_gaps(bench: Bench) -> None:
    sidecar = started(bench)
    (killed, *_) = ready(sidecar)

    with lines(sidecar) as each, ThreadPoolExecutor(WORKERS) as threads:
        asked = [line.ask()["decision_id"] for line in each]
        asked += [name for some in threads.map(_ask_until_gone, each, [killed] * WORKERS) for name in some]
    assert sidecar.stop() == 0

    logged = records(bench.state / "spool")
    decided = [each["answer"]["decision_id"] for each in logged if each["type"] == "decision"]
    assert len(decided) == len(set(decided))
    assert set(asked) <= set(decided)
    assert [each["seq"] for each in logged] == list(range(1, len(logged) + 1))


def _ask_until_gone(line: Line, killed: int) -> list[str]:
    """Ask many times; in the middle of it one of the workers is killed."""
    answered: list[str] = []
    with contextlib.suppress(OSError, http.client.HTTPException):
        for number in range(100):
            answered.append(line.ask()["decision_id"])
            if number == 50:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(killed, signal.SIGKILL)
    return answered


def test_the_status_tells_of_what_workers_could_not_log(bench: Bench) -> None:
    sidecar = started(bench)
    with lines(sidecar) as lines_, (sidecar.socket.parent / "state/spool/lock").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        answers = [line.ask()["reason_code"] for line in lines_[:2]]
        fcntl.flock(held, fcntl.LOCK_UN)

    assert answers == ["log_unavailable"] * 2
    until(lambda: admin(sidecar)["log"].get("denied") == 2, "denials that are counted")
