"""Channels that are added later: by thieves, by people who die on the way, by several at once."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from builder.publishing import metadata
from builder.publishing.enrol import enrol, preview_enrolment
from builder.publishing.private_keys import KeyMissingError, KeyUnusableError
from builder.publishing.publisher import Publisher
from builder.publishing.writing import put_numbered, swap_timestamp
from bundle_store.port import StoreUnavailableError
from policy_core.errors import ConflictError, TrustError
from policy_core.trust.errors import MetadataError

World = Any  # of ../conftest.py
WRITES = {1: "targets", 2: "channel role", 3: "snapshot role", 4: "timestamp"}


@pytest.fixture
def world(world_of: Any, file_url: str) -> World:
    world = world_of(file_url)
    world.publish()
    return world


def publishers(world: World, channel: str = "staging", **changes: Any) -> dict[str, Publisher]:
    return {name: world.publisher(name, **changes) for name in ("prod", channel)}


def add(world: World, channel: str = "staging", **changes: Any) -> bool:
    return enrol(channel, publishers(world, channel, **changes))


class TestAttacks:
    def test_a_publisher_without_the_targets_key_adds_nothing(self, world: World) -> None:
        world.keys.path("targets").unlink()

        with pytest.raises(KeyMissingError, match="must be signed by targets too"):
            add(world)

        assert not world.keys.path("staging").exists()
        assert "staging" not in world.publisher().reader.read().targets.delegations.roles

    def test_a_wrong_targets_key_adds_nothing(self, world: World) -> None:
        world.keys.path("targets").write_bytes(world.keys.path("snapshot").read_bytes())

        with pytest.raises(KeyMissingError, match=r"role targets: .* gives no key that may sign for it"):
            add(world)

        with pytest.raises(TrustError):
            world.seen("staging")

    def test_with_stolen_online_keys_hosts_refuse_the_delegation(self, world: World) -> None:
        """Who holds the keys of snapshot and timestamp pins a targets role that the snapshot key signed."""
        live = world.publisher().reader.read()
        added = metadata.first_targets(2, {"staging": live.keys("snapshot")[0]}, world.now)
        forged = world.keys.sign("snapshot", added, live.keys("snapshot"))
        version, data = put_numbered(world.store, "targets", 2, lambda _: forged)
        pins = {"targets": metadata.pin_of(version, data)}
        snapshot = metadata.next_snapshot(3, live.snapshot, live.chain.snapshot, pins, world.now)
        version, data = put_numbered(
            world.store, "snapshot", 3, lambda _: world.keys.sign("snapshot", snapshot, live.keys("snapshot"))
        )
        stamp = metadata.timestamp(live.timestamp.version + 1, metadata.pin_of(version, data), world.now)
        swap_timestamp(world.store, world.keys.sign("timestamp", stamp, live.keys("timestamp")), etag=live.etag)

        for channel in ("prod", "staging"):
            with pytest.raises(MetadataError, match="signed by 0/1 keys"):
                world.seen(channel)

    def test_a_key_directory_in_the_repository_gets_no_key(self, world: World) -> None:
        world.keys = replace(world.keys, repository=world.keys.directory.parent)

        with pytest.raises(KeyUnusableError, match="lies in the policy repository"):
            add(world)

        assert not world.keys.path("staging").exists()

    def test_a_key_that_is_there_is_not_overwritten(self, world: World) -> None:
        world.keys.create("staging")
        before = world.keys.path("staging").read_bytes()

        with pytest.raises(ConflictError, match="exists already"):
            world.keys.create("staging")

        assert world.keys.path("staging").read_bytes() == before
        assert world.keys.path("staging").stat().st_mode & 0o777 == 0o600
        assert not list(world.keys.directory.glob(".new-*"))


class TestAdding:
    def test_gives_hosts_a_channel_to_follow(self, world: World) -> None:
        assert add(world)

        assert world.seen("staging").release is None
        world.publish(channel="staging")
        assert world.seen("staging").release.release == 1

    def test_leaves_hosts_of_other_channels_where_they_were(self, world: World) -> None:
        host = world.host()
        host.refresh()

        add(world)

        assert host.refresh()[1].release == world.seen().release
        assert world.policies() == [(1, "publish")]
        world.folder.commit_policy("second")
        world.publish()
        assert host.refresh()[1].release.release == 2

    def test_again_is_nothing_to_do(self, world: World, recording: Any) -> None:
        add(world)
        store = recording(world.store)

        assert not add(world, store=store)
        assert not [call for call in store.calls if call.startswith("put")]

    def test_without_its_key_here_is_nothing_to_do_if_it_is_there(self, world: World) -> None:
        add(world)
        world.keys.path("staging").unlink()

        assert not add(world)
        assert not world.keys.path("staging").exists()

    def test_takes_the_key_of_a_signer(self, world: World, tmp_path: Path) -> None:
        world.keys.create("other")
        world.keys.path("other").rename(tmp_path / "elsewhere.pem")
        uri = f"file:{tmp_path / 'elsewhere.pem'}"
        world.keys = replace(world.keys, environment={"WRIT_SIGNER_STAGING": uri})

        add(world)

        assert not world.keys.path("staging").exists()
        world.publish(channel="staging")
        assert world.seen("staging").release.release == 1

    def test_is_previewed_without_a_trace(self, world: World, recording: Any) -> None:
        store = recording(world.store)

        preview = preview_enrolment("staging", publishers(world, store=store))

        assert (preview.there, preview.targets_version) == (False, 1)
        assert [(one.role, one.threshold, one.keys, one.new_key) for one in preview.signatories] == [
            ("staging", 1, 1, True), ("targets", 1, 1, False), ("snapshot", 1, 1, False), ("timestamp", 1, 1, False),
        ]  # fmt: skip
        assert not [call for call in store.calls if call.startswith("put")]
        assert not world.keys.path("staging").exists()


@pytest.mark.parametrize("applied", [False, True])
@pytest.mark.parametrize("at", WRITES)
class TestOnTheWay:
    def test_who_dies_leaves_nothing_visible_and_the_next_completes_it(
        self, world: World, disturbed: Any, raising: Any, killed: Any, at: int, applied: bool
    ) -> None:
        store = disturbed(world.store, at, raising(killed()), applied=applied)
        with pytest.raises(killed):
            add(world, store=store)
        committed = at == 4 and applied
        key = world.keys.path("staging").read_bytes()
        assert world.seen().release.release == 1

        assert add(world) is not committed

        assert world.keys.path("staging").read_bytes() == key
        assert world.seen("staging").release is None

    def test_who_dies_does_not_stop_publishers(
        self, world: World, disturbed: Any, raising: Any, killed: Any, at: int, applied: bool
    ) -> None:
        with pytest.raises(killed):
            add(world, store=disturbed(world.store, at, raising(killed()), applied=applied))
        world.folder.commit_policy("second")

        world.publish()

        assert world.seen().release.release == 2
        add(world)
        assert world.policies() == [(2, "publish"), (1, "publish")]
        assert world.seen("staging").release is None

    def test_a_lost_answer_is_read_back(
        self, world: World, disturbed: Any, raising: Any, at: int, applied: bool
    ) -> None:
        event = raising(StoreUnavailableError("409, 500 or no answer"))

        assert add(world, store=disturbed(world.store, at, event, applied=applied))

        assert world.seen("staging").release is None

    def test_a_publish_in_between_is_kept(self, world: World, disturbed: Any, at: int, applied: bool) -> None:
        world.folder.commit_policy("second")

        assert add(world, store=disturbed(world.store, at, world.publish, applied=applied))

        assert world.seen().release.release == 2
        assert world.seen("staging").release is None
        assert world.policies() == [(2, "publish"), (1, "publish")]

    def test_a_publish_keeps_a_channel_that_was_added_in_between(
        self, world: World, disturbed: Any, at: int, applied: bool
    ) -> None:
        world.folder.commit_policy("second")

        world.publish(store=disturbed(world.store, at, lambda: add(world), applied=applied))

        assert world.seen().release.release == 2
        assert world.seen("staging").release is None

    def test_another_channel_in_between_is_kept(self, world: World, disturbed: Any, at: int, applied: bool) -> None:
        assert add(world, store=disturbed(world.store, at, lambda: add(world, "canary"), applied=applied))

        assert world.seen("canary").release is world.seen("staging").release is None

    def test_the_same_channel_with_another_key_has_one_winner(
        self, world: World, disturbed: Any, at: int, applied: bool, tmp_path: Path
    ) -> None:
        colleague = replace(world.keys, directory=tmp_path / "colleague")
        colleague.directory.mkdir(mode=0o700)
        for role in ("targets", "snapshot", "timestamp"):
            (colleague.directory / f"{role}.pem").symlink_to(world.keys.path(role))
        store = disturbed(world.store, at, lambda: add(world, key_ring=colleague), applied=applied)

        if at == 4 and applied:  # the colleague came too late, and was told so before a key was made
            assert add(world, store=store)
            winner = world.keys
        else:
            with pytest.raises(ConflictError, match="is there already, with another key"):
                add(world, store=store)
            winner = colleague

        (key,) = world.publisher("staging").reader.read().keys("staging")
        assert key.keyid == winner.public_key("staging").keyid
