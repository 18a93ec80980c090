"""Rates of one host answer like a memory that keeps every request, over restarts; what is lost is an error."""

import os
import threading
from pathlib import Path
from typing import Any

import pytest
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_sidecar import journal as journals
from agent_sidecar.counting import HostRates
from agent_sidecar.host_clock import HostClock
from policy_core.memory import ForgottenError
from policy_core.model import Decision, Rate, Rule
from policy_core.testing.memory import PlainMemory

START = 1_790_000_000.0


def throttle(limit: int = 2, window_s: int = 60, name: str = "t") -> Rule:
    return Rule("p", name, Decision.THROTTLE, rate=Rate(limit, window_s, ("resource.id",)))


class Clock:
    """What the machine says the time is."""

    def __init__(self, now: float = START) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def new_rates(folder: Path, now: float = START) -> HostRates:
    return HostRates(folder, HostClock(clock=Clock(now)))


def spend_all(rates: HostRates, rule: Rule, now: float = START) -> None:
    assert rule.rate
    for _ in range(rule.rate.limit):
        assert rates.count(rule, "k", now, reached=False)


RULES = [throttle(1, 5, "a"), throttle(2, 10, "b"), throttle(3, 7, "c")]
STEPS = st.lists(
    st.tuples(st.sampled_from(["ask", "ask", "ask", "restart", "tend"]), st.sampled_from(RULES),
              st.sampled_from("xy"), st.integers(0, 4), st.booleans()),
    max_size=60,
)  # fmt: skip


@settings(max_examples=examples(100, nightly=5_000), deadline=None)
@given(steps=STEPS)
def test_it_answers_like_a_plain_memory_over_restarts(tmp_path_factory: pytest.TempPathFactory, steps: Any) -> None:
    folder = tmp_path_factory.mktemp("rates")
    ours, plain, now = new_rates(folder), PlainMemory(), START

    for step, rule, key, later, narrows in steps:
        now += later
        if step == "restart":
            ours = new_rates(folder, now)
        elif step == "tend":
            ours.tend()
        else:
            wait = plain.retry_after(rule, key, now)
            assert ours.retry_after(rule, key, now) == wait
            if wait is None or narrows:
                plain.count(rule, key, now, reached=wait is not None)
                assert ours.count(rule, key, now, reached=wait is not None)
            else:
                assert not ours.count(rule, key, now, reached=False)


def test_folding_changes_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journals, "SEGMENT_BYTES", 100)
    ours, plain, rule = new_rates(tmp_path), PlainMemory(), throttle(3, 50)

    for number in range(200):
        key, now = str(number % 7), START + number
        wait = plain.retry_after(rule, key, now)
        assert ours.retry_after(rule, key, now) == wait
        if wait is None:
            plain.count(rule, key, now, reached=False)
            ours.count(rule, key, now, reached=False)
        ours.tend()

    again = new_rates(tmp_path, START + 200)
    for key in "0123456":
        assert again.retry_after(rule, key, START + 200) == plain.retry_after(rule, key, START + 200)


def test_a_clock_set_back_before_a_restart_empties_no_window(tmp_path: Path) -> None:
    rule = throttle()
    spend_all(new_rates(tmp_path), rule)
    clock = HostClock(clock=Clock(START - 86_400))

    again = HostRates(tmp_path, clock)

    assert clock() == START
    assert again.retry_after(rule, "k", clock()) == 60


def test_a_request_that_waited_in_a_thread_counts_as_of_now(tmp_path: Path) -> None:
    rates, rule = new_rates(tmp_path), throttle(2, 60)
    rates.count(rule, "k", START + 30, reached=False)

    rates.count(rule, "k", START, reached=False)

    assert rates.retry_after(rule, "k", START + 61) == 29


def test_of_many_threads_just_as_many_are_counted_as_the_limit_says(tmp_path: Path) -> None:
    rates, rule = new_rates(tmp_path), throttle(10)
    counted: list[bool] = []

    def ask() -> None:
        counted.extend(rates.count(rule, "k", START, reached=False) for _ in range(20))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (counted.count(True), counted.count(False)) == (10, 70)


def test_a_damaged_journal_is_an_error_for_as_long_as_what_was_lost_may_matter(tmp_path: Path) -> None:
    short, long = throttle(window_s=60), throttle(window_s=3600, name="long")
    spend_all(new_rates(tmp_path), short)
    (path,) = tmp_path.glob("rates.*.log")
    path.write_bytes(b"?" + path.read_bytes()[1:])

    for rates in (new_rates(tmp_path, START + 1), new_rates(tmp_path, START + 2)):
        with pytest.raises(ForgottenError, match="is lost, and may matter still"):
            rates.retry_after(short, "k", START + 60)
        assert rates.retry_after(short, "k", START + 61) is None
        with pytest.raises(ForgottenError):
            rates.retry_after(long, "k", START + 61)
        assert rates.retry_after(long, "k", START + 3601) is None


def test_a_full_disk_is_an_error_and_counts_again_once_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates, rule = new_rates(tmp_path), throttle(1)

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(ForgottenError, match="No space left"):
            rates.count(rule, "k", START, reached=False)

    assert rates.count(rule, "k", START, reached=False)
    assert new_rates(tmp_path).retry_after(rule, "k", START) == 60


def test_a_full_table_is_an_error_and_not_a_free_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rates, rule = new_rates(tmp_path), throttle()
    monkeypatch.setattr(rates._windows, "_max_keys", 2)
    for key in "ab":
        rates.count(rule, key, START, reached=False)

    with pytest.raises(ForgottenError, match="the table is full"):
        rates.retry_after(rule, "c", START)

    assert rates.retry_after(rule, "a", START) is None
    assert rates.retry_after(rule, "c", START + 61) is None
