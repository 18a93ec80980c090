"""Publishers in each other's way, interleaved on purpose: at a chosen request, the other one runs to its end."""

import datetime
from collections.abc import Callable
from typing import Any

import pytest

from builder.publishing.publish import SupersededError
from builder.publishing.refresh import refresh
from policy_core.errors import ConflictError

World = Any  # of conftest.py
LAST_WRITE = "put metadata/timestamp.json"


@pytest.fixture
def interleaved(recording: type[Any], world_of: Any, store_url: str) -> Callable[..., Any]:
    """Make a store that lets `other` run once, just before the call named `at`."""

    class Interleaved(recording):  # type: ignore[misc]
        def before(self, call: str) -> None:
            super().before(call)
            if call == self.at and self.other is not None:
                other, self.other = self.other, None
                other()

    def make(world: World, other: Callable[[], object], *, at: str = LAST_WRITE) -> Any:
        store = Interleaved(world.store)
        store.at, store.other = at, other
        return store

    return make


@pytest.fixture
def world(world_of: Any, store_url: str) -> World:
    world = world_of(store_url, channels=("staging", "prod"))
    world.publish()
    return world


def test_both_of_two_channels_are_published(world: World, interleaved: Any) -> None:
    world.folder.commit_policy("second")

    world.publish(store=interleaved(world, lambda: world.publish(channel="staging")))

    assert world.seen("prod").release.release == 2
    assert world.seen("staging").release.release == 1


def test_the_channel_role_is_not_signed_again_when_another_channel_won(world: World, interleaved: Any) -> None:
    world.folder.commit_policy("second")
    store = interleaved(world, lambda: world.publish(channel="staging"))

    world.publish(store=store)

    assert [call for call in store.calls if call.startswith("put") and call.endswith(".prod.json")] == [
        "put metadata/3.prod.json"
    ]


@pytest.mark.parametrize("at", ["put metadata/3.prod.json", "put metadata/3.snapshot.json", LAST_WRITE])
def test_an_ancestor_loses_against_its_descendant(world: World, interleaved: Any, at: str) -> None:
    older = world.folder.commit_policy("second")
    newer = world.folder.commit_policy("third")
    store = interleaved(world, lambda: world.publish(newer), at=at)

    with pytest.raises(SupersededError, match="superseded by release 2"):
        world.publish(older, store=store)

    assert world.seen().release.revision == newer
    assert world.policies() == [(2, "publish"), (1, "publish")]


@pytest.mark.parametrize("at", ["put metadata/3.prod.json", "put metadata/3.snapshot.json", LAST_WRITE])
def test_a_descendant_goes_on_top_of_its_ancestor(world: World, interleaved: Any, at: str) -> None:
    older = world.folder.commit_policy("second")
    newer = world.folder.commit_policy("third")
    store = interleaved(world, lambda: world.publish(older), at=at)

    outcome = world.publish(newer, store=store)

    assert outcome.release.release == 3
    assert world.seen().release.revision == newer


def test_two_publishers_of_one_commit_make_one_release(world: World, interleaved: Any) -> None:
    world.folder.commit_policy("second")

    def a_second_later() -> None:
        world.now += datetime.timedelta(seconds=1)
        world.publish()

    outcome = world.publish(store=interleaved(world, a_second_later))

    assert not outcome.committed
    assert world.policies() == [(2, "publish"), (1, "publish")]


def test_two_publishers_of_one_commit_in_one_second_write_the_same_bytes(world: World, interleaved: Any) -> None:
    world.folder.commit_policy("second")

    outcome = world.publish(store=interleaved(world, world.publish))

    assert outcome.committed
    assert world.policies() == [(2, "publish"), (1, "publish")]


def test_a_rollback_in_between_stops_the_publish_it_was_meant_for(world: World, interleaved: Any) -> None:
    world.folder.commit_policy("second")

    def publish_and_roll_back() -> None:
        world.now += datetime.timedelta(seconds=1)
        world.publish()
        world.roll_back()

    with pytest.raises(SupersededError, match="was rolled back by release 3"):
        world.publish(store=interleaved(world, publish_and_roll_back))

    assert world.seen().release.action == "rollback"


def test_a_refresh_in_between_costs_one_more_attempt(world: World, interleaved: Any) -> None:
    world.folder.commit_policy("second")
    store = interleaved(world, lambda: refresh([world.publisher()]))

    outcome = world.publish(store=store)

    assert outcome.committed
    assert store.calls.count(LAST_WRITE) == 2


def test_a_refresh_that_loses_is_done(world: World, interleaved: Any) -> None:
    world.folder.commit_policy("second")
    store = interleaved(world, world.publish)

    refresh([world.publisher(store=store)])

    assert store.calls.count(LAST_WRITE) == 1
    assert world.seen().release.release == 2


def test_a_publisher_that_always_loses_gives_up(world: World, recording: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("builder.publishing.writing.time.sleep", lambda _: None)
    world.folder.commit_policy("second")

    class Busy(recording):  # type: ignore[misc]
        def before(self, call: str) -> None:
            if call == LAST_WRITE:
                refresh([world.publisher()])

    with pytest.raises(ConflictError, match="lost 8 races"):
        world.publish(store=Busy(world.store))

    assert world.policies() == [(1, "publish")]
