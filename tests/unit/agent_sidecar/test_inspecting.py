"""What is on disk, verified and answered from without a daemon."""

from pathlib import Path
from typing import Any

import pytest
from signed_store import SignedStore, bundle, rules

from agent_sidecar.inspecting import answer, verify
from agent_sidecar.snapshots import SnapshotError
from policy_core.errors import UsageError

REQUEST = {"job": {"topic": "act.0"}}


@pytest.fixture
def updated(store: SignedStore, host: Any) -> Any:
    for number, word in enumerate(("allow", "deny"), start=1):
        store.publish(bundle(rules(word), number=number))
        host.poll()
    return host


def test_both_snapshots_are_verified_beside_a_running_sidecar(updated: Any) -> None:
    found = verify(updated.path)

    assert [(each.role, each.enforced, each.release, each.rules, each.problem) for each in found] == [
        ("current", True, 2, 1, ""),
        ("previous", False, 1, 1, ""),
    ]


def test_damage_is_named(updated: Any) -> None:
    current = updated.enforcement.state.current
    (updated.path / "snapshots" / current.sha256 / "bundle.tar.gz").write_bytes(b"")

    found = verify(updated.path)

    assert "missing or damaged" in found[0].problem
    assert found[1].problem == ""


def test_another_trust_root_vouches_for_nothing(updated: Any, tmp_path: Path) -> None:
    found = verify(updated.path, trusted_root=SignedStore(tmp_path / "other").root)

    assert all(each.problem for each in found)


def test_answers_follow_what_is_enforced(updated: Any) -> None:
    before = answer(updated.path, REQUEST).decision
    updated.enforcement.rollback(reason="test", by="test")

    assert (before, answer(updated.path, REQUEST).decision) == ("deny", "allow")


def test_a_rollback_that_is_over_is_not_followed_though_nothing_ended_it(updated: Any) -> None:
    updated.enforcement.rollback(reason="test", by="test")
    updated.now = updated.enforcement.state.pin.until
    updated.enforcement.note_time(every_s=0.0)
    updated.stop()

    assert answer(updated.path, REQUEST).decision == "deny"
    assert [each.enforced for each in verify(updated.path)] == [True, False]


def test_answers_follow_the_limit_of_staleness(store: SignedStore, new_host: Any) -> None:
    host = new_host(stale_limit_s=0.0).start()
    store.publish(bundle(rules("allow"), number=1))
    host.poll()
    host.now = host.updater.freshness.expires + 1
    host.poll()

    assert answer(host.path, REQUEST).reason_code == "policy_stale"


def test_a_damaged_snapshot_answers_nothing(updated: Any) -> None:
    current = updated.enforcement.state.current
    (updated.path / "snapshots" / current.sha256 / "release-2.json").unlink()

    with pytest.raises(SnapshotError, match="is missing"):
        answer(updated.path, REQUEST)


def test_a_directory_without_state_or_policy_is_told_apart(host: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not the state directory"):
        answer(tmp_path, REQUEST)
    with pytest.raises(UsageError, match="holds no policy yet"):
        answer(host.path, REQUEST)
