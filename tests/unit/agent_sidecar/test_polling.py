"""When polls happen: at intervals, later after failures, at once when asked, and never a thread that dies."""

import threading

import pytest

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
