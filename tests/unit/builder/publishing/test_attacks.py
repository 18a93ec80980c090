"""Attacks on a host by whoever can write to the store, with stolen keys where the test says so."""

import copy
import datetime
import shutil
import types
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, Signed

from builder.publishing import metadata
from builder.publishing.publisher import SignedInFutureError
from builder.publishing.refresh import refresh
from builder.publishing.staging import StagedStateError
from builder.publishing.state import LiveState
from bundle_store.port import ObjectNotFoundError, StoreDeniedError
from policy_core.errors import TrustError
from policy_core.trust.errors import ExpiredError, MetadataError, RollbackError
from policy_core.trust.history import channel_history
from policy_core.trust.layout import PREVIOUS, SIGNED_AT, TIMESTAMP, format_time, metadata_name, target_object

World = Any  # of conftest.py


@pytest.fixture
def world(world_of: Any, file_url: str) -> World:
    """A world with two channels, two releases in prod, and its store as a folder."""
    world = world_of(file_url, channels=("staging", "prod"))
    world.root_folder = Path(unquote(urlsplit(file_url).path))
    world.publish()
    world.folder.commit_policy("second")
    world.publish()
    return world


@pytest.fixture
def world_at(world_of: Any, file_url: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make a world that was begun some days ago, and nothing has happened since."""

    def make(*, days_ago: int) -> World:
        past = datetime.datetime.now(datetime.UTC).replace(microsecond=0) - datetime.timedelta(days=days_ago)
        with monkeypatch.context() as patched:
            clock = types.SimpleNamespace(now=lambda _: past)
            module = types.SimpleNamespace(datetime=clock, timezone=datetime.timezone)
            patched.setattr("tuf.ngclient._internal.trusted_metadata_set.datetime", module)
            return world_of(file_url, now=past)

    return make


def overwrite(world: World, name: str, content: bytes) -> None:
    (world.root_folder / name).write_bytes(content)


def content(world: World, name: str) -> bytes:
    found: bytes = (world.root_folder / name).read_bytes()
    return found


def bundle_file(world: World) -> str:
    release = world.seen().release
    return target_object(release.channel, release.name, release.sha256)


def signed(world: World, role: str, value: Signed, *, by: str = "") -> bytes:
    """Sign with the role's own (stolen) key, or `by` another one of the world's, or by a foreign key."""
    if by == "foreign":
        forged = Metadata(value)
        forged.sign(CryptoSigner.generate_ed25519())
        return forged.to_bytes()
    data: bytes = world.keys.sign(by or role, value, [world.keys.public_key(by or role)])
    return data


def serve(world: World, live: LiveState, changes: dict[str, bytes], *, drop: tuple[str, ...] = ()) -> None:
    """Serve other metadata for the named roles, under the next numbers, with stolen snapshot and timestamp keys."""
    pins = {}
    for role, data in changes.items():
        version = Metadata.from_bytes(data).signed.version
        overwrite(world, metadata_name(role, version), data)
        pins[role] = metadata.pin_of(version, data)
    snapshot = metadata.next_snapshot(live.snapshot.version + 1, live.snapshot, live.chain.snapshot, pins, world.now)
    for role in drop:
        del snapshot.meta[f"{role}.json"]
    serve_snapshot(world, live, signed(world, "snapshot", snapshot))


def serve_snapshot(world: World, live: LiveState, data: bytes) -> None:
    version = Metadata.from_bytes(data).signed.version
    overwrite(world, metadata_name("snapshot", version), data)
    pin = metadata.pin_of(version, data)
    stamp = metadata.timestamp(live.timestamp.version + 1, pin, world.now)
    overwrite(world, TIMESTAMP, signed(world, "timestamp", stamp))


@pytest.fixture
def live(world: World) -> LiveState:
    state: LiveState = world.publisher().reader.read()
    return state


@pytest.fixture
def host(world: World) -> Any:
    """A host that has seen the present state."""
    host = world.host()
    host.refresh()
    return host


class TestOldStates:
    def test_an_older_timestamp_is_refused(self, world: World, host: Any) -> None:
        old = content(world, TIMESTAMP)
        refresh([world.publisher()])
        host.refresh()
        overwrite(world, TIMESTAMP, old)

        with pytest.raises(RollbackError, match="new timestamp version 3 must be >= 4"):
            host.refresh()

    def test_a_whole_store_put_back_is_refused_also_after_a_restart(self, world: World, host: Any) -> None:
        shutil.copytree(world.root_folder, world.tmp_path / "backup")
        world.folder.commit_policy("third")
        world.publish()
        host.refresh()
        shutil.rmtree(world.root_folder)
        shutil.copytree(world.tmp_path / "backup", world.root_folder)

        for client in (host, world.host()):
            client._cache = host._cache
            with pytest.raises(RollbackError):
                client.refresh()

    def test_a_new_host_cannot_know_better(self, world: World, host: Any) -> None:
        """Inherent to TUF: who has seen nothing accepts an old state until it expires (hence `--min-release`)."""
        old = content(world, TIMESTAMP)
        world.folder.commit_policy("third")
        world.publish()
        overwrite(world, TIMESTAMP, old)

        assert world.seen().release.release == 2

    def test_an_expired_timestamp_is_refused(self, world_at: Any) -> None:
        world = world_at(days_ago=31)

        with pytest.raises(ExpiredError, match=r"timestamp\.json is expired"):
            world.seen()


class TestBundles:
    @pytest.mark.parametrize(
        ("damage", "message"),
        [
            (lambda blob: blob[:-1], r"\d+ bytes \(expected \d+\)"),
            (lambda blob: blob + b"\0", "longer than"),
            (lambda blob: blob[:-1] + bytes([blob[-1] ^ 1]), "does not have the signed digest"),
        ],
        ids=["truncated", "too long", "altered"],
    )
    def test_a_damaged_bundle_is_refused(self, world: World, host: Any, damage: Any, message: str) -> None:
        name = bundle_file(world)
        overwrite(world, name, damage(content(world, name)))

        with pytest.raises(MetadataError, match=message):
            host.download(world.seen().release)

    def test_a_missing_bundle_is_reported(self, world: World, host: Any) -> None:
        release = world.seen().release
        (world.root_folder / bundle_file(world)).unlink()

        with pytest.raises(ObjectNotFoundError):
            host.download(release)


class TestStolenOnlineKeys:
    """Snapshot and timestamp keys are stolen; the channel's is not."""

    def test_a_channel_role_by_a_foreign_key_is_refused(self, world: World, host: Any, live: LiveState) -> None:
        forged = metadata.channel_role(9, None, None, world.now)
        serve(world, live, {"prod": signed(world, "prod", forged, by="foreign")})

        with pytest.raises(MetadataError, match="signed by 0/1 keys"):
            host.refresh()

    def test_the_key_of_another_channel_does_not_do(self, world: World, host: Any, live: LiveState) -> None:
        forged = metadata.channel_role(9, live.verified.release, None, world.now)
        serve(world, live, {"prod": signed(world, "prod", forged, by="staging")})

        with pytest.raises(MetadataError, match="signed by 0/1 keys"):
            host.refresh()

    def test_a_channel_cannot_list_the_bundle_of_another(self, world: World, live: LiveState) -> None:
        """With the staging key stolen too: its role lists prod's path, under staging's name."""
        forged = metadata.channel_role(9, live.verified.release, None, world.now)
        serve(world, live, {"staging": signed(world, "staging", forged)})

        with pytest.raises(MetadataError, match=r"lists 'prod/demo-policies\.tar\.gz', which is not its own"):
            world.host("staging").refresh()
        assert world.seen("prod").release.release == 2

    def test_an_old_channel_role_is_refused(self, world: World, host: Any, live: LiveState) -> None:
        serve(world, live, {"prod": content(world, "metadata/2.prod.json")})

        with pytest.raises(RollbackError):
            host.refresh()

    def test_an_old_channel_role_under_a_new_number_is_refused(self, world: World, host: Any, live: LiveState) -> None:
        old = content(world, "metadata/2.prod.json")
        overwrite(world, "metadata/9.prod.json", old)
        snapshot = metadata.next_snapshot(
            live.snapshot.version + 1, live.snapshot, live.chain.snapshot, {"prod": metadata.pin_of(9, old)}, world.now
        )
        serve_snapshot(world, live, signed(world, "snapshot", snapshot))

        with pytest.raises(RollbackError, match="expected prod v9, got v2"):
            host.refresh()

    def test_dropping_a_channel_is_refused(self, world: World, host: Any, live: LiveState) -> None:
        serve(world, live, {}, drop=("prod",))

        with pytest.raises(MetadataError, match=r"missing info for 'prod\.json'"):
            host.refresh()

    def test_an_old_snapshot_role_under_a_new_timestamp_is_refused(
        self, world: World, host: Any, live: LiveState
    ) -> None:
        old = content(world, "metadata/2.snapshot.json")
        stamp = metadata.timestamp(live.timestamp.version + 1, metadata.pin_of(2, old), world.now)
        overwrite(world, TIMESTAMP, signed(world, "timestamp", stamp))

        with pytest.raises(RollbackError):
            host.refresh()

    def test_a_forged_past_is_found(self, world: World, live: LiveState) -> None:
        """History is rewritten: the predecessor is replaced by one that lists a release nobody with prod's key made."""
        forged_role = signed(
            world, "prod", metadata.channel_role(7, live.verified.release, None, world.now), by="foreign"
        )
        overwrite(world, "metadata/7.prod.json", forged_role)
        past = copy.deepcopy(live.snapshot)
        past.version = 90
        past.meta["prod.json"] = metadata.pin_of(7, forged_role)
        past_data = signed(world, "snapshot", past)
        overwrite(world, "metadata/90.snapshot.json", past_data)
        role = signed(world, "prod", metadata.channel_role(8, live.verified.release, None, world.now))
        overwrite(world, "metadata/8.prod.json", role)
        snapshot = metadata.next_snapshot(91, past, past_data, {"prod": metadata.pin_of(8, role)}, world.now)
        serve_snapshot(world, live, signed(world, "snapshot", snapshot))
        reader = world.publisher().reader
        state = reader.read()

        with pytest.raises(MetadataError, match="prod: prod was signed by 0/1 keys"):
            list(channel_history(state.chain, trusted_root=world.trusted_root, channel="prod", fetch=reader.fetch))

    def test_a_past_that_does_not_match_its_digest_is_found(self, world: World, live: LiveState) -> None:
        previous = live.snapshot.unrecognized_fields[PREVIOUS]["version"]
        name = metadata_name("snapshot", previous)
        altered = Metadata.from_bytes(content(world, name))
        altered.signed.expires += datetime.timedelta(days=1)
        overwrite(world, name, altered.to_bytes())

        with pytest.raises(MetadataError, match="is not the one its successor names"):
            world.policies()


class TestPublishers:
    def test_an_expired_root_is_not_published_over(self, world_at: Any) -> None:
        world = world_at(days_ago=366)
        world.now += datetime.timedelta(days=366)
        before = world.store.get(TIMESTAMP, max_bytes=10_000)

        with pytest.raises(StagedStateError, match=r"hosts would refuse this: .*root\.json is expired"):
            world.publish()

        assert world.store.get(TIMESTAMP, max_bytes=10_000) == before

    def test_an_expired_timestamp_is_ended_by_a_publish(self, world_at: Any) -> None:
        world = world_at(days_ago=31)
        world.now += datetime.timedelta(days=31)

        world.publish()

        assert world.seen().release.release == 1

    def test_a_poisoned_bundle_object_stops_the_publish(self, world: World) -> None:
        """Somebody put other bytes under the name the next bundle will have."""
        world.folder.commit_policy("third")
        from builder.publishing.candidate import prepare_candidate
        from builder.source import PolicyRepository

        repository = PolicyRepository.open(world.folder.path)
        bundle = prepare_candidate(repository, "HEAD", today=world.now.date()).bundle
        overwrite(world, target_object("prod", bundle.name, bundle.sha256), b"poison")

        with pytest.raises(TrustError, match="does not hold what its name says"):
            world.publish()
        assert world.seen().release.release == 2

    def test_a_store_that_loses_what_was_written_is_noticed(self, world: World, recording: Any) -> None:
        class Forgetful(recording):  # type: ignore[misc]
            def after(self, call: str) -> None:
                if "snapshot" in call:
                    (world.root_folder / call.removeprefix("put ")).unlink()

        world.folder.commit_policy("third")

        with pytest.raises(ObjectNotFoundError):
            world.publish(store=Forgetful(world.store))
        assert world.seen().release.release == 2

    def test_a_forbidden_root_is_an_error_and_not_the_newest_root(self, world: World, recording: Any) -> None:
        class Forbidding(recording):  # type: ignore[misc]
            def before(self, call: str) -> None:
                if call.endswith("root.json"):
                    raise StoreDeniedError("403")

        with pytest.raises(StoreDeniedError):
            world.host(store=Forbidding(world.store)).refresh()


class TestWithTheKeyOfARefresher:
    @pytest.mark.parametrize("year", [2, 7000], ids=["years ahead", "the end of the calendar"])
    def test_a_time_far_ahead_does_not_become_history(self, world: World, live: LiveState, year: int) -> None:
        """Ledger dates never decrease: on top of this one nothing could ever be dated rightly again."""
        ahead = world.now.replace(year=world.now.year + year)
        pin = live.timestamp.snapshot_meta
        stamp = metadata.timestamp(live.timestamp.version + 1, pin, world.now)
        stamp.unrecognized_fields[SIGNED_AT] = format_time(ahead)
        overwrite(world, TIMESTAMP, signed(world, "timestamp", stamp))
        before = content(world, TIMESTAMP)
        world.folder.commit_policy("third")

        for attempt in (world.publish, world.roll_back, lambda: refresh([world.publisher()])):
            with pytest.raises(SignedInFutureError, match="the timestamp role was signed at"):
                attempt()

        assert content(world, TIMESTAMP) == before
