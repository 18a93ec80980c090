"""Host rollback and resume, and what is enforced at a start."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from signed_store import SignedStore, bundle, rules

from agent_sidecar.enforcement import Enforcement
from policy_core.decision import POLICY_UNAVAILABLE
from policy_core.errors import ConflictError, UsageError

ALLOW, DENY = bundle(rules("allow"), number=1), bundle(rules("deny"), number=2)
THROTTLE = bundle(rules("throttle"), number=3)


@pytest.fixture
def updated(store: SignedStore, host: Any) -> Any:
    """Return a host that went from release 1 (allow) to release 2 (deny)."""
    store.publish(ALLOW)
    host.poll()
    store.publish(DENY)
    host.poll()
    return host


def roll_back(host: Any) -> None:
    host.enforcement.rollback(reason="restarts refused", by="uid 7")


def test_before_the_first_policy_everything_is_denied_with_the_reason(host: Any) -> None:
    answer = host.enforcement.active.answer("not even a request", now=0.0, decision_id="d-1")

    assert (answer.decision, answer.reason_code, answer.decision_id) == ("deny", POLICY_UNAVAILABLE, "d-1")


def test_rollback_answers_from_the_previous_snapshot_without_the_store(updated: Any) -> None:
    updated.store.is_down = True
    updated.store.reads.clear()

    roll_back(updated)

    assert (updated.release, updated.decide()) == (1, "allow")
    assert updated.store.reads == []


def test_rollback_is_in_the_history_with_who_and_why(updated: Any) -> None:
    roll_back(updated)

    (event,) = updated.events("rollback")
    assert (event.release, event.by, event.reason) == (1, "uid 7", "restarts refused")


def test_a_second_rollback_is_refused_and_does_not_toggle(updated: Any) -> None:
    roll_back(updated)

    with pytest.raises(ConflictError, match="one is in force since"):
        roll_back(updated)

    assert updated.release == 1


def test_rollback_without_a_previous_snapshot_is_refused(store: SignedStore, host: Any) -> None:
    store.publish(ALLOW)
    host.poll()

    with pytest.raises(ConflictError, match="no previous snapshot"):
        roll_back(host)

    assert host.release == 1


@pytest.mark.parametrize("reason", ["", "two\nlines", "bell\a", "x" * 501])
def test_a_rollback_needs_a_printable_reason(updated: Any, reason: str) -> None:
    with pytest.raises(UsageError, match="reason"):
        updated.enforcement.rollback(reason=reason, by="uid 7")

    assert updated.release == 2


def test_resume_enforces_the_current_snapshot_again(updated: Any) -> None:
    roll_back(updated)

    updated.enforcement.resume(reason="", by="uid 7")

    assert (updated.release, updated.decide()) == (2, "deny")
    roll_back(updated)
    assert updated.release == 1


def test_resume_without_rollback_is_refused(updated: Any) -> None:
    with pytest.raises(ConflictError, match="no rollback is in force"):
        updated.enforcement.resume(reason="", by="uid 7")


def test_a_rollback_survives_a_restart_without_network(updated: Any) -> None:
    roll_back(updated)
    updated.store.is_down = True

    updated.start()

    assert (updated.release, updated.decide()) == (1, "allow")


def test_releases_during_a_rollback_are_verified_and_wait(updated: Any, store: SignedStore) -> None:
    roll_back(updated)
    store.publish(THROTTLE)

    updated.poll()

    assert (updated.release, updated.decide()) == (1, "allow")
    assert updated.enforcement.state.current.release == 3
    assert [event.release for event in updated.events("held")] == [3]
    updated.enforcement.resume(reason="fixed", by="uid 7")
    assert (updated.release, updated.decide()) == (3, "throttle")
    assert updated.enforcement.state.previous.release == 1


def test_a_rollback_ends_by_itself_after_the_longest_time(updated: Any) -> None:
    roll_back(updated)
    until = updated.enforcement.state.pin.until

    updated.now = until - 1
    too_early = updated.enforcement.end_expired_pin()
    updated.now = until
    in_time = updated.enforcement.end_expired_pin()

    assert (too_early, in_time, updated.release) == (False, True, 2)
    assert updated.events("resume")[0].by == "timer"


def test_a_rollback_that_expired_while_the_sidecar_was_down_has_ended(updated: Any) -> None:
    roll_back(updated)
    updated.now = updated.enforcement.state.pin.until + 1

    updated.start()

    assert updated.release == 2


def test_setting_the_clock_back_does_not_prolong_a_rollback(updated: Any) -> None:
    roll_back(updated)
    updated.now = updated.enforcement.state.pin.until + 1
    updated.clock()
    updated.now -= 100_000

    assert updated.enforcement.end_expired_pin()


def test_rollback_never_goes_below_the_least_release(updated: Any) -> None:
    updated.start(min_release=2)

    with pytest.raises(ConflictError, match="below the least this host accepts"):
        roll_back(updated)

    assert updated.release == 2


def test_a_start_without_network_enforces_the_current_snapshot(updated: Any) -> None:
    updated.store.is_down = True
    updated.store.reads.clear()

    updated.start()

    assert (updated.release, updated.decide(), updated.store.reads) == (2, "deny", [])


def flip(path: Path) -> None:
    """Change one bit in the middle."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def chain_of_the_previous_release(current: Path, previous: Path) -> None:
    shutil.copy(previous / "release-1.json", current / "release-2.json")


