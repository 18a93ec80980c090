"""Decisions a primary makes for its workers: an answer always, unless that would take too long."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent_sidecar.host_clock import HostClock
from agent_sidecar.memory import HostMemory, WouldWaitError
from agent_sidecar.server.waiting import WaitingRoom
from agent_sidecar.workers.deciding import Deciding
from agent_sidecar.workers.messages import Decide
from policy_core.decision import Answer, refusal
from policy_core.memory import Looking


class InForce:
    """Answers with what its memory is, waits first, or fails."""

    def __init__(self) -> None:
        self.waits_s: float | None = None
        self.seen: list[Any] = []

    def answer(self, raw: Any, *, now: float, decision_id: str, memory: Any) -> Answer:
        self.seen.append(memory)
        if raw == "broken":
            raise ValueError(raw)
        if self.waits_s is not None:
            if len(self.seen) == 1:
                raise WouldWaitError
            time.sleep(self.waits_s)
        return refusal("seen", str(raw), decision_id=decision_id)


@pytest.fixture
def in_force() -> InForce:
    return InForce()


@pytest.fixture
def decide(in_force: InForce, tmp_path: Path) -> Iterator[Any]:
    clock, room = HostClock(), WaitingRoom(threads=1, patience_s=0.2)
    memory = HostMemory(tmp_path, host_id="h", clock=clock, fleet=None)
    deciding = Deciding(in_force=lambda: in_force, clock=clock, memory=memory, room=room)

    def run(request: bytes, *, is_trial: bool = False) -> Any:
        async def ask() -> Answer | None:
            return await deciding(Decide(1, request, "d-1", is_trial))

        return asyncio.run(ask())

    yield run
    room.close()


def test_it_answers_at_once_or_from_a_thread(decide: Any, in_force: InForce) -> None:
    assert decide(b'{"n":1}').reason == "{'n': 1}"
    in_force.seen.clear()
    in_force.waits_s = 0.0

    answer = decide(b"2")

    assert (answer.reason, answer.decision_id, len(in_force.seen)) == ("2", "d-1", 2)


def test_a_trial_only_looks(decide: Any, in_force: InForce) -> None:
    in_force.waits_s = 0.0

    decide(b"1", is_trial=True)

    assert all(isinstance(memory, Looking) for memory in in_force.seen)


def test_what_takes_too_long_has_no_answer(decide: Any, in_force: InForce) -> None:
    in_force.waits_s = 0.4

    assert decide(b"1") is None


@pytest.mark.parametrize("request_", [b'"broken"', b"{"])
def test_what_fails_is_denied(decide: Any, request_: bytes) -> None:
    answer = decide(request_)

    assert (answer.decision, answer.reason_code) == ("deny", "evaluation_error")
