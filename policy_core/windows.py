"""Time windows, ``time: {days: [fri], between: [22:00, 06:00], tz: Europe/Berlin}``: what they hold, and when.

`inside` says plainly what a window means; the matcher runs a compiled closure.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from math import ceil, isfinite
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from policy_core.model import TimeWindow

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MINUTES_PER_DAY = 24 * 60

_ZONE = re.compile(r"UTC|[A-Za-z_]+(?:/[A-Za-z0-9_+-]+){1,2}")
_WEEK_S = 8 * 24 * 3600  # within that, every weekday and every time of day comes by


def inside(window: TimeWindow, now: float) -> bool | None:
    """Tell whether a moment (seconds since the epoch) is in the window; None if it is no moment of the calendar."""
    if not isfinite(now):
        return None
    if window.after is not None and now < window.after:
        return False
    if window.before is not None and now >= window.before:
        return False
    if not window.days and window.between is None:
        return True
    try:
        local = datetime.fromtimestamp(now, zone(window.tz))
    except (ValueError, OverflowError, OSError):
        return None
    day, minute = local.weekday(), local.hour * 60 + local.minute
    if window.between is not None:
        start, end = window.between
        if start < end:
            if not start <= minute < end:
                return False
        elif minute < end:  # past midnight: still the window of the day before
            day = (day - 1) % 7
        elif minute < start:
            return False
    return not window.days or DAYS[day] in window.days


def zone(name: str) -> tzinfo:
    """Return a time zone by its IANA name, empty for UTC. Raises ValueError for one that is not known here."""
    if not name:
        return UTC
    if _ZONE.fullmatch(name):
        try:
            return ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            pass  # said below
    raise ValueError(f"unknown time zone {name[:80]!r}")


def check_window(window: TimeWindow) -> str:
    """Return what is wrong with a decoded window, empty if nothing."""
    if window == TimeWindow(tz=window.tz):
        return "time without a window"
    if not set(window.days) <= set(DAYS):
        return "time with an unknown day"
    if window.between is not None:
        start, end = window.between
        if not (0 <= start < MINUTES_PER_DAY and 0 < end <= MINUTES_PER_DAY and start != end):
            return "time with an impossible time of day"
    try:
        zone(window.tz)
    except ValueError as error:
        return f"{error} (tzdata missing?)"
    return "" if opens(window) else "time window that never opens"


def opens(window: TimeWindow) -> bool:
    """Tell whether there is any moment in the window; its zone must be known."""
    after, before = window.after, window.before
    if after is None or before is None:
        return True
    if after >= before:
        return False
    if before - after >= _WEEK_S or (not window.days and window.between is None):
        return True
    try:
        return bool(inside(window, after)) or any(inside(window, start) for start in _starts(window, after, before))
    except (ValueError, OverflowError, OSError):  # at the very end of the calendar
        return False


def next_moment(window: TimeWindow, now: float, *, within: bool) -> int | None:
    """Return a whole second after `now` that is in the window (or is not), soon after one of its ends.

    None if there is none within eight days of now, of `after` and of `before`.
    """
    try:
        moments = sorted(set(_turns(window, now)))
    except (ValueError, OverflowError, OSError):  # at the very end of the calendar
        return None
    return next((moment for moment in moments if moment > now and inside(window, moment) is within), None)


def _turns(window: TimeWindow, now: float) -> Iterator[int]:
    """Yield seconds at which a window may open or close."""
    here = zone(window.tz)
    minutes = {0, *(window.between or ())}
    for start in (now, window.after, window.before):
        if start is None:
            continue
        yield ceil(start)
        midnight = datetime.fromtimestamp(start, here).replace(hour=0, minute=0, second=0, microsecond=0)
        for day in range(9):
            for minute in minutes:
                yield ceil((midnight + timedelta(days=day, minutes=minute)).timestamp())


def describe(window: TimeWindow) -> dict[str, Any]:
    """Return a window as it is written, for people."""
    written: dict[str, Any] = {}
    for name, moment in (("after", window.after), ("before", window.before)):
        if moment is not None:
            written[name] = timestamp(moment)
    if window.days:
        written["days"] = list(window.days)
    if window.between is not None:
        written["between"] = [f"{minute // 60:02}:{minute % 60:02}" for minute in window.between]
    if window.tz:
        written["tz"] = window.tz
    return written


def timestamp(moment: float) -> str:
    """Return a moment in UTC, to the second, as people write it; one beyond the calendar as its number."""
    try:
        return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return str(moment)


def _starts(window: TimeWindow, after: float, before: float) -> Iterator[float]:
    """Yield the moments at which the window opens on the days from `after` to `before`."""
    here = zone(window.tz)
    minute = window.between[0] if window.between is not None else 0
    day = datetime.fromtimestamp(after, here).replace(hour=minute // 60, minute=minute % 60, second=0, microsecond=0)
    while (start := day.timestamp()) < before:
        yield start
        day += timedelta(days=1)