DAMAGES = {
    "bundle empty": lambda current, _: (current / "bundle.tar.gz").write_bytes(b""),
    "bundle flipped": lambda current, _: flip(current / "bundle.tar.gz"),
    "bundle missing": lambda current, _: (current / "bundle.tar.gz").unlink(),
    "bundle of the previous release": lambda current, previous: shutil.copy(previous / "bundle.tar.gz", current),
    "metadata flipped": lambda current, _: flip(current / "release-2.json"),
    "metadata missing": lambda current, _: (current / "release-2.json").unlink(),
    "metadata of the previous release": chain_of_the_previous_release,
    "everything missing": lambda current, _: shutil.rmtree(current),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_current_snapshot_falls_back_to_the_previous_one_says_so_and_is_healed_by_a_poll(
    updated: Any, damage: Callable[[Path, Path], object]
) -> None:
    state = updated.enforcement.state
    damage(*(updated.path / "snapshots" / ref.sha256 for ref in (state.current, state.previous)))

    updated.start()

    assert (updated.release, updated.decide()) == (1, "allow")
    assert list(updated.enforcement.unusable) == [state.current]
    assert [event.event for event in updated.events()][-1] == "fallback"
    updated.poll()
    assert (updated.release, updated.enforcement.unusable) == (2, {})


def test_a_damaged_rolled_back_snapshot_denies_instead_of_the_refused_one(updated: Any) -> None:
    roll_back(updated)
    previous = updated.enforcement.state.previous
    (updated.path / "snapshots" / previous.sha256 / "bundle.tar.gz").unlink()

    updated.start()

    assert (updated.release, updated.decide()) == (0, "deny")
    updated.enforcement.resume(reason="", by="uid 7")
    assert updated.release == 2


def test_snapshots_of_another_trust_root_are_not_enforced(updated: Any, tmp_path: Any) -> None:
    updated.trusted_root = SignedStore(tmp_path / "other").root

    updated.start()

    assert updated.release == 0
    assert len(updated.enforcement.unusable) == 2


def test_host_labels_of_the_configuration_reach_the_answer(store: SignedStore, new_host: Any) -> None:
    host = new_host(host={"env": "prod"}).start()
    store.publish(ALLOW)

    host.poll()

    assert host.enforcement.active.host == {"env": "prod"}


def test_only_the_two_newest_snapshots_stay_on_disk(updated: Any, store: SignedStore) -> None:
    store.publish(THROTTLE)

    updated.poll()

    state = updated.enforcement.state
    found = {path.name for path in (updated.path / "snapshots").iterdir()}
    assert found == {state.current.sha256, state.previous.sha256}


def test_the_previous_snapshot_is_loaded_once_requests_are_answered(updated: Any) -> None:
    updated.start()
    enforcement: Enforcement = updated.enforcement
    assert not enforcement.is_loaded(enforcement.state.previous)

    enforcement.load_rest()

    assert enforcement.is_loaded(enforcement.state.previous)
