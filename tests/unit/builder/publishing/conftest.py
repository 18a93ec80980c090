"""A store in which something happens at a chosen write, and processes that publish."""

import datetime
import types
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from stress.processes import Processes, processes

from builder.publishing.holders import Holders
from builder.publishing.key_changes import KeyChange


@pytest.fixture(scope="session")
def stage() -> Iterator[Processes]:
    """Run operations in processes of their own."""
    with processes() as running:
        yield running


class Killed(BaseException):
    """Stands for SIGKILL: nobody catches it."""


@pytest.fixture
def killed() -> type[Killed]:
    return Killed


@pytest.fixture
def disturbed(recording: type[Any]) -> Callable[..., Any]:
    """Make a store that calls `event` once, before its write number `at`, or after it (applied, answer lost)."""

    class Disturbed(recording):  # type: ignore[misc]
        def before(self, call: str) -> None:
            super().before(call)
            self.writes += call.startswith("put")
            self.happen(call, applied=False)

        def after(self, call: str) -> None:
            self.happen(call, applied=True)

        def happen(self, call: str, *, applied: bool) -> None:
            if call.startswith("put") and applied is self.applied and self.writes == self.at:
                event, self.event = self.event, lambda: None
                event()

    def make(store: Any, at: int, event: Callable[[], object], *, applied: bool = False) -> Any:
        made = Disturbed(store)
        made.at, made.event, made.applied, made.writes = at, event, applied, 0
        return made

    return make


@pytest.fixture
def raising() -> Callable[[BaseException], Callable[[], object]]:
    """Make an event of an exception."""

    def make(error: BaseException) -> Callable[[], object]:
        def event() -> object:
            raise error

        return event

    return make


@pytest.fixture
def let_it_be(world: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let it be some days later, for publishers and for hosts."""

    def later(days: int) -> None:
        now = world.now = world.now + datetime.timedelta(days=days)
        clock = types.SimpleNamespace(datetime=types.SimpleNamespace(now=lambda _: now), timezone=datetime.timezone)
        monkeypatch.setattr("tuf.ngclient._internal.trusted_metadata_set.datetime", clock)

    return later


@pytest.fixture
def rooted(peopled: Any) -> Any:
    """Give root and targets to two of Ana, Bo and Cy, too."""
    three = tuple(peopled.person(name).key for name in ("ana", "bo", "cy"))
    rings = [peopled.person(name).ring("root", "targets") for name in ("ana", "bo")]
    peopled.change_keys(KeyChange({"root": Holders(three, 2), "targets": Holders(three, 2)}), *rings)
    for role in ("root", "targets"):
        peopled.keys.path(role).unlink()
    return peopled
