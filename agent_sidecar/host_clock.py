"""Host time: max(clock, highest time ever seen, last signed time), so that setting a clock back revives nothing."""

import time
from collections.abc import Callable

TOLERANCE_S = 5.0
"""A clock this little behind is ordinary adjustment, not worth an alarm."""


class HostClock:
    """Callable: seconds since the epoch, never less than any value it gave, or was raised to, before."""

    __slots__ = ("_clock", "highest")

    def __init__(self, *, highest: float = 0.0, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self.highest = highest

    def __call__(self) -> float:
        """Return host time."""
        now = self._clock()
        if now > self.highest:
            self.highest = now
            return now
        return self.highest

    def raise_to(self, seconds: float) -> None:
        """Take note of a trustworthy later time: a signed one, or one persisted by an earlier run."""
        self.highest = max(self.highest, seconds)

    def is_ahead(self, seconds: float, *, tolerance_s: float) -> bool:
        """Tell whether a moment is later than the system clock by more than the tolerance."""
        return seconds > self._clock() + tolerance_s

    @property
    def behind_s(self) -> float:
        """Return by how much the system clock is behind host time; 0 within the tolerance."""
        behind = self.highest - self._clock()
        return behind if behind > TOLERANCE_S else 0.0
