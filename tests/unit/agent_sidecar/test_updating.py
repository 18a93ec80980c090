"""Polls against a real store: what activates, what is refused, and what either costs in requests."""

import contextlib
import gzip
import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from securesystemslib.signer import CryptoSigner
from signed_store import SignedStore, bundle, revision, rules
from tuf.api.metadata import Metadata

from agent_sidecar.durable import StateError
from agent_sidecar.freshness import FreshnessState
from agent_sidecar.updating import MAX_REPORTED, REPORT_AGAIN_S, ROOT_PROBE_S, Outcome
from policy_core.bundle import archive, build_bundle, read_bundle
from policy_core.errors import InvalidError
from policy_core.matcher import Matcher
from policy_core.selftest import SelfTestCase

TIMESTAMP = "metadata/timestamp.json"
ALLOW, DENY = bundle(rules("allow"), number=1), bundle(rules("deny"), number=2)
CASE = {"job": {"topic": "act.0"}}


def bundles_read(host: Any) -> list[str]:
    return [name for name in host.store.reads if name.startswith("targets/")]


def test_a_release_is_activated_and_decides(store: SignedStore, host: Any) -> None:
    store.publish(ALLOW)

    outcome = host.poll()

    assert (outcome, host.release, host.decide()) == (Outcome.ACTIVATED, 1, "allow")
    assert host.updater.freshness.state(host.clock()) is FreshnessState.FRESH


def test_nothing_new_costs_one_conditional_request(store: SignedStore, host: Any) -> None:
    store.publish(ALLOW)
    host.poll()

    outcome = host.poll()

    assert outcome is Outcome.UNCHANGED
    assert host.store.reads == [TIMESTAMP]


def test_a_new_release_replaces_the_old_one_which_stays_as_previous(store: SignedStore, host: Any) -> None:
    store.publish(ALLOW)
    host.poll()
    store.publish(DENY)

    outcome = host.poll()

    assert (outcome, host.release, host.decide()) == (Outcome.ACTIVATED, 2, "deny")
    assert host.enforcement.state.previous.release == 1
    assert [event.event for event in host.events()] == ["activated", "activated"]


def test_a_channel_without_release_leaves_everything_denied(host: Any) -> None:
    outcome = host.poll()

    assert (outcome, host.release, host.decide()) == (Outcome.UNCHANGED, 0, "deny")


def test_a_fleet_rollback_fetches_no_bundle_and_keeps_both_chains(store: SignedStore, host: Any, new_host: Any) -> None:
    store.publish(ALLOW)
    host.poll()
    store.publish(DENY)
    host.poll()
    store.publish(ALLOW, action="rollback")

    outcome = host.poll()

    assert (outcome, host.release, host.decide()) == (Outcome.ACTIVATED, 3, "allow")
    assert bundles_read(host) == []
    state = host.enforcement.state
    assert (state.current.release, state.previous.release) == (3, 2)
    host.start()
    assert (host.release, host.enforcement.unusable) == (3, {})


def test_a_new_timestamp_renews_the_chain_on_disk(store: SignedStore, host: Any) -> None:
    store.publish(ALLOW)
    host.poll()
    store.lifetime = timedelta(days=2)
    store.refresh()

    outcome = host.poll()

    assert outcome is Outcome.UNCHANGED
    expires = host.updater.freshness.expires
    host.start()
    assert host.updater.freshness.expires == expires


def test_the_root_is_probed_though_the_timestamp_is_unchanged(store: SignedStore, host: Any) -> None:
    store.publish(ALLOW)
    host.poll()
    host.seconds += ROOT_PROBE_S

    host.poll()

    assert host.store.reads == [TIMESTAMP, "metadata/2.root.json"]
    host.poll()
    assert host.store.reads == [TIMESTAMP]


def test_a_refreshed_timestamp_over_the_same_state_costs_no_more_than_a_root_probe(
    store: SignedStore, host: Any
) -> None:
    store.publish(ALLOW)
    host.poll()
    store.refresh()

    outcome = host.poll()

    assert outcome is Outcome.UNCHANGED
    assert host.store.reads == [TIMESTAMP, "metadata/2.root.json"]
    assert host.enforcement.state.versions["timestamp"] == store.versions["timestamp"]


def test_a_release_costs_one_read_of_each_new_file(store: SignedStore, host: Any) -> None:
    store.publish(ALLOW)
    host.poll()
    release = store.publish(DENY)

    host.poll()

    read = [name for name in host.store.reads if name != "metadata/1.targets.json"]  # signed anew in another second
    assert read == [
        TIMESTAMP, "metadata/2.root.json", "metadata/3.snapshot.json", "metadata/3.prod.json",
        f"targets/prod/{release.sha256}.acme.tar.gz",
    ]  # fmt: skip


