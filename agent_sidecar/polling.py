"""The polling thread: when to poll next. It backs off with jitter, never gives up, and never holds up a request.

A daemon thread: whatever a network call is doing when the sidecar ends, the state on disk is complete at every moment.
"""

import random
import threading
from collections.abc import Callable
from concurrent.futures import Future

from agent_sidecar import logs
from agent_sidecar.updating import Outcome, Updater

JITTER = 0.1
"""Polls of a fleet spread over this part of the interval, either way."""
MAX_BACKOFF_S = 120.0


class Poller:
    """Runs an updater: at once, then at intervals, and whenever `refresh` asks."""

    def __init__(self, updater: Updater, *, poll_s: float, first: Callable[[], None]) -> None:
        """`first` is run once in the thread before the first poll."""
        self.polls = 0
        self._updater = updater
        self._poll_s = poll_s
        self._first = first
        self._failures = 0
        self._asked: list[Future[Outcome]] = []
        self._wake = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="poller", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

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
            with self._wake:
                asked, self._asked = self._asked, []
            asked = [future for future in asked if future.set_running_or_notify_cancel()]
            outcome = self._poll(full=bool(asked))
            for future in asked:
                future.set_result(outcome)
            with self._wake:
                self._wake.wait_for(lambda: self._stopping or self._asked, self._delay_s(outcome))

    def _poll(self, *, full: bool) -> Outcome:
        self.polls += 1
        try:
            return self._updater.poll(full=full)
        except Exception as error:  # noqa: BLE001 - thread boundary: a bug must not end the polling
            logs.bug("poll_failed", error)
            return Outcome.UNREACHABLE

    def _delay_s(self, outcome: Outcome) -> float:
        self._failures = self._failures + 1 if outcome is Outcome.UNREACHABLE else 0
        return backoff_s(self._poll_s, self._failures) * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - no secret


def backoff_s(poll_s: float, failures: int) -> float:
    """Return the seconds to the next poll after so many failures in a row: doubling up to `MAX_BACKOFF_S`."""
    return min(poll_s * 2 ** min(failures, 20), max(MAX_BACKOFF_S, poll_s)) if failures else poll_s
