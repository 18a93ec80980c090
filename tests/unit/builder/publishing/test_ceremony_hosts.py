"""What hosts make of keys that changed hands: thieves who hold some, and hosts that were away."""

from typing import Any

import pytest
from ceremonies import begin, finish, keyid, replacing, revoking
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata

from builder.publishing import metadata
from builder.publishing.holders import Holders
from builder.publishing.key_changes import KeyChange
from builder.publishing.staging import StagedStateError
from builder.publishing.writing import put_numbered, swap_timestamp
from bundle_store.port import ObjectNotFoundError
from policy_core.errors import TrustError
from policy_core.trust.errors import ExpiredError, MetadataError
from policy_core.trust.layout import format_time, metadata_name

World = Any  # of ../conftest.py


def commit_as_thief(world: World, pins: Any, *, base: int) -> None:
    """Make role files live with the stolen keys of snapshot and timestamp."""
    live = world.publisher().reader.read()
    snapshot = metadata.next_snapshot(base + 1, live.snapshot, live.chain.snapshot, pins, world.now)
    version, data = put_numbered(
        world.store, "snapshot", base + 1, lambda _: world.keys.sign("snapshot", snapshot, live.keys("snapshot"))
    )
    stamp = metadata.timestamp(live.timestamp.version + 1, metadata.pin_of(version, data), world.now)
    swap_timestamp(world.store, world.keys.sign("timestamp", stamp, live.keys("timestamp")), etag=live.etag)


def release_as(world: World, *names: str) -> None:
    """Empty the channel, signed by these people, with the stolen keys of a publisher."""
    live = world.publisher().reader.read()
    forged = Metadata(metadata.channel_role(live.verified.versions["prod"] + 1, None, None, world.now))
    for name in names:
        forged.sign(world.person(name).signer, append=True)
    version, data = put_numbered(world.store, "prod", forged.signed.version, lambda _: forged.to_bytes())
    commit_as_thief(world, {"prod": metadata.pin_of(version, data)}, base=live.snapshot.version)


class TestThieves:
    @pytest.fixture(params=["fresh", "seasoned"])
    def host(self, request: pytest.FixtureRequest, rooted: World) -> Any:
        host = rooted.host()
        if request.param == "seasoned":
            host.refresh()
        return host

    def test_with_two_keys_of_the_channel_and_a_publisher_own_it(self, rooted: World, host: Any) -> None:
        """What the others are compared with: this many keys are what it takes."""
        release_as(rooted, "ana", "cy")

        assert host.refresh()[1].release is None

    def test_with_one_of_two_keys_are_refused(self, rooted: World, host: Any) -> None:
        release_as(rooted, "ana")

        with pytest.raises(MetadataError, match="prod was signed by 1/2 keys"):
            host.refresh()

    def test_with_a_key_that_was_revoked_are_refused(self, rooted: World, host: Any) -> None:
        rings = [rooted.person(name).ring("targets", "prod") for name in ("ana", "bo")]
        finish(rooted, begin(rooted, revoking("prod", "cy"), *rings))

        release_as(rooted, "ana", "cy")

        with pytest.raises(MetadataError, match="prod was signed by 1/2 keys"):
            host.refresh()

    def test_with_the_oncall_key_cannot_sign_for_the_channel(self, rooted: World, host: Any) -> None:
        release_as(rooted, "di", "ana")

        with pytest.raises(MetadataError, match="prod was signed by 1/2 keys"):
            host.refresh()

    def test_with_old_root_keys_make_no_next_root(self, rooted: World, host: Any) -> None:
        new = {name: rooted.person(name) for name in ("dee", "eli")}
        everybody = [rooted.person(name).ring("root") for name in ("ana", "bo", "dee", "eli")]
        change = KeyChange({"root": Holders(tuple(person.key for person in new.values()), 2)})
        finish(rooted, begin(rooted, lambda _: change, *everybody))
        forged = Metadata(metadata.next_root(rooted.publisher().reader.read().root, rooted.now))
        forged.signed.roles["timestamp"].keyids = []
        for name in ("ana", "bo", "cy"):
            forged.sign(rooted.person(name).signer, append=True)
        rooted.store.put(metadata_name("root", 4), forged.to_bytes(), if_etag=None)

        with pytest.raises(MetadataError, match="root was signed by 0/2 keys"):
            host.refresh()
        with pytest.raises(TrustError, match="root"):
            begin(rooted, revoking("prod", "cy"))

    def test_with_the_new_root_keys_alone_make_no_root_either(self, rooted: World, host: Any) -> None:
        """A root that only its own keys sign is everybody's to make."""
        forged = Metadata(metadata.next_root(rooted.publisher().reader.read().root, rooted.now))
        mallory = CryptoSigner.generate_ed25519()
        forged.signed.add_key(mallory.public_key, "root")
        forged.signed.roles["root"].keyids, forged.signed.roles["root"].threshold = [mallory.public_key.keyid], 1
        forged.sign(mallory)
        rooted.store.put(metadata_name("root", 3), forged.to_bytes(), if_etag=None)

        with pytest.raises(MetadataError, match="root was signed by 0/2 keys"):
            host.refresh()