def test_a_timestamp_read_before_a_new_root_is_read_again_after_it(store: SignedStore, host: Any) -> None:
    store.publish(ALLOW)
    host.poll()
    read = host.store.get

    def rotating(name: str, **options: Any) -> Any:
        found = read(name, **options)
        if name == TIMESTAMP and store.versions["root"] == 1:
            store.replace_keys("timestamp")
        return found

    host.store.get = rotating
    host.seconds += ROOT_PROBE_S

    outcome = host.poll()

    assert (outcome, host.updater.rejection) == (Outcome.UNCHANGED, None)
    assert host.enforcement.state.versions["root"] == 2


# attacks: each leaves the old policy in force, is reported once, and is not fetched in a loop


def altered_bundle(store: SignedStore) -> None:
    blob = bytearray(DENY)
    blob[len(blob) // 2] ^= 1
    store.publish(DENY, served=bytes(blob))


def truncated_bundle(store: SignedStore) -> None:
    store.publish(DENY, served=DENY[:-10])


def longer_bundle(store: SignedStore) -> None:
    store.publish(DENY, served=DENY + b"x")


def foreign_channel_key(store: SignedStore) -> None:
    """Snapshot and timestamp keys are stolen too; the channel's own key is not."""
    true_sign = store.sign
    foreign = CryptoSigner.generate_ed25519()

    def sign(role: str, signed: Any) -> bytes:
        if role != "prod":
            return true_sign(role, signed)
        metadata = Metadata(signed)
        metadata.sign(foreign)
        return metadata.to_bytes()

    store.sign = sign  # type: ignore[method-assign]
    store.publish(DENY)
    store.sign = true_sign  # type: ignore[method-assign]


def foreign_timestamp_key(store: SignedStore) -> None:
    store.signers["timestamp"] = CryptoSigner.generate_ed25519()
    store.publish(DENY)


def unsigned_timestamp(store: SignedStore) -> None:
    store.publish(DENY)
    document = json.loads(store.timestamp.read_bytes())
    document["signatures"] = []
    store.timestamp.write_bytes(json.dumps(document).encode())


def not_metadata(store: SignedStore) -> None:
    store.timestamp.write_bytes(b"\xff\xfe{}")


def mixed_snapshot(store: SignedStore) -> None:
    store.publish(DENY)
    number = store.versions["snapshot"]
    old = (store.directory / f"metadata/{number - 1}.snapshot.json").read_bytes()
    (store.directory / f"metadata/{number}.snapshot.json").write_bytes(old)


def lower_release(store: SignedStore) -> None:
    store.publish(DENY, number=1)


def expired(store: SignedStore) -> None:
    store.lifetime = timedelta(seconds=-5)
    store.publish(DENY)


ATTACKS = [
    altered_bundle, truncated_bundle, longer_bundle, foreign_channel_key, foreign_timestamp_key, unsigned_timestamp,
    not_metadata, mixed_snapshot, lower_release, expired,
]  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_an_attack_never_activates_is_reported_once_and_causes_no_loop(
    attack: Callable[[SignedStore], None], store: SignedStore, host: Any
) -> None:
    store.publish(ALLOW, number=7)
    host.poll()
    attack(store)

    assert host.poll() is Outcome.REJECTED
    first = host.updater.rejection

    for _ in range(3):
        assert host.poll() is Outcome.UNCHANGED
        assert host.store.reads == [TIMESTAMP]
    host.seconds += ROOT_PROBE_S
    assert host.poll() is Outcome.REJECTED
    assert (host.release, host.decide()) == (7, "allow")
    assert len(host.events("rejected")) == 1
    assert first.reason


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_after_an_attack_the_next_honest_release_activates(
    attack: Callable[[SignedStore], None], store: SignedStore, host: Any
) -> None:
    store.publish(ALLOW, number=7)
    host.poll()
    signers, lifetime = dict(store.signers), store.lifetime
    attack(store)
    host.poll()
    store.signers, store.lifetime = signers, lifetime

    store.publish(bundle(rules("throttle"), number=3), number=9)

    assert host.poll() is Outcome.ACTIVATED
    assert (host.decide(), host.updater.rejection) == ("throttle", None)


def test_a_replayed_timestamp_is_refused_also_after_a_restart_that_lost_the_cache(
    store: SignedStore, host: Any
) -> None:
    store.publish(ALLOW)
    old = store.timestamp.read_bytes()
    store.publish(DENY)
    host.poll()
    store.timestamp.write_bytes(old)

    assert host.poll() is Outcome.REJECTED
    host.stop()
    shutil.rmtree(host.path / "tuf")
    host.start()
    assert host.poll() is Outcome.REJECTED
    assert host.release == 2


def test_a_replayed_timestamp_of_the_same_release_is_refused_though_the_cache_was_lost(
    store: SignedStore, host: Any
) -> None:
    store.publish(ALLOW)
    old = store.timestamp.read_bytes()
    store.refresh()
    host.poll()
    store.timestamp.write_bytes(old)
    host.stop()
    shutil.rmtree(host.path / "tuf")

    host.start()

    assert host.poll() is Outcome.REJECTED
    assert "timestamp: version 2 (expected at least 3)" in host.updater.rejection.reason


def test_an_older_store_is_refused_though_the_state_file_was_moved_away(store: SignedStore, host: Any) -> None:
    store.publish(ALLOW)
    old = store.timestamp.read_bytes()
    store.publish(DENY)
    host.poll()
    host.stop()
    (host.path / "state.json").rename(host.path / "aside")
    store.timestamp.write_bytes(old)

    host.start()

    assert host.poll() is Outcome.REJECTED
    assert host.release == 0


def test_a_store_alternating_between_good_and_bad_does_not_flood_the_history(store: SignedStore, host: Any) -> None:
    store.publish(ALLOW)
    host.poll()
    good = store.timestamp.read_bytes()

    for _ in range(5):
        store.timestamp.write_bytes(b"{}")
        assert host.poll() is Outcome.REJECTED
        store.timestamp.write_bytes(good)
        assert host.poll() is Outcome.UNCHANGED

    assert len(host.events("rejected")) == 1


def test_a_store_that_invents_ever_new_refusals_does_not_push_the_past_out_of_the_history(
    store: SignedStore, host: Any
) -> None:
    store.publish(ALLOW)
    host.poll()
    release = store.publish(DENY)

    for number in range(3 * MAX_REPORTED):
        store.timestamp.write_bytes(store.timestamp.read_bytes() + b" ")
        store.bundle_path(release).write_bytes(DENY[: number + 1])
        assert host.poll() is Outcome.REJECTED

    assert len(host.events("rejected")) == MAX_REPORTED
    host.now = time.time() + REPORT_AGAIN_S + 1
    store.timestamp.write_bytes(b"{}")
    host.poll()
    assert len(host.events("rejected")) == MAX_REPORTED + 1


def test_the_first_poll_of_a_host_refuses_what_min_release_forbids(store: SignedStore, new_host: Any) -> None:
    host = new_host().start(min_release=5)
    store.publish(ALLOW)

    assert host.poll() is Outcome.REJECTED
    assert host.release == 0
    store.publish(ALLOW, number=5)
    assert host.poll() is Outcome.ACTIVATED


def test_a_release_number_cannot_be_given_to_other_bytes(store: SignedStore, host: Any) -> None:
    store.publish(ALLOW, number=4)
    host.poll()
    store.publish(DENY, number=4)

    assert host.poll() is Outcome.REJECTED
    assert "lists other bytes" in host.updater.rejection.reason


def test_a_channel_emptied_of_its_release_keeps_the_old_policy(store: SignedStore, host: Any) -> None:
    store.publish(ALLOW)
    host.poll()
    store.release = None
    for role in ("prod", "snapshot", "timestamp"):
        store.versions[role] += 1
    store.commit()

    assert host.poll() is Outcome.REJECTED
    assert host.release == 1


def test_recovery_from_stolen_versions_by_a_new_root_is_accepted(store: SignedStore, host: Any) -> None:
    store.publish(ALLOW)
    store.versions["timestamp"] = 2**31
    store.refresh()
    host.poll()
    store.rotate_root()

    store.publish(DENY)

    assert host.poll() is Outcome.ACTIVATED
    assert host.release == 2


# bytes that were really signed, and still are no policy for this host


def failing_selftest() -> bytes:
    return bundle(rules("deny"), number=2, selftest=[SelfTestCase(request=CASE, decision="allow")])


def unsupported_feature() -> bytes:
    tar = archive.read_tar(archive.decompress(DENY))
    manifest = msgspec.json.decode(tar["manifest.json"])
    manifest["requires"] = [*manifest["requires"], "telepathy.v1"]
    return archive.compress(archive.write_tar({**tar, "manifest.json": msgspec.json.encode(manifest)}))


def dirty() -> bytes:
    files = {"matcher.jsonl": b'{"format":1,"rules":0}\n'}
    return build_bundle(name="acme", revision=revision(2), dirty=True, files=files)[0]


def unreadable_matcher() -> bytes:
    files = {"matcher.jsonl": b'{"format":1,"rules":1}\n[{"policy":"\xff"}]\n'}
    return build_bundle(name="acme", revision=revision(2), dirty=False, files=files)[0]


def no_archive() -> bytes:
    return gzip.compress(b"not a tar")


def publish_raw(store: SignedStore, blob: bytes) -> None:
    """Sign what is true about a bundle, as far as it can be read."""
    release = store.publish(ALLOW)
    about: dict[str, Any] = {"sha256": hashlib.sha256(blob).hexdigest(), "length": len(blob)}
    with contextlib.suppress(InvalidError):
        read = read_bundle(blob)
        about |= {"revision": read.revision, "content_sha256": read.content_sha256}
    store.release_as(replace(release, release=release.release + 1, **about), blob)


def test_a_bundle_that_was_released_under_a_wrong_name_is_taken_under_its_own(store: SignedStore, host: Any) -> None:
    store.publish(ALLOW)
    host.poll()
    slander = replace(store.publish(DENY), revision=revision(9))
    store.release_as(slander, DENY)
    assert host.poll() is Outcome.REJECTED

    store.publish(DENY)

    assert host.poll() is Outcome.ACTIVATED
    assert host.decide() == "deny"


@pytest.mark.parametrize("make", [failing_selftest, unsupported_feature, dirty, no_archive, unreadable_matcher])
def test_signed_bytes_that_cannot_be_used_are_fetched_once_only(
    make: Callable[[], bytes], store: SignedStore, host: Any
) -> None:
    store.publish(ALLOW, number=1)
    host.poll()
    publish_raw(store, make())

    assert host.poll() is Outcome.REJECTED
    assert len(bundles_read(host)) == 1
    store.refresh()
    assert host.poll() is Outcome.REJECTED
    assert bundles_read(host) == []
    host.start()
    assert host.poll() is Outcome.REJECTED
    assert bundles_read(host) == []
    assert (host.release, host.decide()) == (1, "allow")
    assert len(host.events("rejected")) == 1
    assert host.updater.rejection.sha256


def test_a_feature_this_version_lacks_is_named(store: SignedStore, host: Any) -> None:
    store.publish(ALLOW)
    host.poll()
    publish_raw(store, unsupported_feature())

    host.poll()

    assert "requires telepathy.v1, which this version lacks" in host.updater.rejection.reason
    assert (host.release, host.decide()) == (1, "allow")


def test_an_upgraded_sidecar_tries_again(store: SignedStore, host: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    store.publish(ALLOW)
    host.poll()
    publish_raw(store, failing_selftest())
    host.poll()
    monkeypatch.setattr("agent_sidecar.updating.__version__", "99")
    host.start()

    host.poll()

    assert len(bundles_read(host)) == 1


# trouble that passes


def test_an_unreachable_store_keeps_the_policy_and_is_logged_once(
    store: SignedStore, host: Any, caplog: pytest.LogCaptureFixture
) -> None:
    store.publish(ALLOW)
    host.poll()
    host.store.is_down = True

    outcomes = [host.poll() for _ in range(3)]

    assert outcomes == [Outcome.UNREACHABLE] * 3
    assert host.updater.freshness.state(host.clock()) is FreshnessState.UNREACHABLE
    assert [record.message for record in caplog.records].count("store_unreachable") == 1
    host.store.is_down = False
    assert host.poll() is Outcome.UNCHANGED
    assert host.updater.freshness.state(host.clock()) is FreshnessState.FRESH


def test_a_failed_update_is_not_hidden_by_its_etag(store: SignedStore, host: Any) -> None:
    store.publish(ALLOW)
    host.poll()
    release = store.publish(DENY)
    away = store.bundle_path(release).rename(store.directory / "away")

    assert host.poll() is Outcome.UNREACHABLE
    away.rename(store.bundle_path(release))
    assert host.poll() is Outcome.ACTIVATED


def test_a_full_disk_keeps_the_policy_and_is_retried(
    store: SignedStore, host: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    store.publish(ALLOW)
    host.poll()
    store.publish(DENY)
    with monkeypatch.context() as patch:
        patch.setattr("agent_sidecar.durable.os.fsync", full)
        assert host.poll() is Outcome.UNREACHABLE

    assert (host.release, host.decide()) == (1, "allow")
    assert host.poll() is Outcome.ACTIVATED


# time


def test_a_frozen_store_becomes_aging_then_stale_and_the_policy_stays(store: SignedStore, host: Any) -> None:
    store.publish(ALLOW)
    host.poll()
    states = []

    for hours in (1, 19, 25):
        host.now = host.updater.freshness.signed_at + hours * 3600
        host.poll()
        states.append(host.updater.freshness.state(host.clock()))

    assert states == [FreshnessState.FRESH, FreshnessState.AGING, FreshnessState.STALE]
    assert host.decide() == "allow"


def test_on_stale_deny_denies_after_the_limit_and_recovers(store: SignedStore, new_host: Any) -> None:
    host = new_host(stale_limit_s=3600.0).start()
    store.publish(ALLOW)
    host.poll()
    expires = host.updater.freshness.expires

    host.now = expires + 3599
    before = host.decide()
    host.now = expires + 3601
    after = host.decide()
    store.lifetime = timedelta(days=3)
    store.publish(ALLOW)
    host.poll()

    assert (before, after, host.decide()) == ("allow", "deny", "allow")


def test_a_clock_set_back_is_reported_once_and_revives_nothing(store: SignedStore, host: Any) -> None:
    store.publish(ALLOW)
    host.poll()
    later = host.updater.freshness.expires + 10
    host.now = later
    host.poll()
    host.now = later - 90_000

    host.poll()
    host.poll()

    assert len(host.events("clock_back")) == 1
    assert host.clock() == later
    assert host.updater.freshness.state(host.clock()) is FreshnessState.STALE


def test_the_highest_time_survives_a_restart(store: SignedStore, host: Any) -> None:
    store.publish(ALLOW)
    host.poll()
    later = host.updater.freshness.expires + 10
    host.now = later
    host.poll()
    host.now = None

    host.start()

    assert host.clock() == later


def test_metadata_expired_by_host_time_does_not_activate_though_the_clock_was_set_back(
    store: SignedStore, host: Any
) -> None:
    store.publish(ALLOW)
    host.poll()
    host.now = host.updater.freshness.expires + 100_000
    host.poll()
    host.now = None
    store.publish(DENY)

    assert host.poll() is Outcome.REJECTED
    assert "expired" in host.updater.rejection.reason


def test_state_of_a_damaged_current_snapshot_is_healed_by_the_next_poll(store: SignedStore, host: Any) -> None:
    release = store.publish(ALLOW)
    host.poll()
    path: Path = host.path / "snapshots" / release.sha256 / "bundle.tar.gz"
    path.write_bytes(b"damaged")
    host.start()
    assert host.release == 0

    assert host.poll() is Outcome.ACTIVATED
    assert host.decide() == "allow"
    host.start()
    assert host.release == 1


def test_a_matcher_is_taken_apart_only_once_nothing_can_reach_it(store: SignedStore, host: Any) -> None:
    taken, waited = [], []

    class Watched(Matcher):
        def dismantle(self) -> Iterator[None]:
            taken.append(self.policy.release)
            return super().dismantle()

    host.wait_for_requests = lambda: waited.append(list(taken)) or True
    host.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("policy_core.matcher.matcher.Matcher", Watched)
        for number in (1, 2, 3, 4):
            store.publish(bundle(rules("allow"), number=number))
            host.poll()
            assert host.decide() == "allow"

    assert taken == [1, 2]  # 3 is the previous snapshot, 4 the current one
    assert waited == [[], [1]]
    host.enforcement.rollback(reason="test", by="test")
    assert (host.release, host.decide()) == (3, "allow")


def test_a_matcher_that_may_still_be_answering_is_left_whole(store: SignedStore, host: Any) -> None:
    host.wait_for_requests = lambda: False
    host.start()
    store.publish(bundle(rules("allow"), number=1))
    host.poll()
    answering = host.enforcement.active
    for number in (2, 3):
        store.publish(bundle(rules("deny"), number=number))
        host.poll()

    assert answering.answer({"job": {"topic": "act.0"}}, now=host.clock(), decision_id="").decision == "allow"


def test_a_refusal_is_shown_even_if_the_disk_cannot_keep_it(
    store: SignedStore, host: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_rejection: object) -> None:
        raise StateError("full")

    store.publish(
        bundle(rules("allow"), number=1, selftest=[SelfTestCase(request={"job": {"topic": "x"}}, decision="allow")])
    )
    monkeypatch.setattr(host.enforcement, "reject", full)

    host.poll()

    assert "self-test" in host.updater.rejection.reason
