"""Workers are kept whatever goes wrong in the primary, and each hears all that any of them is told."""

import asyncio
import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from agent_sidecar.workers import crew as crews
from agent_sidecar.workers.crew import Crew
from agent_sidecar.workers.messages import Adjust, Counts, Enforce, Told


class FakeMember:
    """A worker that carries out what it hears; `opening` is what happens while its channel opens."""

    made: ClassVar[list["FakeMember"]] = []
    opening: Callable[["FakeMember"], None] = staticmethod(lambda _: None)

    def __init__(self, configuration: Any, _sockets: Any, *, decide: Any) -> None:
        self.configuration = configuration
        self.decide = decide
        self.counts = Counts(connections=3)
        self.is_open = False
        self.release = 0
        self.problem = ""
        self.gone = asyncio.Event()
        self.heard: list[Any] = []
        self.channel = SimpleNamespace(send=self.heard.append)
        self.process = SimpleNamespace(pid=1, wait=lambda: 0)
        FakeMember.made.append(self)

    async def begin(self) -> None:
        await asyncio.sleep(0)
        FakeMember.opening(self)

    def order(self, order: Enforce) -> "asyncio.Future[str]":
        self.heard.append(order)
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        future.set_result("")
        return future

    async def follow_up(self) -> bool:
        return True

    def open(self) -> None:
        self.is_open = True

    def tick(self) -> None:
        pass

    def kill(self, reason: str) -> None:
        self.problem = self.problem or reason
        self.gone.set()


@pytest.fixture(autouse=True)
def _fake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeMember, "made", [])
    monkeypatch.setattr(FakeMember, "opening", staticmethod(lambda _: None))
    monkeypatch.setattr(crews, "Member", FakeMember)
    monkeypatch.setattr(crews, "FIRST_DELAY_S", 0.01)
    monkeypatch.setattr(crews, "TICK_S", 0.01)


def new_crew(told: Callable[[], Told]) -> Crew:
    configuration = SimpleNamespace(limits=SimpleNamespace(drain_s=0.0))
    return Crew(1, configuration, decide=None, told=told, keep=lambda: ())  # type: ignore[arg-type]


TOLD: Any = Told(status=None, metrics=b"", host_time=1.0)  # type: ignore[arg-type]


async def _until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not holds():
            await asyncio.sleep(0.001)


def _ended(crew: Crew) -> None:
    for task in crew._tasks:
        task.cancel()


def test_a_worker_whose_start_fails_by_a_bug_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(member: FakeMember) -> None:
        if len(FakeMember.made) == 1:
            raise ZeroDivisionError

    monkeypatch.setattr(FakeMember, "opening", staticmethod(failing))

    async def run() -> None:
        crew = new_crew(lambda: TOLD)
        crew.start({})
        await _until(lambda: len(FakeMember.made) == 2 and FakeMember.made[1].is_open)
        assert crew.replaced == 1
        assert len(crew.status()) == 1
        assert crew.counts().connections == 3
        _ended(crew)

    asyncio.run(run())


def test_a_status_that_cannot_be_told_ends_no_worker() -> None:
    times: list[int] = []

    def told() -> Told:
        times.append(1)
        if len(times) > 1:
            raise ZeroDivisionError
        return TOLD

    async def run() -> list[Any]:
        crew = new_crew(told)
        crew.start({})
        await _until(lambda: len(times) > 5)
        _ended(crew)
        assert FakeMember.made[0].is_open
        return FakeMember.made[0].heard

    assert [each for each in asyncio.run(run()) if isinstance(each, Told)][-1] is TOLD


def test_what_changes_while_a_worker_starts_reaches_it_once(monkeypatch: pytest.MonkeyPatch) -> None:
    order = Enforce(number=7, release=None, reason="x", deny_after=math.inf)

    async def run() -> list[Any]:
        crew = new_crew(lambda: TOLD)
        monkeypatch.setattr(crews, "replace", lambda configuration, **_: configuration)

        def changing(_: FakeMember) -> None:
            crew.adjust("binds", ())
            enforcing.append(asyncio.get_running_loop().create_task(crew._enforce(order)))

        enforcing: list[asyncio.Task[None]] = []
        monkeypatch.setattr(FakeMember, "opening", staticmethod(changing))
        crew.start({})
        await _until(lambda: bool(enforcing) and enforcing[0].done())
        _ended(crew)
        return FakeMember.made[0].heard

    heard = asyncio.run(run())
    assert [type(each) for each in heard if not isinstance(each, Told)] == [Enforce, Adjust, Enforce]
    assert [each.number for each in heard if isinstance(each, Enforce)] == [0, 7]
