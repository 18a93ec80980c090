"""Exceptions: what they compile to, and every refusal with its place."""

import datetime

import pytest

from builder.language.exceptions import ExceptionDocument, read_exception
from builder.language.nodes import Report
from policy_core.errors import Problem
from policy_core.model import Clauses, EntityClauses, PolicyException

TODAY = datetime.date(2026, 11, 21)
NOVEMBER, DECEMBER, DAY = 1_793_491_200, 1_796_083_200, 86_400
GOOD = """\
version: v1
id: migration
rules: [agents/restart-limit, agents/freeze]
scope: {match: {resource: {ids: [db-1]}}}
category: mitigated
justification: >
  The ledger moves
  to another cluster
compensating_controls: [Two people watch, A copy exists]
requested_by: ana
approved_by: [bo, cy]
ticket: CHG-4711
created: 2026-11-01
expires: 2026-11-30
"""


def read(text: str, *, today: datetime.date | None = TODAY) -> tuple[ExceptionDocument | None, list[Problem]]:
    report = Report("exceptions/a.yaml")
    return read_exception(text.encode(), report, today=today), sorted(report.problems)


def test_every_field_is_kept() -> None:
    document, problems = read(GOOD)

    assert problems == []
    assert document == ExceptionDocument(
        file="exceptions/a.yaml",
        exception=PolicyException(
            id="migration",
            rules=("agents/restart-limit", "agents/freeze"),
            scope=Clauses(resource=EntityClauses(ids=("db-1",))),
            starts=NOVEMBER,
            expires=DECEMBER,
        ),
        category="mitigated",
        justification="The ledger moves to another cluster\n",
        compensating_controls=("Two people watch", "A copy exists"),
        requested_by="ana",
        approved_by=("bo", "cy"),
        ticket="CHG-4711",
    )


def test_days_count_from_the_first_to_the_last() -> None:
    document, _ = read(GOOD)

    assert document is not None
    assert document.days == 29


@pytest.mark.parametrize(
    ("created", "expires", "starts", "ends"),
    [
        ("2026-11-01", "2026-11-01", NOVEMBER, NOVEMBER + DAY),
        ("2026-11-01T06:00:00Z", "2026-11-01T07:30:00+01:00", NOVEMBER + 21_600, NOVEMBER + 23_400),
        ("2026-11-01T00:00:00.9Z", "2026-11-02", NOVEMBER, NOVEMBER + 2 * DAY),
    ],
)
def test_dates_are_whole_utc_days_and_times_are_exact(created: str, expires: str, starts: int, ends: int) -> None:
    document, problems = read(GOOD.replace("2026-11-01", created).replace("2026-11-30", expires))

    assert problems == []
    assert document is not None
    assert (document.exception.starts, document.exception.expires) == (starts, ends)


def test_only_compensating_controls_may_be_left_out() -> None:
    for line in GOOD.splitlines():
        key = line.partition(":")[0]
        if line.startswith(" ") or key == "compensating_controls":
            continue
        kept = [other for other in GOOD.splitlines() if not other.startswith(f"{key}:")]
        if key == "justification":
            kept = [other for other in kept if not other.startswith("  ")]
        _, problems = read("\n".join(kept) + "\n")

        assert [problem.message for problem in problems] == [f"exception has no {key}"]
    assert read(GOOD.replace("compensating_controls: [Two people watch, A copy exists]\n", ""))[1] == []


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("id: migration", "id: 'a b'", ["2:5 id 'a b' is not valid"]),
        ("[agents/restart-limit, agents/freeze]", "agents/freeze",
         ["3:8 rules: expected a list, found the text 'agents/freeze'"]),
        ("{match: {resource: {ids: [db-1]}}}", "{match: {}}", ["4:16 scope.match is empty"]),
        ("{match: {resource: {ids: [db-1]}}}", "{unless: {actions: [a]}}",
         ["4:8 scope has no match", "4:9 unknown key 'unless' in scope"]),
        ("{match: {resource: {ids: [db-1]}}}", "{match: {risk_tags: []}}",
         ["4:16 scope.match has no clause, so the exception would be for everything"]),
        ("mitigated", "waver", ["5:11 unknown category 'waver'"]),
        ("[Two people watch, A copy exists]", "[]", ["9:24 compensating_controls is an empty list"]),
        ("[bo, cy]", "[]", ["11:14 approved_by is an empty list"]),
        ("[bo, cy]", "[bo, ana]", ["11:19 ana cannot approve an exception of their own"]),
        ("[bo, cy]", "[bo, ANA]", ["11:19 ana cannot approve an exception of their own"]),
        ("[bo, cy]", "bo", ["11:14 approved_by: expected a list, found the text 'bo'"]),
        ("ticket: CHG-4711", "tickets: CHG-4711",
         ["1:1 exception has no ticket", "12:1 unknown key 'tickets' in exception"]),
        ("2026-11-01", "soon", ["13:10 created: expected a date or a time, found the text 'soon'"]),
        ("2026-11-01", "2026-11-22", ["13:10 created lies in the future (today is 2026-11-21)"]),
        ("2026-11-30", "2026-02-30", ["14:10 expires: expected a date or a time, found the text '2026-02-30'"]),
        ("2026-11-30", "2026-10-31", ["14:10 expires is not after created"]),
        ("version: v1", "version: v2", ["1:10 version: expected v1, found the text 'v2'"]),
    ],
)  # fmt: skip
def test_every_refusal_has_its_place(old: str, new: str, expected: list[str]) -> None:
    document, problems = read(GOOD.replace(old, new, 1))

    assert document is None
    assert [f"{problem.line}:{problem.column} {problem.message}" for problem in problems] == expected


def test_without_a_day_no_date_is_judged() -> None:
    assert read(GOOD.replace("2026-11-01", "2026-11-22"), today=None)[1] == []
