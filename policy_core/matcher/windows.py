"""Time windows compiled to checks; `policy_core.windows.inside` says what a window means."""

import math
from collections.abc import Callable
from datetime import datetime

from policy_core.model import TimeWindow
from policy_core.request import Request
from policy_core.windows import DAYS, MINUTES_PER_DAY, zone


def window_check(window: TimeWindow) -> Callable[[Request], bool | None]:
    """Return the check of a window: None where the time of the request is no moment of the calendar."""
    after = -math.inf if window.after is None else window.after
    before = math.inf if window.before is None else window.before
    always_open = not window.days and window.between is None
    days = frozenset(map(DAYS.index, window.days or DAYS))
    start, end = window.between or (0, MINUTES_PER_DAY)
    wraps = start > end
    here = zone(window.tz)

    def check(request: Request) -> bool | None:
        now = request.now
        if not after <= now < before:
            return False if math.isfinite(now) else None
        if always_open:
            return True if math.isfinite(now) else None
        try:
            local = datetime.fromtimestamp(now, here)
        except (ValueError, OverflowError, OSError):
            return None
        minute = local.hour * 60 + local.minute
        if not wraps:
            return start <= minute < end and local.weekday() in days
        if minute < end:
            return (local.weekday() - 1) % 7 in days
        return minute >= start and local.weekday() in days

    return check
