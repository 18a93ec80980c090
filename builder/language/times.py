"""Times as authors write them: ``timestamp("…")`` and ``duration("…")`` of conditions, and durations of settings."""

import re
from datetime import UTC, datetime, timedelta
from fractions import Fraction

from policy_core.condition.grammar import DURATION_MAX_US

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TIMESTAMP = re.compile(
    r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)", re.ASCII
)  # RFC 3339, in the form everybody reads the same way
_DURATION = re.compile(r"([+-]?)((?:\d+(?:\.\d+)?(?:h|ms|m|us|s|ns))+)", re.ASCII)
_PART = re.compile(r"(\d+(?:\.\d+)?)(h|ms|m|us|s|ns)", re.ASCII)
_UNIT_US = {
    "h": Fraction(3_600_000_000), "m": Fraction(60_000_000), "s": Fraction(1_000_000), "ms": Fraction(1000),
    "us": Fraction(1), "ns": Fraction(1, 1000),
}  # fmt: skip

_WHOLE_SECONDS = re.compile(r"(?=\d)(?:(\d{1,6})d)?(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,9})s)?", re.ASCII)
_SECONDS_IN = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}


def duration_s(text: str) -> int | None:
    """Return the seconds of a duration such as ``90s``, ``1h30m`` or ``7d``; None if it is none."""
    match = _WHOLE_SECONDS.fullmatch(text)
    if match is None:
        return None
    return sum(int(number) * seconds for number, seconds in zip(match.groups("0"), _SECONDS_IN.values(), strict=True))


def duration_text(seconds: int) -> str:
    """Return a duration as an author would write it, the inverse of `duration_s`."""
    parts = []
    for unit, length in _SECONDS_IN.items():
        count, seconds = divmod(seconds, length)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def timestamp_us(text: str) -> int:
    """Return microseconds since the epoch of an RFC 3339 timestamp; raise ValueError saying what is wrong."""
    match = _TIMESTAMP.fullmatch(text)
    if match is None:
        raise ValueError("is no RFC 3339 timestamp such as 2026-03-01T09:30:00Z")
    moment, fraction, zone = match.groups("")
    if len(fraction.rstrip("0")) > 6:
        raise ValueError("is finer than a microsecond")
    try:
        seconds = (datetime.fromisoformat(moment + zone) - _EPOCH) // timedelta(seconds=1)
    except ValueError as error:
        raise ValueError("is no date and time of the calendar") from error
    microseconds = seconds * 1_000_000 + int(fraction[:6].ljust(6, "0"))
    try:
        _EPOCH + timedelta(microseconds=microseconds)
    except OverflowError as error:
        raise ValueError("is outside the years 1 to 9999 in UTC") from error
    return microseconds


def duration_us(text: str) -> int:
    """Return the microseconds of a duration such as ``1h30m``; raise ValueError saying what is wrong."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError("is no duration such as 90s, 1h30m or 1.5h (units h, m, s, ms, us, ns)")
    microseconds = sum((Fraction(number) * _UNIT_US[unit] for number, unit in _PART.findall(match[2])), Fraction(0))
    if microseconds.denominator != 1:
        raise ValueError("is finer than a microsecond")
    if microseconds > DURATION_MAX_US:
        raise ValueError("is longer than 292 years")
    return -microseconds.numerator if match[1] == "-" else microseconds.numerator
