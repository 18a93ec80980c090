"""Time windows: inclusive where they begin, exclusive where they end, on the clock of their zone."""

from datetime import datetime

import pytest

from policy_core.matcher.windows import window_check
from policy_core.model import TimeWindow
from policy_core.request import normalise
from policy_core.windows import check_window, describe, inside, opens

NIGHT = (22 * 60, 6 * 60)
OFFICE = (9 * 60, 17 * 60)
RAW = {"subject": {"type": "u", "id": "a"}, "action": {"name": "a"}, "resource": {"type": "t", "id": "r"}}


def moment(text):
    return datetime.fromisoformat(text).timestamp()


def holds(window, now):
    """Return what the compiled check says, after making sure that the plain evaluation says the same."""
    held = window_check(window)(normalise(RAW, now=now, host={}))
    assert held is inside(window, now)
    return held


@pytest.mark.parametrize(
    ("at", "held"),
    [
        ("2026-03-02T08:59:59Z", False),
        ("2026-03-02T09:00:00Z", True),
        ("2026-03-02T16:59:59.999Z", True),
        ("2026-03-02T17:00:00Z", False),
        ("2026-03-07T12:00:00Z", False),  # a Saturday
    ],
)
def test_a_change_window_is_open_on_its_days_between_its_times(at, held):
    assert holds(TimeWindow(days=("mon", "tue", "wed", "thu", "fri"), between=OFFICE), moment(at)) is held


@pytest.mark.parametrize(
    ("at", "held"),
    [
        ("2026-03-06T21:59:59Z", False),
        ("2026-03-06T22:00:00Z", True),  # Friday night
        ("2026-03-07T05:59:00Z", True),  # which goes on until Saturday morning
        ("2026-03-07T06:00:00Z", False),
        ("2026-03-07T22:00:00Z", False),
        ("2026-03-06T05:00:00Z", False),  # Thursday night
    ],
)
def test_a_window_that_wraps_midnight_belongs_to_the_day_it_begins_on(at, held):
    assert holds(TimeWindow(days=("fri",), between=NIGHT), moment(at)) is held


@pytest.mark.parametrize(
    ("at", "held"),
    [
        ("2026-01-05T07:59:00Z", False),
        ("2026-01-05T08:00:00Z", True),  # nine o'clock in winter
        ("2026-07-06T07:00:00Z", True),  # and in summer
        ("2026-07-06T15:00:00Z", False),
    ],
)
def test_a_zone_follows_its_daylight_saving(at, held):
    assert holds(TimeWindow(between=OFFICE, tz="Europe/Berlin"), moment(at)) is held


def test_days_are_those_of_the_zone():
    window = TimeWindow(days=("mon",), tz="Pacific/Auckland")

    assert holds(window, moment("2026-03-01T12:00:00Z")) is True  # one o'clock on Monday there
    assert holds(TimeWindow(days=("mon",)), moment("2026-03-01T12:00:00Z")) is False


def test_a_freeze_holds_from_after_until_before():
    freeze = TimeWindow(after=1_000, before=2_000.5)

    assert [holds(freeze, now) for now in (999.9, 1_000.0, 2_000.4, 2_000.5)] == [False, True, True, False]


@pytest.mark.parametrize("now", [float("nan"), float("inf"), 1e18, -1e18])
def test_a_time_that_is_no_moment_is_an_error_and_never_inside(now):
    assert holds(TimeWindow(between=NIGHT), now) is None
    assert holds(TimeWindow(after=0), now) is not True or now == 1e18


@pytest.mark.parametrize(
    "window",
    [
        TimeWindow(),
        TimeWindow(tz="Europe/Berlin"),
        TimeWindow(days=("monday",)),
        TimeWindow(between=(60, 60)),
        TimeWindow(between=(-1, 60)),
        TimeWindow(between=(60, 1441)),
        TimeWindow(between=(1440, 60)),
        TimeWindow(days=("mon",), tz="Europe/Nowhere"),
        TimeWindow(days=("mon",), tz="../../etc/passwd"),
        TimeWindow(days=("mon",), tz="America/Argentina"),
        TimeWindow(after=2, before=2),
        TimeWindow(after=1e300, before=1e300 + 1, days=("mon",)),
    ],
)
def test_a_window_no_builder_writes_is_refused(window):
    assert check_window(window)


@pytest.mark.parametrize(
    ("after", "before", "window", "opened"),
    [
        ("2026-03-06T00:00:00Z", "2026-03-07T00:00:00Z", TimeWindow(days=("mon",)), False),
        ("2026-03-06T00:00:00Z", "2026-03-09T00:00:01Z", TimeWindow(days=("mon",)), True),
        ("2026-03-07T00:00:00Z", "2026-03-07T06:00:00Z", TimeWindow(days=("fri",), between=NIGHT), True),
        ("2026-03-07T06:00:00Z", "2026-03-13T22:00:00Z", TimeWindow(days=("fri",), between=NIGHT), False),
        ("2026-03-02T17:00:00Z", "2026-03-03T09:00:00Z", TimeWindow(between=OFFICE), False),
        ("2026-03-02T17:00:00Z", "2026-03-03T09:00:01Z", TimeWindow(between=OFFICE), True),
        ("9999-12-31T12:00:00Z", "9999-12-31T13:00:00Z", TimeWindow(days=("mon",), tz="Pacific/Auckland"), False),
    ],
)
def test_a_window_opens_only_if_its_parts_meet(after, before, window, opened):
    parts = TimeWindow(moment(after), moment(before), window.days, window.between, window.tz)

    assert opens(parts) is opened


def test_a_window_is_described_as_it_is_written():
    window = TimeWindow(after=0, before=1_000, days=("mon",), between=(90, 1440), tz="Europe/Berlin")

    assert describe(window) == {
        "after": "1970-01-01T00:00:00Z",
        "before": "1970-01-01T00:16:40Z",
        "days": ["mon"],
        "between": ["01:30", "24:00"],
        "tz": "Europe/Berlin",
    }
