import datetime
from types import SimpleNamespace
from typing import Any

import pytest

from builder.ledger.moments import Interval, When, intervals, live_during, parse_when
from policy_core.errors import UsageError
from policy_core.trust.history import HistoryEntry

BEGIN = datetime.datetime(2026, 3, 1, tzinfo=datetime.UTC)


def at(hour: float) -> datetime.datetime:
    return BEGIN + datetime.timedelta(hours=hour)


@pytest.fixture
def found() -> list[Interval]:
    """The channel began at 0 h; releases at 10 h, 20 h, 20 h again, and 30 h."""
    times = {0: 0, 1: 10, 2: 20, 3: 20, 4: 30}
    history: Any = [
        HistoryEntry(SimpleNamespace(number=number) if number else None, at(hour), keys=())  # type: ignore[arg-type]
        for number, hour in times.items()
    ]
    return intervals(reversed(history))


def numbers(found: list[Interval]) -> list[int]:
    return [getattr(interval.release, "number", 0) for interval in found]


def test_each_release_is_live_until_the_next(found: list[Interval]) -> None:
    assert numbers(found) == [0, 1, 2, 3, 4]
    assert [interval.end for interval in found] == [at(10), at(20), at(20), at(30), None]


@pytest.mark.parametrize(
    ("hour", "expected"), [(-1, []), (0, [0]), (9.9, [0]), (10, [1]), (19.9, [1]), (20, [3]), (30, [4]), (999, [4])]
)
def test_at_a_moment_there_is_one(found: list[Interval], hour: float, expected: list[int]) -> None:
    assert numbers(live_during(When(at(hour)), found)) == expected


def test_during_a_day_there_are_all_it_touches(found: list[Interval]) -> None:
    assert numbers(live_during(parse_when("2026-03-01"), found)) == [0, 1, 2, 3]
    assert numbers(live_during(parse_when("2026-03-02"), found)) == [3, 4]
    assert numbers(live_during(parse_when("2026-03-03"), found)) == [4]
    assert numbers(live_during(parse_when("2026-02-28"), found)) == []


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-03-01T10:00:00Z", at(10)),
        ("2026-03-01T12:00:00+02:00", at(10)),
        ("2026-03-01T10:00:00.5Z", at(10) + datetime.timedelta(seconds=0.5)),
    ],
)
def test_a_full_timestamp_is_a_moment(text: str, moment: datetime.datetime) -> None:
    assert parse_when(text) == When(moment)


@pytest.mark.parametrize(
    "text",
    [
        "", "now", "2026-03", "20260301", "2026-03-01T10:00:00", "2026-02-30", "10:00Z", "2026-03-01\n",
        "\u0662026-03-01", "9999-12-31", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:00",
    ],
)  # fmt: skip
def test_anything_else_is_refused_with_both_forms(text: str) -> None:
    with pytest.raises(UsageError) as raised:
        parse_when(text)
    assert "2026-03-01T14:30:00Z" in raised.value.hint
