"""What a worker answers from: as its primary says, from bytes that are those of the release, and from nothing else."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from signed_store import SignedStore, bundle, denial, rules

from agent_sidecar.activation import Activation
from agent_sidecar.snapshots import SnapshotError, SnapshotFolder
from agent_sidecar.workers import following
from agent_sidecar.workers.following import STARTING, Following
from agent_sidecar.workers.messages import Enforce
from policy_core.matcher import Matcher
from policy_core.trust.release import Release

ALLOW, DENY = bundle(rules("allow"), number=1), bundle(rules("deny"), number=2)


class Worker:
    """A worker's policies over a primary's snapshots."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.waited = 0
        self.following = Following(SnapshotFolder(folder), host={}, clock=lambda: 1.0, wait_for_requests=self._wait)
        self._number = 0

    def save(self, release: Release, blob: bytes) -> Release:
        (self.folder / release.sha256).mkdir(exist_ok=True)
        (self.folder / release.sha256 / "bundle.tar.gz").write_bytes(blob)
        return release

    def enforce(self, release: Release | None, **more: Any) -> Enforce:
        self._number += 1
        order = Enforce(number=self._number, release=release, **{"deny_after": math.inf, **more})
        self.following.enforce(order)
        return order

    def decide(self, now: float = 2.0) -> str:
        answer = self.following.active.answer({"job": {"topic": "act.0"}}, now=now, decision_id="d")
        return f"{answer.decision} {answer.reason_code}"

    def _wait(self) -> bool:
        self.waited += 1
        return True


@pytest.fixture
def worker(tmp_path: Path) -> Worker:
    return Worker(tmp_path)


@pytest.fixture
def released(store: SignedStore, worker: Worker) -> Callable[[bytes], Release]:
    return lambda blob: worker.save(store.publish(blob), blob)


def test_before_it_is_told_anything_it_denies(worker: Worker) -> None:
    assert worker.following.active is STARTING
    assert worker.decide() == "deny policy_unavailable"


def test_it_answers_from_what_it_is_told(worker: Worker, released: Callable[[bytes], Release]) -> None:
    worker.enforce(released(ALLOW))
    assert worker.decide() == "allow matched_rule"
    worker.enforce(released(DENY), deny_after=5.0)
    assert worker.decide() == "deny matched_rule"
    assert worker.decide(now=6.0) == "deny policy_stale"
    worker.enforce(None, reason="rolled back to something damaged")
    assert worker.decide() == "deny policy_unavailable"


def test_emergency_entries_lie_over_it_and_are_lifted(worker: Worker, released: Callable[[bytes], Release]) -> None:
    release = released(ALLOW)
    worker.enforce(release)

    worker.enforce(release, entries=(denial("act.0"),))
    assert worker.decide() == "deny emergency_deny"
    worker.enforce(release)
    assert worker.decide() == "allow matched_rule"


@pytest.mark.parametrize("change", [lambda file: file.write_bytes(DENY), Path.unlink])
def test_bytes_that_are_not_those_of_the_release_are_not_loaded(
    worker: Worker, released: Callable[[bytes], Release], change: Callable[[Path], object]
) -> None:
    first, second = released(ALLOW), released(bundle(rules("allow", "allow"), number=3))
    worker.enforce(first)
    change(worker.folder / second.sha256 / "bundle.tar.gz")

    with pytest.raises(SnapshotError, match="missing or damaged"):
        worker.enforce(second)

    active = worker.following.active
    assert isinstance(active, Activation)
    assert active.policy.release == 1


def test_the_same_bytes_in_another_release_are_not_loaded_again(
    worker: Worker, store: SignedStore, released: Callable[[bytes], Release], monkeypatch: pytest.MonkeyPatch
) -> None:
    worker.enforce(released(ALLOW))
    monkeypatch.setattr(following, "prepare", None)

    worker.enforce(store.publish(ALLOW, action="rollback"))

    active = worker.following.active
    assert isinstance(active, Activation)
    assert active.policy.release == 2


def test_what_is_kept_stays_loaded_and_the_rest_is_taken_apart(
    worker: Worker, released: Callable[[bytes], Release]
) -> None:
    first, second, third = (released(bundle(rules(*["allow"] * n), number=n)) for n in (1, 2, 3))
    worker.enforce(first)
    worker.following.tidy(order := worker.enforce(second, keep=(first,)), worker.following.let_go(order))
    assert worker.waited == 0

    order = worker.enforce(third, keep=(second,))
    gone = worker.following.let_go(order)
    worker.following.tidy(order, gone)

    (matcher,) = gone
    assert isinstance(matcher, Matcher)
    assert (worker.waited, matcher.rules) == (1, [])
    assert worker.decide() == "allow matched_rule"
    worker.enforce(second)
    assert worker.decide() == "allow matched_rule"
