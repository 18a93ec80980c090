"""Rates this host counts by itself: in memory for speed, in a journal so that they outlive the process.

A count is in the journal before the answer leaves. Where the journal cannot be written, or was found damaged, a rate
cannot be told: that is an error, for as long as what was lost could still matter.
"""

import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

import msgspec

from agent_sidecar.durable import StateError
from agent_sidecar.history import moment
from agent_sidecar.host_clock import HostClock
from agent_sidecar.journal import Journal
from agent_sidecar.state import HostTime
from policy_core.memory import ForgottenError
from policy_core.model import Rule
from policy_core.rates import SlidingWindows

Positive = Annotated[int, msgspec.Meta(ge=1)]


class Counted(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Allowed requests under one rule and key, oldest first, and the rate the rule had then."""

    rule: str
    key: str
    limit: Positive
    window_s: Positive
    times: tuple[HostTime, ...]


class HostRates:
    """Counts in sliding windows; safe to use from any thread. Host time never goes back in it, or over a restart."""

    def __init__(self, directory: Path, clock: HostClock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._journal = Journal(directory, "rates", Counted, fold=_fold, unfold=_unfold)
        self._windows = self._journal.open(clock())
        newest = max((times[-1] for *_, times in self._windows.entries()), default=0.0)
        clock.raise_to(max(newest, self._journal.at))
        self._latest = newest

    def retry_after(self, rule: Rule, key: str, now: float) -> float | None:
        """Return None while the rate of a rule is not reached, else after how many seconds it may no longer be.

        Raises ForgottenError.
        """
        with self._lock:
            forgot_at = self._journal.forgot_at
            if forgot_at is not None and rule.rate and now < forgot_at + rule.rate.window_s:
                raise ForgottenError(
                    f"rates: what was counted before {moment(forgot_at)} is lost, and may matter still"
                )
            return self._windows.retry_after(rule, key, self._advance(now))

    def count(self, rule: Rule, key: str, now: float, *, reached: bool) -> bool:
        """Count an allowed request; False, counting nothing, if another one reached the rate since it was looked up.

        Raises ForgottenError.
        """
        rate = rule.rate
        if rate is None:
            raise ValueError(f"{rule.name} has no rate")
        with self._lock:
            now = self._advance(now)
            if not reached and self._windows.retry_after(rule, key, now) is not None:
                return False
            try:
                self._journal.append(Counted(rule.name, key, rate.limit, rate.window_s, (now,)))
            except StateError as error:
                raise ForgottenError(error.message) from error
            self._windows.count(rule, key, now)
        return True

    def tend(self) -> None:
        """Make what was counted survive the machine too. Raises StateError."""
        self._journal.tend(self._lock, self._clock())

    @property
    def keys(self) -> int:
        """Return how many keys have a window."""
        return len(self._windows)

    @property
    def journal_bytes(self) -> int:
        """Return how much of the disk the counts take."""
        return self._journal.size_bytes

    @property
    def forgot_at(self) -> float | None:
        """Return when the journal was found damaged (host time), None if it never was."""
        return self._journal.forgot_at

    def _advance(self, now: float) -> float:
        """Return host time as of the latest request: threads may bring theirs in another order."""
        self._latest = max(self._latest, now)
        return self._latest


def _fold(records: Iterable[Counted]) -> SlidingWindows:
    windows = SlidingWindows()
    for record in records:
        for time in record.times:
            windows.note(record.rule, record.key, limit=record.limit, window_s=record.window_s, now=time)
    return windows


def _unfold(windows: SlidingWindows, now: float) -> Iterator[Counted]:
    windows.forget_expired(now)
    for rule, key, window_s, times in windows.entries():
        yield Counted(rule, key, len(times), window_s, tuple(times))
