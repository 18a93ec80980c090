"""What a policy says about itself: dates that pass, and those that soon will."""

import datetime

import pytest

from builder.language.documents import read_document
from builder.language.nodes import Report

TODAY = datetime.date(2026, 6, 1)


def read(metadata: str, *, today: datetime.date | None = TODAY) -> Report:
    report = Report("policies/a.yaml")
    text = f"version: v1\nmetadata: {metadata}\nrules: [{{id: r, match: {{actions: [x]}}, decision: deny}}]\n"
    read_document(text.encode(), report, today=today)
    return report


@pytest.mark.parametrize(
    ("expires", "found"),
    [
        ("2026-07-02", ""),
        ("2026-07-01", "policy expires on 2026-07-01, in 30 days: after that nothing can be published"),
        ("2026-06-02", "policy expires on 2026-06-02, in 1 day: after that nothing can be published"),
        ("2026-06-01", "policy expires on 2026-06-01, in 0 days: after that nothing can be published"),
    ],
)
def test_a_policy_that_soon_expires_is_a_warning(expires: str, found: str) -> None:
    report = read(f"{{expires: {expires}}}")

    assert report.problems == []
    assert [(w.code, w.line, w.column, w.message) for w in report.warnings] == (
        [("W110", 2, 21, found)] if found else []
    )


def test_a_policy_that_has_expired_is_a_problem_and_no_warning() -> None:
    report = read("{expires: 2026-05-31}")

    assert [(p.code, p.message) for p in report.problems] == [("E107", "policy expired on 2026-05-31")]
    assert report.warnings == []


def test_without_a_day_no_date_is_judged() -> None:
    report = read("{expires: 2020-01-01, review: {cycle_days: 1, last_reviewed: 2020-01-01}}", today=None)

    assert (report.problems, report.warnings) == ([], [])
