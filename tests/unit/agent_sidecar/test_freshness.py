"""The words of freshness, at their borders."""

from dataclasses import replace

import pytest

from agent_sidecar.freshness import Freshness
from policy_core.errors import RemoteError

VERIFIED = Freshness(expires=1000.0, timestamp_expires=1000.0, signed_at=0.0)
FAILED = VERIFIED.failed(RemoteError("cut off", hint="wait"), 5.0)


@pytest.mark.parametrize(
    ("freshness", "now", "word"),
    [
        (VERIFIED, 0.0, "fresh"),
        (VERIFIED, 750.0, "fresh"),
        (VERIFIED, 750.1, "aging"),
        (VERIFIED, 999.9, "aging"),
        (VERIFIED, 1000.0, "stale"),
        (replace(VERIFIED, expires=500.0), 500.0, "stale"),
        (FAILED, 10.0, "unreachable"),
        (FAILED, 1000.0, "stale"),
        (Freshness(), 0.0, "stale"),
    ],
)
def test_the_word(freshness: Freshness, now: float, word: str) -> None:
    assert freshness.state(now) == word


def test_a_lasting_failure_keeps_its_beginning_and_an_answer_ends_it() -> None:
    again = FAILED.failed(RemoteError("refused"), 90.0)

    assert again.failure
    assert (again.failure.since, again.failure.message) == (5.0, "refused")
    assert again.answered(95.0).failure is None