class TestHosts:
    def test_follow_over_five_rotations_that_they_missed(self, rooted: World) -> None:
        missed_all, always = rooted.host(), rooted.host()
        missed_all.refresh()
        always.refresh()
        names = ["ana", "bo", "cy", "dee", "eli", "flo", "gus", "hal"]
        for old, new in zip(names, names[3:], strict=False):  # in the end nobody of the first three is left
            holders = {str(key.unrecognized_fields["x-owner"]) for key in rooted.publisher().reader.read().keys("root")}
            rings = [rooted.person(name).ring("root") for name in {*holders, new}]
            finish(rooted, begin(rooted, replacing("root", old, rooted.person(new).key), *rings))
            always.refresh()

        for host in (missed_all, always, rooted.host()):
            chain, verified = host.refresh()
            assert (verified.versions["root"], len(chain.roots)) == (7, 6)
            assert verified.release.release == 1

    def test_are_back_after_people_have_signed_what_had_expired(self, rooted: World, let_it_be: Any) -> None:
        host = rooted.host()
        host.refresh()
        let_it_be(400)
        with pytest.raises(ExpiredError):
            host.refresh()
        everything = frozenset({"root", "targets", "prod", "prod.oncall"})
        rings = [rooted.person(name).ring("root", "targets", "prod") for name in ("ana", "bo")]
        document = begin(
            rooted, lambda _: KeyChange(renewed=everything), *rings, rooted.person("di").ring("prod.oncall")
        )

        finish(rooted, document)

        verified = host.refresh()[1]
        assert verified.release.release == 1
        assert verified.versions["root"] == 3

    def test_would_not_be_back_with_less_so_nothing_is_written(self, rooted: World, let_it_be: Any) -> None:
        let_it_be(400)
        rings = [rooted.person(name).ring("root") for name in ("ana", "bo")]
        document = begin(rooted, lambda _: KeyChange(renewed=frozenset({"root"})), *rings)

        with pytest.raises(StagedStateError, match="targets is expired"):
            finish(rooted, document)

        with pytest.raises(ObjectNotFoundError):
            rooted.store.get(metadata_name("root", 3), max_bytes=1_000_000)

    @pytest.mark.parametrize("years", [0, 20], ids=["now", "dated years ahead"])
    def test_forget_versions_that_a_thief_drove_up(self, rooted: World, years: int) -> None:
        """The key of a refresher was stolen: a new one is all it takes, for hosts and for publishers."""
        host = rooted.host()
        live = rooted.publisher().reader.read()
        stamp = metadata.timestamp(2**31, live.timestamp.snapshot_meta, rooted.now)
        stamp.unrecognized_fields["x-signed-at"] = format_time(rooted.now.replace(year=rooted.now.year + years))
        swap_timestamp(rooted.store, rooted.keys.sign("timestamp", stamp, live.keys("timestamp")), etag=live.etag)
        host.refresh()
        old = keyid(rooted, "timestamp")
        rooted.keys.path("timestamp").unlink()
        rooted.keys.create("timestamp")
        rings = [rooted.person(name).ring("root") for name in ("ana", "bo")]
        document = begin(rooted, replacing("timestamp", old, rooted.keys.public_key("timestamp")), *rings)

        finish(rooted, document)

        verified = host.refresh()[1]
        assert (verified.versions["root"], verified.signed_at) == (3, rooted.now)
        assert rooted.policies() == [(1, "publish")]
