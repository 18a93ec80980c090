"""Years of maintenance, with real clients that were away for some of them."""

import datetime
from typing import Any

import pytest
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, Role

from builder.publishing import metadata
from builder.publishing.holders import Holders
from builder.publishing.initialise import initialise_store
from builder.publishing.key_changes import KeyChange
from builder.publishing.maintain import maintain
from builder.publishing.private_keys import KeyMissingError, KeyUnusableError
from builder.publishing.staging import StagedStateError
from bundle_store.opening import open_store
from bundle_store.port import ObjectNotFoundError, StoreUnavailableError
from policy_core.errors import TrustError
from policy_core.trust.errors import ExpiredError
from policy_core.trust.layout import metadata_name

World = Any  # of ../conftest.py
WRITES = {1: "targets", 2: "channel role", 3: "channel role", 4: "snapshot role", 5: "root", 6: "timestamp"}
ALL = ("prod", "root", "snapshot", "staging", "targets", "timestamp")


@pytest.fixture
def world(world_of: Any, file_url: str) -> World:
    world = world_of(file_url, channels=("staging", "prod"))
    world.publish()
    return world


def keep(world: World, **changes: Any) -> Any:
    return maintain({channel: world.publisher(channel, **changes) for channel in ("staging", "prod")})


def puts(store: Any) -> list[str]:
    return [call for call in store.calls if call.startswith("put")]


class TestAttacks:
    def test_a_root_that_others_signed_is_not_built_upon(self, world: World, let_it_be: Any) -> None:
        """Who can write to the store puts the next root there: it holds everybody up, and nobody takes it."""
        forged = Metadata(metadata.next_root(world.publisher().reader.read().root, world.now))
        forged.sign(CryptoSigner.generate_ed25519())
        world.store.put(metadata_name("root", 2), forged.to_bytes(), if_etag=None)
        let_it_be(310)

        with pytest.raises(TrustError, match=r"root: .*signed by 0/1 keys"):
            keep(world)

    def test_a_root_that_hosts_would_refuse_is_never_written(self, world: World, let_it_be: Any) -> None:
        """With another key in root.pem: such a root would lock out every host for good."""
        world.keys.path("root").write_bytes(world.keys.path("prod").read_bytes())
        let_it_be(310)

        with pytest.raises(KeyUnusableError, match=r"role root: .* gives no key that may sign for it"):
            keep(world)

        with pytest.raises(ObjectNotFoundError):
            world.store.get(metadata_name("root", 2), max_bytes=10_000)

    def test_a_root_is_not_written_if_hosts_would_refuse_anything_beside_it(self, world: World, let_it_be: Any) -> None:
        let_it_be(370)
        world.keys.path("targets").unlink()  # and so it stays expired

        with pytest.raises(StagedStateError, match="targets is expired"):
            keep(world)

        with pytest.raises(ObjectNotFoundError):
            world.store.get(metadata_name("root", 2), max_bytes=10_000)


class TestWhatIsDue:
    @pytest.mark.parametrize("days", [0, 10])
    def test_is_nothing_in_the_beginning(self, world: World, let_it_be: Any, recording: Any, days: int) -> None:
        let_it_be(days)
        store = recording(world.store)

        kept = keep(world, store=store)

        assert (kept.renewed, kept.warnings) == ((), ())
        assert not puts(store)

    @pytest.mark.parametrize(
        ("days", "renewed"),
        [
            (17, ("timestamp",)),
            (121, ("prod", "snapshot", "staging", "timestamp")),
            (181, ("prod", "snapshot", "staging", "timestamp")),
            (306, ALL),
            (400, ALL),
        ],
    )
    def test_is_signed_anew_in_one_commit(
        self, world: World, let_it_be: Any, recording: Any, days: int, renewed: tuple[str, ...]
    ) -> None:
        before = world.seen()
        let_it_be(days)
        store = recording(world.store)

        kept = keep(world, store=store)

        after = world.seen()
        assert kept.renewed == renewed
        assert kept.warnings == ()
        assert after.release == before.release
        assert puts(store).count("put metadata/timestamp.json") == 1
        for role, version in before.versions.items():
            assert after.versions[role] == version + (role in renewed)
            assert (after.expires[role] > before.expires[role]) is (role in renewed)

    def test_is_nothing_the_second_time(self, world: World, let_it_be: Any, recording: Any) -> None:
        let_it_be(310)
        keep(world)
        store = recording(world.store)

        assert keep(world, store=store).renewed == ()
        assert not puts(store)

    def test_makes_no_release_and_leaves_history_whole(self, world: World, let_it_be: Any) -> None:
        let_it_be(310)
        keep(world)
        world.folder.commit_policy("second")

        world.publish()

        assert world.policies() == [(2, "publish"), (1, "publish")]


class TestHosts:
    def test_follow_over_several_roots_wherever_they_were(self, world: World, let_it_be: Any) -> None:
        always, at_first = world.host(), world.host()
        always.refresh()
        at_first.refresh()
        for _ in range(4):
            let_it_be(310)
            keep(world)
            always.refresh()

        for host in (always, at_first, world.host(), world.host("staging")):
            chain, verified = host.refresh()
            assert verified.versions["root"] == 5
            assert len(chain.roots) == 4
        assert world.seen().release.release == 1

    def test_are_back_after_everything_had_run_out(self, world: World, let_it_be: Any) -> None:
        host = world.host()
        host.refresh()
        let_it_be(500)
        with pytest.raises(ExpiredError):
            host.refresh()

        keep(world)

        assert host.refresh()[1].release.release == 1


