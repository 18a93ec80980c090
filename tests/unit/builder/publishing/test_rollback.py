from typing import Any

import pytest

from builder.publishing.rollback import NoSuchReleaseError
from bundle_store.port import ObjectNotFoundError

World = Any  # of ../conftest.py


@pytest.fixture
def world(world: World) -> World:
    """Releases 1, 2 and 3 with policies *first*, *second* and *third*."""
    world.publish()
    for reason in ("second", "third"):
        world.folder.commit_policy(reason)
        world.publish()
    return world


def live_reason(world: World) -> str:
    """Return what the live policy says."""
    text: str = world.folder.git("show", f"{world.seen().release.revision}:policies/a.yaml")
    return text.rpartition("reason: ")[2]


def test_a_rollback_is_a_higher_release_with_older_bytes(world: World) -> None:
    second = world.host().refresh()[1]

    outcome = world.roll_back(reason="too strict")

    release = world.seen().release
    assert release == outcome.release
    assert (release.release, release.action, release.reason) == (4, "rollback", "too strict")
    assert release.sha256 != second.release.sha256
    assert live_reason(world) == "second"


def test_hosts_accept_it_without_a_download(world: World, recording: type[Any]) -> None:
    store = recording(world.store)
    host = world.host(store=store)
    host.refresh()
    world.roll_back()
    store.calls.clear()

    assert host.refresh()[1].release.release == 4
    assert not [call for call in store.calls if "targets/prod" in call]


def test_a_rollback_writes_no_bundle(world: World, recording: type[Any]) -> None:
    store = recording(world.store)

    world.roll_back(store=store)

    assert [call for call in store.calls if call.startswith("put")] == [
        "put metadata/5.prod.json", "put metadata/5.snapshot.json", "put metadata/timestamp.json",
    ]  # fmt: skip


def test_a_second_one_goes_further_back_and_never_returns(world: World) -> None:
    world.roll_back()
    world.roll_back()

    assert live_reason(world) == "first"
    with pytest.raises(NoSuchReleaseError, match="no earlier release with another policy"):
        world.roll_back()


def test_any_release_that_ever_was_live_can_be_named(world: World) -> None:
    world.roll_back(1)
    assert live_reason(world) == "first"

    world.roll_back(3)
    assert live_reason(world) == "third"

    world.roll_back(4)  # itself a rollback
    assert live_reason(world) == "first"
    assert world.seen().release.release == 6


def test_after_a_new_publish_it_goes_to_what_was_live_before(world: World) -> None:
    world.roll_back(1)
    world.folder.commit_policy("fifth")
    world.publish()

    world.roll_back()

    assert live_reason(world) == "first"


def test_a_revert_by_commit_is_rolled_back_to_what_was_before_it(world: World) -> None:
    world.folder.commit_policy("first")  # the old policy again, as a new commit
    world.publish()

    world.roll_back()

    assert live_reason(world) == "third"


@pytest.mark.parametrize("to", [3, None])
def test_rolling_back_to_the_live_bytes_is_nothing_to_do(world: World, to: int | None) -> None:
    if to is None:
        world.roll_back(2)
        to = 2

    outcome = world.roll_back(to)

    assert not outcome.committed
    assert f"has the bundle of release {to}" in outcome.note


@pytest.mark.parametrize("to", [0, 4, 99])
def test_a_release_that_never_was_is_refused(world: World, to: int) -> None:
    with pytest.raises(NoSuchReleaseError, match=rf"no release {to} \(the live one is 3\)"):
        world.roll_back(to)


def test_an_empty_channel_cannot_be_rolled_back(world_of: Any, file_url: str) -> None:
    world = world_of(file_url)

    with pytest.raises(NoSuchReleaseError, match="nothing was ever released"):
        world.roll_back()


def test_a_bundle_that_is_gone_is_not_rolled_back_to(world: World, tmp_path: Any) -> None:
    for bundle in (tmp_path / "store" / "targets" / "prod").iterdir():
        bundle.unlink()

    with pytest.raises(ObjectNotFoundError):
        world.roll_back()

    assert world.seen().release.release == 3
