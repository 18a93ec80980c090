"""Keys come and go: missed rotations, revoked and stolen keys, and hosts that get back from what a thief signed."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from polled_host import Host
from signed_store import ONCALL, SignedStore, bundle, rules

from agent_sidecar.updating import ROOT_PROBE_S, Outcome
from bundle_store.port import StoreDeniedError
from policy_core.errors import ConflictError

ALLOW, DENY = bundle(rules("allow"), number=1), bundle(rules("deny"), number=2)
THROTTLE = bundle(rules("throttle"), number=3)
HUGE = 2**31


@pytest.fixture
def settled(store: SignedStore, host: Any) -> Any:
    """Return a host that enforces release 2 (deny) and could go back to release 1 (allow)."""
    store.publish(ALLOW)
    host.poll()
    store.publish(DENY)
    host.poll()
    return host


def lose_cache(host: Any) -> None:
    host.stop()
    shutil.rmtree(host.path / "tuf")
    host.start()


def leave(_host: Any) -> None:
    pass


def restart(host: Any) -> None:
    host.start()


def signed_by_the_thief(store: SignedStore, role: str, stolen: Any, publish: Callable[[], object]) -> None:
    honest, store.signers[role] = store.signers[role], stolen
    publish()
    store.signers[role] = honest


# rotation


def test_a_host_that_missed_five_roots_catches_up(store: SignedStore, settled: Any) -> None:
    for roles in (["root"], ["timestamp"], ["snapshot", "root"], ["targets"], ["timestamp", "snapshot", "prod"]):
        store.replace_keys(*roles)
    store.publish(THROTTLE)

    assert settled.poll() is Outcome.ACTIVATED
    assert settled.enforcement.state.versions["root"] == 6
    settled.store.is_down = True
    settled.start()
    assert (settled.release, settled.enforcement.unusable) == (3, {})


def test_a_new_host_with_the_first_root_walks_over_all_later_ones(store: SignedStore, new_host: Any) -> None:
    for _ in range(5):
        store.replace_keys("root", "timestamp", "snapshot", "targets", "prod")
    store.publish(ALLOW)

    host = new_host().start()

    assert host.poll() is Outcome.ACTIVATED


def test_a_root_that_cannot_be_read_is_trouble_and_not_the_end_of_the_roots(store: SignedStore, settled: Any) -> None:
    read = settled.store.get

    def denying(name: str, **options: Any) -> Any:
        if name.endswith(".root.json"):
            raise StoreDeniedError(f"store: {name}: 403")
        return read(name, **options)

    settled.store.get = denying
    store.publish(THROTTLE)

    assert settled.poll() is Outcome.UNREACHABLE
    assert settled.release == 2
    assert "403" in settled.updater.freshness.failure.message
    settled.store.get = read
    assert settled.poll() is Outcome.ACTIVATED


# revocation


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets", "prod"])
@pytest.mark.parametrize("trouble", [leave, restart, lose_cache])
def test_what_a_revoked_key_signs_is_refused(
    role: str, trouble: Callable[[Any], None], store: SignedStore, settled: Any
) -> None:
    stolen = store.signers[role]
    store.replace_keys(role)
    assert settled.poll() is Outcome.UNCHANGED
    trouble(settled)

    signed_by_the_thief(store, role, stolen, lambda: store.publish(THROTTLE))

    assert settled.poll() is Outcome.REJECTED
    assert (settled.release, settled.decide()) == (2, "deny")
    assert "signed by 0/1 keys" in settled.updater.rejection.reason


def test_a_snapshot_whose_channel_keys_were_revoked_is_nothing_to_go_back_to(store: SignedStore, settled: Any) -> None:
    store.offer_nothing()
    store.replace_keys("prod")
    settled.poll()

    with pytest.raises(ConflictError, match="no previous snapshot"):
        settled.enforcement.rollback(reason="test", by="test")

    assert [event.release for event in settled.events("revoked")] == [1]
    assert settled.release == 2


def test_what_the_new_keys_still_offer_can_be_gone_back_to(store: SignedStore, settled: Any) -> None:
    store.replace_keys("prod")
    settled.poll()

    settled.enforcement.rollback(reason="test", by="test")

    assert (settled.release, settled.events("revoked")) == (1, [])


def test_what_the_new_keys_offer_no_longer_is_forgotten_then(store: SignedStore, settled: Any) -> None:
    settled.enforcement.rollback(reason="test", by="test")
    store.replace_keys("prod")
    settled.poll()
    assert settled.release == 1

    store.publish(THROTTLE)
    assert (settled.poll(), settled.release) == (Outcome.ACTIVATED, 1)
    store.offer_nothing()
    store.versions |= {role: store.versions[role] + 1 for role in ("prod", "snapshot", "timestamp")}
    store.commit()
    settled.poll()

    assert (settled.release, settled.enforcement.state.previous) == (3, None)
    assert [event.release for event in settled.events("revoked")] == [1]


def test_what_the_same_keys_offer_no_longer_can_be_gone_back_to(store: SignedStore, settled: Any) -> None:
    store.offer_nothing()
    store.versions |= {role: store.versions[role] + 1 for role in ("prod", "snapshot", "timestamp")}
    store.commit()
    settled.poll()

    settled.enforcement.rollback(reason="test", by="test")

    assert settled.release == 1


def test_the_release_of_a_thief_is_nothing_to_go_back_to(store: SignedStore, settled: Any) -> None:
    store.publish(THROTTLE, number=90)
    settled.poll()
    store.replace_keys("prod", "snapshot", "timestamp")
    honest = replace(store.publish(DENY), min_release=91)
    store.release_as(honest, DENY)

    settled.poll()

    assert (settled.release, settled.enforcement.state.previous) == (91, None)
    assert [event.release for event in settled.events("revoked")] == [90]


def test_a_rollback_onto_what_a_revoked_key_signed_ends_at_once(store: SignedStore, settled: Any) -> None:
    settled.enforcement.rollback(reason="test", by="uid 7")
    assert settled.release == 1
    store.offer_nothing()
    store.replace_keys("prod")

    settled.poll()

    assert (settled.release, settled.enforcement.state.pin) == (2, None)
    assert settled.events("resume")[-1].by == "policy"
    settled.start()
    assert settled.release == 2


def test_nothing_revoked_is_enforced_when_the_current_snapshot_is_damaged(store: SignedStore, settled: Any) -> None:
    store.offer_nothing()
    store.replace_keys("prod")
    settled.poll()
    current = settled.enforcement.state.current
    (settled.path / "snapshots" / current.sha256 / "bundle.tar.gz").write_bytes(b"")

    settled.start()

    assert (settled.release, settled.decide()) == (0, "deny")
    assert settled.poll() is Outcome.ACTIVATED


def test_a_new_version_of_targets_with_the_same_keys_takes_nothing_away(store: SignedStore, settled: Any) -> None:
    store.replace_keys("targets")
    settled.poll()

    settled.enforcement.rollback(reason="test", by="test")

    assert settled.release == 1


# recovery from versions that a thief drove up (TUF 5.3.11)


@pytest.mark.parametrize(
    "stolen", [["timestamp"], ["snapshot"], ["targets"], ["prod"], ["timestamp", "snapshot", "targets", "prod"]]
)
@pytest.mark.parametrize("trouble", [leave, restart, lose_cache])
def test_hosts_get_back_from_huge_versions_once_a_new_root_replaced_the_keys(
    stolen: list[str], trouble: Callable[[Any], None], store: SignedStore, settled: Any
) -> None:
    honest = dict(store.versions)
    store.versions |= dict.fromkeys(stolen, HUGE)
    store.publish(THROTTLE)
    assert settled.poll() is Outcome.ACTIVATED
    trouble(settled)

    store.replace_keys("timestamp", "snapshot", *stolen, **{role: honest[role] + 3 for role in stolen})
    store.publish(DENY)

    assert settled.poll() is Outcome.ACTIVATED
    assert (settled.release, settled.decide()) == (4, "deny")
    assert max(settled.enforcement.state.versions.values()) < HUGE
    assert settled.poll() is Outcome.UNCHANGED


def test_a_new_root_alone_resets_nothing_though_the_cache_was_lost(store: SignedStore, settled: Any) -> None:
    old = store.timestamp.read_bytes()
    store.refresh()
    settled.poll()
    store.replace_keys("root", timestamp=store.versions["timestamp"])
    store.timestamp.write_bytes(old)

    lose_cache(settled)

    assert settled.poll() is Outcome.REJECTED
    assert "timestamp: version 3 (expected at least 4)" in settled.updater.rejection.reason


@pytest.mark.parametrize("fallen", ["targets", "prod"])
def test_a_new_timestamp_key_does_not_excuse_what_the_snapshot_role_pins(
    fallen: str, store: SignedStore, settled: Any
) -> None:
    """The snapshot role's key is stolen, too, and nobody replaced it yet."""
    store.replace_keys("targets", "prod")
    settled.poll()
    seen = store.versions[fallen]
    store.replace_keys("timestamp", **{fallen: seen - 1})

    lose_cache(settled)

    assert settled.poll() is Outcome.REJECTED
    assert f"{fallen}: version {seen - 1} (expected at least {seen})" in settled.updater.rejection.reason


