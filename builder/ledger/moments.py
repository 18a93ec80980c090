"""What was live when: intervals between signed times, the first of which has no release."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from policy_core.errors import UsageError
from policy_core.trust.history import HistoryEntry
from policy_core.trust.oncall import Emergency
from policy_core.trust.release import Release

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


@dataclass(frozen=True, slots=True)
class Interval:
    """`release` (None: nothing yet) was live from `start` up to, but not including, `end` (None: still is).

    `approved_by` are the people who signed it, `emergency` the entries that it brought along.
    """

    release: Release | None
    start: datetime
    end: datetime | None
    approved_by: tuple[str, ...] = ()
    emergency: tuple[Emergency, ...] = ()


@dataclass(frozen=True, slots=True)
class When:
    """A moment (`end` is None) or a span of time from `start` up to, but not including, `end`; aware."""

    start: datetime
    end: datetime | None = None


def parse_when(text: str) -> When:
    """Read a full timestamp with a zone, or a bare date, which is that whole UTC day; raises UsageError."""
    try:
        moment = datetime.fromisoformat(text)
        if _DATE.fullmatch(text):
            day = moment.replace(tzinfo=UTC)
            return When(day, day + timedelta(days=1))
        if moment.tzinfo is not None:
            return When(moment.astimezone(UTC))
    except (ValueError, OverflowError) as error:  # the latter at both ends of the calendar
        raise _bad_time(text) from error
    raise _bad_time(text)


def intervals(history: Iterable[HistoryEntry]) -> list[Interval]:
    """Return the intervals of a channel, oldest first; `history` is newest first."""
    found: list[Interval] = []
    end: datetime | None = None
    for entry in history:
        found.append(Interval(entry.release, entry.signed_at, end, entry.approved_by, entry.emergency))
        end = entry.signed_at
    return found[::-1]


def live_during(when: When, found: Sequence[Interval]) -> list[Interval]:
    """Return the intervals that overlap `when`, oldest first: for a moment exactly one, or none before the channel."""
    if when.end is None:
        return [i for i in found if i.start <= when.start and (i.end is None or when.start < i.end)]
    return [i for i in found if i.start < when.end and (i.end is None or when.start < i.end)]


def _bad_time(text: str) -> UsageError:
    return UsageError(
        f"time {text!r}: neither a date nor a full timestamp with a zone",
        hint="write 2026-03-01 for that UTC day, or 2026-03-01T14:30:00Z",
    )
