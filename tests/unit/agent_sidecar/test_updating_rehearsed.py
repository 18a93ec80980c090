"""What an update does with the outcome of a rehearsal, and with memory that runs out all the same."""

from typing import Any

import pytest
from signed_store import SignedStore, bundle, rules

from agent_sidecar import enforcement, updating
from agent_sidecar.rehearsal.rehearsing import RefusedError, RehearsalError
from agent_sidecar.updating import ROOT_PROBE_S, Outcome

ALLOW, DENY = bundle(rules("allow"), number=1), bundle(rules("deny"), number=2)
TIMESTAMP = "metadata/timestamp.json"


@pytest.fixture
def serving(store: SignedStore, host: Any) -> Any:
    """A host that enforces release 1."""
    store.publish(ALLOW)
    host.poll()
    return host


def test_a_release_whose_rehearsal_dies_leaves_the_old_one_in_force(store: SignedStore, serving: Any) -> None:
    serving.rehearse = _failing(RehearsalError("rehearsal: loading the bundle ended its process (SIGSEGV)"))
    store.publish(DENY)

    outcome = serving.poll()

    assert (outcome, serving.release, serving.decide()) == (Outcome.REJECTED, 1, "allow")
    rejection = serving.updater.rejection
    assert (rejection.release, rejection.sha256) == (2, "")
    assert [event.reason for event in serving.events("rejected")] == [rejection.reason]


def test_it_is_neither_fetched_in_a_loop_nor_given_up(store: SignedStore, serving: Any) -> None:
    serving.rehearse = _failing(RehearsalError("rehearsal: killed"))
    store.publish(DENY)
    serving.poll()
    serving.rehearse = _nothing

    assert serving.poll() is Outcome.UNCHANGED
    assert serving.store.reads == [TIMESTAMP]
    serving.seconds += ROOT_PROBE_S

    assert (serving.poll(), serving.release, serving.updater.rejection) == (Outcome.ACTIVATED, 2, None)


def test_bytes_that_the_rehearsal_refuses_are_refused_for_good(store: SignedStore, serving: Any) -> None:
    serving.rehearse = _failing(RefusedError("matcher: wrong"))
    store.publish(DENY)
    serving.poll()
    serving.rehearse = _nothing
    serving.seconds += ROOT_PROBE_S

    assert (serving.poll(), serving.release) == (Outcome.REJECTED, 1)
    assert [name for name in serving.store.reads if name.startswith("targets/")] == []


def test_what_is_loaded_already_needs_no_rehearsal(store: SignedStore, serving: Any) -> None:
    store.publish(DENY)
    serving.poll()
    serving.rehearse = _failing(RehearsalError("rehearsal: never asked for"))

    store.publish(ALLOW, action="rollback")

    assert (serving.poll(), serving.decide()) == (Outcome.ACTIVATED, "allow")


def test_memory_that_runs_out_after_the_rehearsal_leaves_the_old_one_in_force(
    store: SignedStore, serving: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.publish(DENY)
    with monkeypatch.context() as patch:
        patch.setattr(updating, "prepare", _failing(MemoryError()))
        assert (serving.poll(), serving.decide()) == (Outcome.REJECTED, "allow")
    assert "no memory is left" in serving.updater.rejection.reason

    assert serving.poll(full=True) is Outcome.ACTIVATED


def _failing(error: BaseException) -> Any:
    def fail(*_given: Any, **_more: Any) -> None:
        raise error

    return fail


def _nothing(_blob: bytes) -> None:
    pass


def test_a_start_without_memory_for_the_newest_policy_falls_back_to_the_one_before(
    store: SignedStore, serving: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.publish(DENY)
    serving.poll()
    prepare, tried = enforcement.prepare, []

    def first_fails(blob: bytes, *given: Any, **more: Any) -> Any:
        tried.append(blob)
        if len(tried) == 1:
            raise MemoryError
        return prepare(blob, *given, **more)

    monkeypatch.setattr(enforcement, "prepare", first_fails)

    assert (serving.start().release, tried) == (1, [DENY, ALLOW])
    assert "no memory is left" in next(iter(serving.enforcement.unusable.values()))