def test_without_the_chain_that_was_in_force_every_version_seen_binds(store: SignedStore, settled: Any) -> None:
    current = settled.enforcement.state.current
    (settled.path / "snapshots" / current.sha256 / "release-2.json").unlink()
    store.replace_keys("timestamp", "snapshot", timestamp=1, snapshot=1)

    assert settled.poll() is Outcome.REJECTED
    assert "timestamp: version 1" in settled.updater.rejection.reason


# release numbers and dates that a thief drove up


def test_a_release_number_that_would_leave_none_is_refused(store: SignedStore, settled: Any) -> None:
    store.publish(THROTTLE, number=2**53 - 1)

    assert settled.poll() is Outcome.REJECTED
    assert "higher than any channel can have come to" in settled.updater.rejection.reason
    assert settled.release == 2
    store.replace_keys("prod")
    store.publish(ALLOW, number=3)
    assert settled.poll() is Outcome.ACTIVATED


def test_however_high_a_thief_got_there_is_a_next_number(store: SignedStore, settled: Any) -> None:
    settled.now = settled.updater.freshness.signed_at
    number = int(settled.now)
    store.publish(THROTTLE, number=number)
    assert settled.poll() is Outcome.ACTIVATED
    store.replace_keys("prod", "snapshot", "timestamp")
    store.publish(DENY)

    settled.now += 1

    assert settled.poll() is Outcome.ACTIVATED
    assert settled.release == number + 1


