"""Memories that are read and not written."""

from collections.abc import Mapping

import pytest

from policy_core.decision import Ask, RefusedGrant
from policy_core.grants import NO_GRANTS, Verdict
from policy_core.memory import Looking
from policy_core.model import Approver, Rule
from policy_core.request import Request


class Full:
    """Has seen everything, and must not be told more."""

    audience = "host-1"

    def retry_after(self, rule: Rule, key: str, now: float) -> float | None:
        return 7.0

    def count(self, rule: Rule, key: str, now: float, *, reached: bool) -> bool:
        raise AssertionError("counted")

    def check(self, ask: Ask, request: Request, approvers: Mapping[str, Approver]) -> Verdict:
        return VERDICT

    def spend(self, verdict: Verdict, now: float) -> tuple[RefusedGrant, ...]:
        raise AssertionError("spent")


VERDICT = Verdict((), (), ())


@pytest.fixture
def looking() -> Looking:
    return Looking(Full())


def test_who_looks_sees_what_is_remembered(looking: Looking) -> None:
    rule, ask, request = object(), object(), object()

    assert looking.audience == "host-1"
    assert looking.retry_after(rule, "k", 0.0) == 7.0  # type: ignore[arg-type]
    assert looking.check(ask, request, {}) is VERDICT  # type: ignore[arg-type]


def test_who_looks_counts_and_spends_nothing(looking: Looking) -> None:
    assert looking.count(object(), "k", 0.0, reached=True) is True  # type: ignore[arg-type]
    assert looking.spend(NO_GRANTS, 0.0) == ()
