"""When polls happen: at intervals, later after failures, at once when asked, and never a thread that dies."""

import threading
import time

import pytest

from agent_sidecar import polling
from agent_sidecar.polling import MAX_BACKOFF_S, Poller, backoff_s
from agent_sidecar.updating import Outcome

PATIENCE_S = 20.0


class Scripted:
    """An updater that gives the outcomes it was told, then unchanged, and counts."""

    def __init__(self, *outcomes: Outcome | Exception) -> None:
        self.outcomes = list(outcomes)
        self.calls: list[bool] = []
        self.polled = threading.Semaphore(0)

    def poll(self, *, full: bool = False) -> Outcome:
        self.calls.append(full)
        outcome = self.outcomes.pop(0) if self.outcomes else Outcome.UNCHANGED
        self.polled.release()
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


def started(updater: Scripted, poll_s: float) -> Poller:
    poller = Poller(updater, poll_s=poll_s, first=lambda: None)  # type: ignore[arg-type]
    poller.start()
    assert updater.polled.acquire(timeout=PATIENCE_S)
    return poller


def test_failures_back_off_to_a_limit_and_success_ends_that() -> None:
    assert [backoff_s(30.0, failures) for failures in range(5)] == [30.0, 60.0, 120.0, 120.0, 120.0]
    assert backoff_s(0.5, 100) == MAX_BACKOFF_S
    assert backoff_s(600.0, 3) == 600.0


def test_a_refresh_polls_at_once_and_fully() -> None:
    updater = Scripted(Outcome.UNCHANGED, Outcome.ACTIVATED)
    poller = started(updater, 3600.0)

    outcome = poller.refresh().result(PATIENCE_S)

    assert (outcome, updater.calls) == (Outcome.ACTIVATED, [False, True])
    poller.stop(timeout_s=PATIENCE_S)


def test_a_refresh_nobody_waits_for_any_more_does_no_harm() -> None:
    updater = Scripted()
    poller = started(updater, 3600.0)
    gate = threading.Event()
    updater.poll, polling = lambda full=False: (gate.wait(PATIENCE_S), polling(full=full))[1], updater.poll  # type: ignore[method-assign]
    first, second = poller.refresh(), poller.refresh()
    second.cancel()
    gate.set()

    assert first.result(PATIENCE_S) is Outcome.UNCHANGED
    assert poller.refresh().result(PATIENCE_S) is Outcome.UNCHANGED
    poller.stop(timeout_s=PATIENCE_S)


def test_a_bug_in_a_poll_is_logged_and_polling_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    updater = Scripted(ZeroDivisionError("oops"))
    poller = started(updater, 0.001)

    assert poller.refresh().result(PATIENCE_S) is Outcome.UNCHANGED

    assert caplog.records[0].exc_info
    poller.stop(timeout_s=PATIENCE_S)


def test_a_bug_before_the_first_poll_does_not_end_the_polling() -> None:
    def first() -> None:
        raise ZeroDivisionError

    updater = Scripted()
    poller = Poller(updater, poll_s=3600.0, first=first)  # type: ignore[arg-type]

    poller.start()

    assert updater.polled.acquire(timeout=PATIENCE_S)
    poller.stop(timeout_s=PATIENCE_S)


def test_polls_follow_each_other() -> None:
    updater = Scripted()
    poller = started(updater, 0.001)

    for _ in range(3):
        assert updater.polled.acquire(timeout=PATIENCE_S)

    poller.stop(timeout_s=PATIENCE_S)
    assert poller.polls == len(updater.calls)


def test_a_new_interval_polls_at_once() -> None:
    updater = Scripted()
    poller = started(updater, 3600.0)

    poller.set_interval(1800.0)

    assert updater.polled.acquire(timeout=PATIENCE_S)
    poller.stop(timeout_s=PATIENCE_S)


def test_a_thread_that_waits_for_its_next_poll_is_not_stuck_and_one_that_is_gone_is() -> None:
    poller = started(Scripted(), 3600.0)

    assert not poller.is_stuck
    poller.stop(timeout_s=PATIENCE_S)
    assert poller.is_stuck


def test_a_poll_that_does_not_end_is_stuck_once_its_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polling, "MAX_STEP_S", 0.05)
    gate, updater = threading.Event(), Scripted()
    updater.poll, honest = lambda full=False: (gate.wait(PATIENCE_S), honest(full=full))[1], updater.poll  # type: ignore[method-assign]
    poller = Poller(updater, poll_s=3600.0, first=lambda: None)  # type: ignore[arg-type]

    poller.start()
    end = time.monotonic() + PATIENCE_S
    while not poller.is_stuck and time.monotonic() < end:
        time.sleep(0.01)

    assert poller.is_stuck
    gate.set()
    assert updater.polled.acquire(timeout=PATIENCE_S)
    poller.stop(timeout_s=PATIENCE_S)


def test_polls_are_counted_by_how_they_ended() -> None:
    updater = Scripted(Outcome.ACTIVATED, ZeroDivisionError())
    poller = started(updater, 3600.0)

    poller.refresh().result(PATIENCE_S)
    poller.stop(timeout_s=PATIENCE_S)

    assert (poller.outcomes["activated"], poller.outcomes["unreachable"]) == (1, 1)