def test_a_timestamp_signed_in_the_future_does_not_move_host_time(store: SignedStore, settled: Any) -> None:
    before = settled.clock()
    store.lifetime = timedelta(days=9000)
    store.signed_at = datetime.now(UTC) + timedelta(days=4000)
    store.publish(THROTTLE)

    assert settled.poll() is Outcome.REJECTED
    assert "which is yet to come" in settled.updater.rejection.reason
    assert settled.clock() - before < 3600
    store.signed_at, store.lifetime = None, timedelta(days=1)
    store.replace_keys("timestamp")
    settled.seconds += ROOT_PROBE_S
    assert settled.poll() is Outcome.ACTIVATED


def test_a_host_that_starts_with_a_clock_far_behind_is_updated_by_the_first_poll_after_it_was_set_right(
    store: SignedStore, host: Any
) -> None:
    store.publish(ALLOW)
    right, host.now = host.clock(), 86_400.0
    host.start()

    assert [host.poll(), host.poll()] == [Outcome.REJECTED] * 2
    assert len(host.events("rejected")) == 1
    host.now = right
    assert host.poll() is Outcome.ACTIVATED


# the role of people on call


@pytest.fixture
def on_call(tmp_path: Path) -> Iterator[tuple[SignedStore, Any]]:
    """Return a store whose channel has an on-call role, and a host that enforces release 3, which on call selected."""
    store = SignedStore(tmp_path / "on-call", oncall=True)
    host = Host(tmp_path / "on-call-host", store).start()
    first = store.publish(ALLOW)
    host.poll()
    store.publish(DENY)
    host.poll()
    store.call(selected=first)
    host.poll()
    assert (host.release, host.decide()) == (3, "allow")
    yield store, host
    host.stop()


@pytest.mark.parametrize("trouble", [leave, restart, lose_cache])
def test_what_a_revoked_key_of_somebody_on_call_signs_is_refused(
    trouble: Callable[[Any], None], on_call: tuple[SignedStore, Any]
) -> None:
    store, host = on_call
    stolen = store.signers[ONCALL]
    store.replace_keys(ONCALL)
    assert host.poll() is Outcome.UNCHANGED
    trouble(host)

    signed_by_the_thief(store, ONCALL, stolen, lambda: store.call(selected=store.release))

    assert host.poll() is Outcome.REJECTED
    assert (host.release, host.decide()) == (3, "allow")


def test_a_host_does_not_go_back_behind_what_on_call_made_live(on_call: tuple[SignedStore, Any]) -> None:
    store, host = on_call
    store.said = {}
    for role in (ONCALL, "snapshot", "timestamp"):
        store.versions[role] += 1
    store.commit()

    assert host.poll() is Outcome.REJECTED
    assert "release 2: lower than 3, which this host has seen" in host.updater.rejection.reason
    store.publish(THROTTLE, number=4)
    assert host.poll() is Outcome.ACTIVATED


def test_hosts_get_back_from_huge_versions_of_the_on_call_role(on_call: tuple[SignedStore, Any]) -> None:
    store, host = on_call
    store.versions[ONCALL] = HUGE
    store.call(selected=store.release)
    assert host.poll() is Outcome.ACTIVATED
    lose_cache(host)

    store.replace_keys("timestamp", "snapshot", ONCALL, **{ONCALL: 9})
    store.publish(THROTTLE)

    assert host.poll() is Outcome.ACTIVATED
    assert (host.release, host.decide()) == (5, "throttle")
