from typing import Any

import pytest

from agent_sidecar.retrying import MAX_DELAY_S, Retrying
from policy_core.errors import RemoteError


def failing(message: str = "no") -> Any:
    def work() -> bool:
        raise RemoteError(message)

    return work


def test_it_backs_off_and_never_gives_up() -> None:
    retrying, now, delays = Retrying("x"), 0.0, []
    for _ in range(100):
        assert not retrying.attempt(failing(), now)
        delays.append(retrying.not_before - now)
        now = retrying.not_before

    assert 0.75 <= delays[0] <= 1.25
    assert max(delays) <= MAX_DELAY_S * 1.25
    assert min(delays[20:]) >= MAX_DELAY_S * 0.75
    assert retrying.failures == 100


def test_nothing_is_tried_before_its_time() -> None:
    retrying = Retrying("x")
    retrying.attempt(failing(), 0.0)

    assert not retrying.attempt(lambda: True, 0.5)
    assert retrying.attempt(lambda: True, 2.0)
    assert (retrying.problem, retrying.not_before) == ("", 0.0)


def test_a_problem_is_logged_when_it_begins_changes_and_ends(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="agent_sidecar")
    retrying = Retrying("x")
    for moment, message in ((0.0, "a"), (200.0, "a"), (400.0, "b")):
        retrying.attempt(failing(message), moment)
    retrying.attempt(lambda: True, 600.0)

    assert [record.getMessage() for record in caplog.records] == ["x_failed", "x_failed", "x_resumed"]


def test_a_bug_is_logged_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    retrying = Retrying("x")

    assert not retrying.attempt(lambda: bool(1 / 0), 0.0)

    assert retrying.problem == "ZeroDivisionError: division by zero"
    assert caplog.records[0].exc_info
