"""Signs of life: given while the polling thread moves on, withheld and explained while it does not."""

import asyncio
from typing import Any

import pytest

from agent_sidecar import supervision
from agent_sidecar.supervision import Supervision, every_tick


class Manager:
    """Takes what a notifier would send."""

    watchdog_s = 0.02

    def __init__(self) -> None:
        self.lives = 0
        self.lines: list[str] = []

    def alive(self) -> None:
        self.lives += 1

    def status(self, line: str) -> None:
        self.lines.append(line)


class Thread:
    is_stuck = False


async def supervised(manager: Manager, thread: Thread, summary: Any, seconds: float) -> None:
    supervision = Supervision(manager, thread, summary=summary)  # type: ignore[arg-type]
    try:
        async with asyncio.timeout(seconds):
            await supervision.run()
    except TimeoutError:
        return


def test_a_thread_that_is_stuck_is_told_of_once_and_gets_no_signs_of_life(caplog: pytest.LogCaptureFixture) -> None:
    manager, thread = Manager(), Thread()
    thread.is_stuck = True

    asyncio.run(supervised(manager, thread, lambda: "fine", 0.1))

    assert (manager.lives, manager.lines) == (0, ["fine"])
    assert [record.getMessage() for record in caplog.records] == ["watchdog_withheld"]


def test_signs_of_life_come_back_with_the_thread() -> None:
    manager, thread = Manager(), Thread()

    asyncio.run(supervised(manager, thread, lambda: "fine", 0.1))

    assert manager.lives >= 3


def test_a_summary_that_fails_is_no_reason_to_be_killed(caplog: pytest.LogCaptureFixture) -> None:
    manager = Manager()

    asyncio.run(supervised(manager, Thread(), lambda: 1 / 0, 0.1))

    assert manager.lives >= 3
    assert [record.getMessage() for record in caplog.records] == ["status_failed"]


def test_what_is_done_each_second_goes_on_after_a_bug_which_is_told_of_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervision, "TICK_S", 0.001)
    outcomes = iter([KeyError("x"), KeyError("x"), ValueError("y")])
    done = []

    def work() -> None:
        done.append(next(outcomes, None))
        if done[-1]:
            raise done[-1]

    async def a_while() -> None:
        async with asyncio.timeout(0.2):
            await every_tick(work)

    with pytest.raises(TimeoutError):
        asyncio.run(a_while())

    assert len(done) > 3
    assert [record.getMessage() for record in caplog.records] == ["tick_failed"] * 2
