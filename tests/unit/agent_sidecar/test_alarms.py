"""Alarms are logged once, when they begin."""

import logging

import pytest

from agent_sidecar.alarms import Alarms
from agent_sidecar.freshness import EXPIRING_S, Freshness, RoleTerm

DAY = 86_400.0
POLICY = Freshness(
    terms={"timestamp": RoleTerm(1, DAY), "prod": RoleTerm(1, EXPIRING_S + 2 * DAY), "root": RoleTerm(1, 365 * DAY)},
    signed_at=0.0,
)


def logged(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    """Return the events since the last call, each with what it is about."""
    found = [
        (record.message, record.fields.get("state") or record.fields["role"])  # type: ignore[attr-defined]
        for record in caplog.records
    ]
    caplog.clear()
    return found


@pytest.fixture
def alarms(caplog: pytest.LogCaptureFixture) -> Alarms:
    caplog.set_level(logging.INFO)
    return Alarms()


def test_each_change_of_state_is_logged_once(alarms: Alarms, caplog: pytest.LogCaptureFixture) -> None:
    for now in (0.0, 0.1 * DAY, 0.8 * DAY, 0.9 * DAY, DAY, 1.1 * DAY, 0.0):
        alarms.watch(POLICY, now)

    assert logged(caplog) == [("freshness", "aging"), ("freshness", "stale"), ("freshness", "fresh")]


def test_a_role_that_must_be_signed_anew_is_logged_once_and_again_after_it_was(
    alarms: Alarms, caplog: pytest.LogCaptureFixture
) -> None:
    due = Freshness(terms={**POLICY.terms, "timestamp": RoleTerm(9, 99 * DAY)}, signed_at=0.0)
    renewed = Freshness(terms={**due.terms, "prod": RoleTerm(2, 99 * DAY)}, signed_at=0.0)

    for freshness, now in ((due, DAY), (due, 2 * DAY), (due, 3 * DAY), (renewed, 3 * DAY), (renewed, 70 * DAY)):
        alarms.watch(freshness, now)

    assert logged(caplog) == [("metadata_expiring", "prod"), ("metadata_expiring", "prod")]


def test_before_the_first_policy_it_says_that_there_is_none(alarms: Alarms, caplog: pytest.LogCaptureFixture) -> None:
    alarms.watch(Freshness(), 0.0)

    assert logged(caplog) == [("freshness", "stale")]
