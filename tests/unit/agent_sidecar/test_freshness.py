"""The words of freshness, at their borders."""

from dataclasses import replace

import pytest

from agent_sidecar.freshness import EXPIRING_S, Freshness, RoleTerm
from policy_core.errors import RemoteError

VERIFIED = Freshness(terms={"timestamp": RoleTerm(7, 1000.0), "prod": RoleTerm(2, 9e9)}, signed_at=0.0)
FAILED = VERIFIED.failed(RemoteError("cut off", hint="wait"), 5.0)


@pytest.mark.parametrize(
    ("freshness", "now", "word"),
    [
        (VERIFIED, 0.0, "fresh"),
        (VERIFIED, 750.0, "fresh"),
        (VERIFIED, 750.1, "aging"),
        (VERIFIED, 999.9, "aging"),
        (VERIFIED, 1000.0, "stale"),
        (replace(VERIFIED, aging_after_s=60.0), 60.0, "fresh"),
        (replace(VERIFIED, aging_after_s=60.0), 60.1, "aging"),
        (replace(VERIFIED, aging_after_s=9999.0), 999.9, "fresh"),
        (replace(VERIFIED, terms={**VERIFIED.terms, "prod": RoleTerm(2, 500.0)}), 500.0, "stale"),
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


@pytest.mark.parametrize(("now", "expected"), [(-1.0, set()), (0.0, {"prod"}), (EXPIRING_S + 1, {"prod"})])
def test_a_role_is_worth_an_alarm_a_month_before_it_expires(now: float, expected: set[str]) -> None:
    terms = {"prod": RoleTerm(1, EXPIRING_S), "root": RoleTerm(1, 9e9), "timestamp": RoleTerm(1, 60.0)}

    assert Freshness(terms=terms).expiring(now) == expected