class TestMissingKeys:
    def test_of_root_leave_a_warning_and_the_rest_is_signed(self, world: World, let_it_be: Any) -> None:
        world.keys.path("root").unlink()
        let_it_be(310)

        kept = keep(world)

        assert kept.renewed == tuple(role for role in ALL if role != "root")
        (warning,) = kept.warnings
        assert warning.startswith("root expires on ")
        assert "but no key at" in warning

    def test_of_the_snapshot_role_leave_what_it_pins(self, world: World, let_it_be: Any) -> None:
        let_it_be(121)
        world.keys.path("snapshot").unlink()

        kept = keep(world)

        assert kept.renewed == ("timestamp",)
        assert len(kept.warnings) == 3
        assert any(
            "prod expires on" in warning and "the snapshot role that pins it" in warning for warning in kept.warnings
        )

    def test_of_the_timestamp_are_an_error_before_anything_is_written(
        self, world: World, let_it_be: Any, recording: Any
    ) -> None:
        let_it_be(310)
        world.keys.path("timestamp").unlink()
        store = recording(world.store)

        with pytest.raises(KeyMissingError, match="role timestamp: no key at"):
            keep(world, store=store)

        assert not puts(store)

    def test_do_not_matter_while_nothing_is_due(self, world: World) -> None:
        for role in ALL:
            world.keys.path(role).unlink()

        assert keep(world).renewed == ()

    def test_of_other_people_leave_a_warning(self, world_of: Any, tmp_path: Any, let_it_be: Any, world: World) -> None:
        """Two people hold root: one of them cannot renew it alone, and what is left is signed."""
        second = CryptoSigner.generate_ed25519()
        keys = {role: world.keys.public_key(role) for role in ("root", "targets", "snapshot", "timestamp")}
        root = metadata.first_root(keys, world.now)
        root.add_key(second.public_key, "root")
        root.roles["root"] = Role([keys["root"].keyid, second.public_key.keyid], 2)
        signed = Metadata.from_bytes(world.keys.sign("root", root, [keys["root"]]))
        signed.sign(second, append=True)
        world.store = open_store((tmp_path / "two").as_uri())
        world.trusted_root = signed.to_bytes()
        initialise_store(world.store, world.trusted_root, world.keys, ("staging", "prod"), world.now)
        let_it_be(310)

        kept = keep(world)

        assert "root" not in kept.renewed
        (warning,) = kept.warnings
        assert warning.endswith("it takes 2 signatures: begin with `writ keys renew root -o FILE`")
        assert world.seen().versions["root"] == 1

    def test_of_people_who_hold_a_channel_leave_a_warning(self, peopled: World, let_it_be: Any) -> None:
        let_it_be(125)

        kept = maintain({"prod": peopled.publisher()})

        assert kept.renewed == ("snapshot", "timestamp")
        (warning,) = kept.warnings
        assert warning.endswith("it takes 2 signatures: begin with `writ keys renew prod -o FILE`")

    def test_of_people_on_call_leave_a_warning(self, world: World, let_it_be: Any) -> None:
        di = world.person("di")
        world.change_keys(KeyChange({"prod.oncall": Holders((di.key,), 1)}), di.ring("prod.oncall"))
        let_it_be(310)

        kept = keep(world)

        assert kept.renewed == ALL
        (warning,) = kept.warnings
        assert warning.endswith("whoever holds one signs what `writ keys renew prod.oncall -o FILE` writes")


@pytest.mark.parametrize("applied", [False, True])
@pytest.mark.parametrize("at", WRITES)
class TestOnTheWay:
    @pytest.fixture(autouse=True)
    def _much_later(self, let_it_be: Any) -> None:
        let_it_be(310)

    def test_who_dies_is_completed_by_the_next(
        self, world: World, disturbed: Any, raising: Any, killed: Any, at: int, applied: bool
    ) -> None:
        with pytest.raises(killed):
            keep(world, store=disturbed(world.store, at, raising(killed()), applied=applied))

        renewed = keep(world).renewed

        assert bool(renewed) is not (at == 6 and applied)
        seen = world.seen()
        assert seen.versions["root"] == 2
        assert min(seen.expires.values()) == seen.expires["timestamp"]

    def test_a_lost_answer_is_read_back(
        self, world: World, disturbed: Any, raising: Any, at: int, applied: bool
    ) -> None:
        event = raising(StoreUnavailableError("409, 500 or no answer"))

        assert keep(world, store=disturbed(world.store, at, event, applied=applied)).renewed == ALL

        assert world.seen().versions["root"] == 2

    def test_two_at_once_make_one_root(self, world: World, disturbed: Any, at: int, applied: bool) -> None:
        def a_second_later() -> None:
            world.now += datetime.timedelta(seconds=1)
            keep(world)

        keep(world, store=disturbed(world.store, at, a_second_later, applied=applied))

        assert world.seen().versions["root"] == 2
        assert keep(world).renewed == ()

    def test_a_publish_in_between_is_kept(self, world: World, disturbed: Any, at: int, applied: bool) -> None:
        world.folder.commit_policy("second")

        keep(world, store=disturbed(world.store, at, world.publish, applied=applied))

        assert world.seen().release.release == 2
        assert world.policies() == [(2, "publish"), (1, "publish")]
