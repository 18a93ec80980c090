"""Work of a background thread that is tried until it succeeds: it backs off with jitter and never gives up.

What is wrong is logged when it begins, when it changes and when it is over, not at each attempt.
"""

import random
from collections.abc import Callable

from agent_sidecar import logs
from policy_core.errors import KnownError

FIRST_DELAY_S = 1.0
MAX_DELAY_S = 120.0
JITTER = 0.25


class Retrying:
    """One kind of work; `name` begins its log events. `now` is always monotonic time."""

    def __init__(self, name: str) -> None:
        self.failures = 0
        self.problem = ""
        self.not_before = 0.0
        self._name = name
        self._in_a_row = 0

    def attempt(self, work: Callable[[], bool], now: float) -> bool:
        """Do the work if its time has come, and return what it says; False if it fails.

        An unknown exception is a bug, and logged.
        """
        if now < self.not_before:
            return False
        try:
            done = work()
        except KnownError as error:
            self._failed(error.message, error.hint, now)
        except Exception as error:  # noqa: BLE001 - thread boundary: a bug must not end the thread
            logs.bug(f"{self._name}_failed", error)
            self._failed(f"{type(error).__name__}: {error}", "", now)
        else:
            if self.problem:
                logs.info(f"{self._name}_resumed", attempts=self._in_a_row + 1)
            self.problem, self.not_before, self._in_a_row = "", 0.0, 0
            return done
        return False

    def _failed(self, problem: str, hint: str, now: float) -> None:
        if problem != self.problem:
            logs.warning(f"{self._name}_failed", reason=problem, hint=hint)
        delay_s = min(FIRST_DELAY_S * 2 ** min(self._in_a_row, 20), MAX_DELAY_S)
        self.not_before = now + delay_s * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - no secret
        self.problem = problem
        self.failures += 1
        self._in_a_row += 1
