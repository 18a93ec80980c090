"""Decisions in threads: bounded in time, known while they go on, and gone from the queue once nobody waits."""

import asyncio
import threading
from collections.abc import Iterator

import pytest

from agent_sidecar.server import waiting
from agent_sidecar.server.waiting import WaitingRoom
from policy_core.decision import Answer, refusal

ANSWER = refusal("no_matching_rule", "none")


@pytest.fixture
def room() -> Iterator[WaitingRoom]:
    made = WaitingRoom(threads=1, patience_s=0.05)
    yield made
    made.close()


def test_a_decision_is_made_in_a_thread(room: WaitingRoom) -> None:
    seen = []

    def decide() -> Answer:
        seen.append(threading.current_thread().name)
        return ANSWER

    assert asyncio.run(room.answer(decide)) is ANSWER
    assert seen == ["deciding_0"]


def test_patience_ends_and_what_had_not_begun_never_does(room: WaitingRoom) -> None:
    release, begun = threading.Event(), []

    def decide() -> Answer:
        begun.append(1)
        release.wait()
        return ANSWER

    async def both() -> list[object]:
        return await asyncio.gather(room.answer(decide), room.answer(decide), return_exceptions=True)

    found = asyncio.run(both())
    release.set()

    assert [type(each) for each in found] == [TimeoutError, TimeoutError]
    assert room.wait_for_all(5)
    assert begun == [1]


def test_what_is_under_way_can_be_waited_for(room: WaitingRoom) -> None:
    release = threading.Event()

    def decide() -> Answer:
        release.wait()
        return ANSWER

    with pytest.raises(TimeoutError):
        asyncio.run(room.answer(decide))

    assert not room.wait_for_all(0.01)
    release.set()
    assert room.wait_for_all(5)


def test_a_decision_is_under_way_before_anybody_waits_for_it(room: WaitingRoom) -> None:
    release = threading.Event()

    def decide() -> Answer:
        release.wait()
        return ANSWER

    answering = room.answer(decide)

    assert not room.wait_for_all(0.01)
    release.set()
    assert room.wait_for_all(5)
    assert asyncio.run(answering) is ANSWER


def test_a_full_room_turns_decisions_away_at_once(room: WaitingRoom, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "MAX_UNDERWAY", 1)
    release, begun = threading.Event(), []

    def decide() -> Answer:
        begun.append(1)
        release.wait()
        return ANSWER

    first, second = room.answer(decide), room.answer(decide)
    with pytest.raises(TimeoutError):
        asyncio.run(second)

    release.set()
    assert room.wait_for_all(5)
    assert asyncio.run(first) is ANSWER
    assert begun == [1]


def test_an_error_comes_back(room: WaitingRoom) -> None:
    with pytest.raises(ZeroDivisionError):
        asyncio.run(room.answer(lambda: 1 / 0))  # type: ignore[arg-type, return-value]
