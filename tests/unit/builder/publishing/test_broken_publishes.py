"""Publishers that die, and stores that lose answers, at every single request."""

from collections.abc import Callable
from typing import Any

import pytest

from builder.publishing.initialise import initialise_store
from bundle_store.opening import open_store
from bundle_store.port import StoreUnavailableError

World = Any  # of conftest.py


class Killed(BaseException):
    """Stands for SIGKILL: nobody catches it."""


@pytest.fixture
def failing(recording: type[Any]) -> Callable[..., Any]:
    """Make a store that raises `error` at its write number `at`: before it, or after it (applied, answer lost)."""

    class Failing(recording):  # type: ignore[misc]
        def before(self, call: str) -> None:
            super().before(call)
            if call.startswith("put") and not self.applied:
                self.fail()

        def after(self, call: str) -> None:
            if self.applied:
                self.fail()

        def fail(self) -> None:
            self.writes += 1
            if self.at <= self.writes < self.at + self.times:
                raise self.error

    def make(world: World, at: int, error: BaseException, *, applied: bool, times: int = 1) -> Any:
        store = Failing(world.store)
        store.at, store.error, store.applied, store.times, store.writes = at, error, applied, times, 0
        return store

    return make


@pytest.fixture
def world(world: World) -> World:
    world.publish()
    return world


WRITES = {1: "bundle", 2: "provenance", 3: "channel role", 4: "snapshot role", 5: "timestamp"}


@pytest.mark.parametrize("applied", [False, True])
@pytest.mark.parametrize("at", WRITES)
class TestAPublish:
    def test_that_was_killed_is_completed_by_the_next(self, world: World, failing: Any, at: int, applied: bool) -> None:
        world.folder.commit_policy("second")
        with pytest.raises(Killed):
            world.publish(store=failing(world, at, Killed(), applied=applied))
        committed = WRITES[at] == "timestamp" and applied
        assert world.seen().release.release == (2 if committed else 1)

        outcome = world.publish()

        assert outcome.committed is not committed
        assert world.seen().release.release == 2
        assert world.policies() == [(2, "publish"), (1, "publish")]

    def test_that_was_killed_does_not_stop_another_commit(
        self, world: World, failing: Any, at: int, applied: bool
    ) -> None:
        world.folder.commit_policy("second")
        with pytest.raises(Killed):
            world.publish(store=failing(world, at, Killed(), applied=applied))

        newest = world.folder.commit_policy("third")
        world.publish()

        assert world.seen().release.revision == newest

    def test_with_a_lost_answer_reads_back_and_goes_on(
        self, world: World, failing: Any, at: int, applied: bool
    ) -> None:
        world.folder.commit_policy("second")
        store = failing(world, at, StoreUnavailableError("409, 500 or no answer"), applied=applied)

        outcome = world.publish(store=store)

        assert outcome.committed
        assert world.policies() == [(2, "publish"), (1, "publish")]

    def test_whose_store_stays_away_fails_and_can_be_repeated(
        self, world: World, failing: Any, at: int, applied: bool
    ) -> None:
        world.folder.commit_policy("second")
        store = failing(world, at, StoreUnavailableError("500"), applied=applied, times=100)

        if not applied:  # an applied write is found when it is read back
            with pytest.raises(StoreUnavailableError):
                world.publish(store=store)
        world.publish()

        assert world.policies() == [(2, "publish"), (1, "publish")]


@pytest.mark.parametrize("at", range(1, 6))
def test_an_interrupted_beginning_is_completed_by_the_next(world_of: Any, tmp_path: Any, failing: Any, at: int) -> None:
    world = world_of((tmp_path / "other").as_uri())
    store = open_store((tmp_path / "new").as_uri())
    world.store = store
    arguments = (world.trusted_root, world.keys, ("prod",), world.now)
    with pytest.raises(Killed):
        initialise_store(failing(world, at, Killed(), applied=True), *arguments)

    assert initialise_store(store, *arguments) is (at != 5)
    assert initialise_store(store, *arguments) is False
    assert world.seen().release is None


def test_a_lost_answer_with_others_on_top_is_still_recognised(world: World, recording: Any) -> None:
    """The timestamp was written, the answer lost, and somebody else has refreshed it before we read back."""
    world.folder.commit_policy("second")

    class Lossy(recording):  # type: ignore[misc]
        lost = False

        def after(self, call: str) -> None:
            if call == "put metadata/timestamp.json" and not self.lost:
                self.lost = True
                world.folder.commit_policy("third")
                world.publish()
                raise StoreUnavailableError("no answer")

    second = world.folder.git("rev-parse", "HEAD")
    outcome = world.publish(second, store=Lossy(world.store))

    assert outcome.committed
    assert outcome.release.revision == second
    assert outcome.note == "release 2 was committed, but by now release 3 is live"
    assert world.policies() == [(3, "publish"), (2, "publish"), (1, "publish")]


def test_a_rollback_with_a_lost_answer_is_one_release(world: World, failing: Any) -> None:
    world.folder.commit_policy("second")
    world.publish()
    store = failing(world, 3, StoreUnavailableError("no answer"), applied=True)  # no bundle: the third is the timestamp

    world.roll_back(store=store)

    assert world.policies() == [(3, "rollback"), (2, "publish"), (1, "publish")]
