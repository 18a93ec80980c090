"""Sliding windows are exact, bounded, and fail where they cannot count."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy_core.memory import ForgottenError
from policy_core.model import Decision, Rate, Rule
from policy_core.rates import RateKeyError, SlidingWindows, check_rate, rate_key, read_rate
from policy_core.request import normalise
from policy_core.testing.memory import PlainMemory


def rule(limit=3, window_s=3600, key=("resource.id",), name="limit"):
    return Rule("p", name, Decision.THROTTLE, rate=Rate(limit, window_s, key))


def request(now=1_790_000_000.0, **properties):
    raw = {
        "subject": {"type": "agent", "id": "bot"},
        "action": {"name": "service.restart"},
        "resource": {"type": "service", "id": "web", "properties": properties},
    }
    return normalise(raw, now=now, host={})


def test_a_rate_is_reached_by_as_many_requests_as_its_limit_says():
    windows, found = SlidingWindows(), []

    for second in range(5):
        found.append(windows.retry_after(rule(), "k", 100.0 + second))
        windows.count(rule(), "k", 100.0 + second)

    assert found == [None, None, None, 3597.0, 3597.0]


def test_a_window_slides():
    windows = SlidingWindows()
    for second in (0.0, 10.0, 20.0):
        windows.count(rule(), "k", second)

    assert windows.retry_after(rule(), "k", 3599.9) == pytest.approx(0.1)
    assert windows.retry_after(rule(), "k", 3600.0) is None


def test_keys_and_rules_are_counted_apart():
    windows = SlidingWindows()
    windows.count(rule(1), "k", 0.0)

    assert windows.retry_after(rule(1), "k", 1.0) is not None
    assert windows.retry_after(rule(1), "other", 1.0) is None
    assert windows.retry_after(rule(1, name="other"), "k", 1.0) is None


def test_a_full_table_is_an_error_for_new_keys_only():
    windows = SlidingWindows(max_keys=2)
    for key in ("a", "b"):
        windows.count(rule(), key, 0.0)

    with pytest.raises(ForgottenError, match=r"the table is full \(2 keys, 2 requests\)"):
        windows.retry_after(rule(), "c", 1.0)
    assert windows.retry_after(rule(), "a", 1.0) is None


def test_a_table_full_of_times_counts_no_more():
    windows = SlidingWindows(max_counted=2)
    for second in (0.0, 1.0):
        windows.count(rule(), "a", second)

    with pytest.raises(ForgottenError, match="full"):
        windows.retry_after(rule(), "a", 2.0)


def test_a_full_table_makes_room_by_what_has_expired():
    windows = SlidingWindows(max_keys=2)
    for key in ("a", "b"):
        windows.count(rule(), key, 0.0)

    assert windows.retry_after(rule(), "c", 3600.0) is None
    assert list(windows.entries()) == []


def test_a_limit_lowered_by_a_swap_counts_the_newest():
    windows = SlidingWindows()
    for second in (0.0, 100.0, 200.0):
        windows.count(rule(3, 3600), "k", second)

    assert windows.retry_after(rule(1, 3600), "k", 300.0) == 3500.0
    assert windows.retry_after(rule(2, 150), "k", 200.0) == 50.0
    assert windows.retry_after(rule(4, 3600), "k", 300.0) is None


def test_no_more_times_are_kept_than_matter():
    windows = SlidingWindows()
    for second in range(10):
        windows.count(rule(3, 3600), "k", float(second))
        windows.count(rule(5, 2), "l", float(second))

    assert {key: times for _, key, _, times in windows.entries()} == {"k": [7.0, 8.0, 9.0], "l": [8.0, 9.0]}


@given(
    st.lists(st.tuples(st.floats(0, 50), st.sampled_from("ab"), st.booleans()), max_size=60),
    st.integers(1, 4),
    st.integers(1, 100),
)
def test_windows_equal_a_memory_that_keeps_everything(steps, limit, window_s):
    windows, plain, now = SlidingWindows(), PlainMemory(), 0.0

    for gap_s, key, counted in steps:
        now += gap_s
        assert windows.retry_after(rule(limit, window_s), key, now) == plain.retry_after(
            rule(limit, window_s), key, now
        )
        if counted:
            windows.count(rule(limit, window_s), key, now)
            plain.count(rule(limit, window_s), key, now, reached=False)


def test_a_key_is_the_values_at_its_paths():
    key = ("subject.id", "resource.properties.size", "resource.properties.hot")

    assert rate_key(rule(key=key).rate, request(size=3, hot=True)) == '["bot",3,true]'


def test_writing_a_number_differently_escapes_no_count():
    rate = rule(key=("resource.properties.size",)).rate

    assert rate_key(rate, request(size=3)) == rate_key(rate, request(size=3.0))


def test_values_that_look_alike_are_counted_apart():
    rate = rule(key=("resource.properties.size", "resource.properties.of")).rate
    pairs = [("a", "b,c"), ("a,b", "c"), (1, "1"), ("1", 1), (True, 1), (1, True)]

    assert len({rate_key(rate, request(size=size, of=of)) for size, of in pairs}) == len(pairs)


def test_a_long_key_is_a_digest():
    rate = rule(key=("resource.properties.size",)).rate

    assert rate_key(rate, request(size="x" * 100_000)).startswith("sha256:")


@pytest.mark.parametrize(("value", "why"), [(None, "absent"), ([], "wrong type"), ({"a": 1}, "wrong type")])
def test_a_key_that_is_no_fact_is_an_error(value, why):
    with pytest.raises(RateKeyError, match=f"resource.properties.size: {why}"):
        rate_key(rule(key=("resource.properties.size",)).rate, request(size=value))


@pytest.mark.parametrize("now", [float("nan"), float("inf"), -1.0, 1e18])
def test_a_moment_beyond_the_calendar_is_an_error(now):
    with pytest.raises(RateKeyError, match="no moment"):
        read_rate(rule(), request(now=now), PlainMemory())


@pytest.mark.parametrize(
    ("rate", "problem"),
    [
        (Rate(0, 60, ("resource.id",)), "rate.limit is 0"),
        (Rate(10_001, 60, ("resource.id",)), "rate.limit is 10001"),
        (Rate(1, 0, ("resource.id",)), "rate.window is 0 s"),
        (Rate(1, 7 * 86_400 + 1, ("resource.id",)), "rate.window is 604801 s"),
        (Rate(1, 60, ()), "what to count by"),
        (Rate(1, 60, ("resource.id", "resource.id")), "what to count by"),
        (Rate(1, 60, ("resource.name",)), "never in a request"),
    ],
)
def test_a_rate_that_cannot_be_counted_is_a_problem(rate, problem):
    assert problem in check_rate(rate)[0]
