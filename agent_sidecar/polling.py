"""The polling thread: when to poll next. It backs off with jitter, never gives up, and never holds up a request.

A daemon thread: whatever a network call is doing when the sidecar ends, the state on disk is complete at every moment.
"""

import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future

from agent_sidecar import logs
from agent_sidecar.updating import Outcome, Updater

JITTER = 0.1
"""Polls of a fleet spread over this part of the interval, either way."""
MAX_BACKOFF_S = 120.0
MAX_STEP_S = 1800.0
"""How long a poll, or loading what is on disk, may take before the thread counts as stuck: more than it takes to fetch,
try out and load the largest bundle over the slowest network. All its waits have shorter limits."""
GRACE_S = 60.0
"""How late a wait between polls may end: on a machine that is short of everything, threads wake late."""


class Poller:
    """Runs an updater: at once, then at intervals, and whenever `refresh` asks."""

    def __init__(self, updater: Updater, *, poll_s: float, first: Callable[[], None]) -> None:
        """`first` is run once in the thread before the first poll."""
        self.polls = 0
        self.outcomes: dict[str, int] = dict.fromkeys(Outcome, 0)
        self._updater = updater
        self._poll_s = poll_s
        self._first = first
        self._failures = 0
        self._asked: list[Future[Outcome]] = []
        self._wake = threading.Condition()
        self._stopping = False
        self._hurry = False
        self._moves_on_by = 0.0
        self._thread = threading.Thread(target=self._run, name="poller", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._promise(MAX_STEP_S)
        self._thread.start()

    @property
    def is_stuck(self) -> bool:
        """Tell whether the thread is gone, or has not moved on by the time it must have."""
        return not self._thread.is_alive() or time.monotonic() > self._moves_on_by

    def set_interval(self, poll_s: float) -> None:
        """Poll now, and from then on at another interval."""
        with self._wake:
            self._poll_s, self._hurry = poll_s, True
            self._wake.notify()

    def stop(self, *, timeout_s: float) -> None:
        """End after the poll under way, or leave it behind after `timeout_s`."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        self._thread.join(timeout_s)

    def refresh(self) -> Future[Outcome]:
        """Ask for a full poll now; the future gets its outcome."""
        future: Future[Outcome] = Future()
        with self._wake:
            self._asked.append(future)
            self._wake.notify()
        return future

    def _run(self) -> None:
        try:
            self._first()
        except Exception as error:  # noqa: BLE001 - thread boundary: polling must begin
            logs.bug("poll_failed", error)
        while not self._stopping:
            self._promise(MAX_STEP_S)
            with self._wake:
                asked, self._asked = self._asked, []
                self._hurry = False
            asked = [future for future in asked if future.set_running_or_notify_cancel()]
            outcome = self._poll(full=bool(asked))
            for future in asked:
                future.set_result(outcome)
            delay_s = self._delay_s(outcome)
            self._promise(delay_s + GRACE_S)
            with self._wake:
                self._wake.wait_for(lambda: self._stopping or self._asked or self._hurry, delay_s)

    def _promise(self, seconds: float) -> None:
        """Say by when the thread will have come to its next step."""
        self._moves_on_by = time.monotonic() + seconds

    def _poll(self, *, full: bool) -> Outcome:
        self.polls += 1
        began = time.monotonic()
        try:
            outcome = self._updater.poll(full=full)
        except Exception as error:  # noqa: BLE001 - thread boundary: a bug must not end the polling
            logs.bug("poll_failed", error)
            outcome = Outcome.UNREACHABLE
        self.outcomes[outcome] += 1
        logs.debug("polled", outcome=outcome, full=full, seconds=round(time.monotonic() - began, 3))
        return outcome

    def _delay_s(self, outcome: Outcome) -> float:
        self._failures = self._failures + 1 if outcome is Outcome.UNREACHABLE else 0
        return backoff_s(self._poll_s, self._failures) * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - no secret


def backoff_s(poll_s: float, failures: int) -> float:
    """Return the seconds to the next poll after so many failures in a row: doubling up to `MAX_BACKOFF_S`."""
    return min(poll_s * 2 ** min(failures, 20), max(MAX_BACKOFF_S, poll_s)) if failures else poll_s
