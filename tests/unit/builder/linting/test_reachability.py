"""Rules that can never hold are found, those that can are not."""

from collections.abc import Callable

import pytest

from builder.linting import LintResult

LintRules = Callable[..., LintResult]


def codes(result: LintResult) -> list[str]:
    assert result.problems == ()
    return [warning.code for warning in result.warnings]


@pytest.mark.parametrize(
    ("clauses", "why"),
    [
        ("match: {actions: [a.x], not: {actions: ['a.*']}}", "match.not excludes whatever match.actions takes"),
        ("match: {risk_tags: [p, q], not: {risk_tags: [p]}}", "match.not excludes whatever match.risk_tags takes"),
        ("match: {actions: [x], risk_tags: [p]}, unless: {risk_tags: [p]}", "unless holds wherever match does"),
        ("match: {actions: [x]}, unless: {actions: ['*']}", "unless holds wherever match does"),
        ("match: {attributes: {context.n: {gt: 5, lt: 5}}}", "no value of context.n passes all its tests"),
        ("match: {attributes: {context.n: {ge: 6, le: 5}}}", "no value of context.n passes all its tests"),
        ("match: {attributes: {context.n: {ge: 5, gt: 5, le: 5}}}", "no value of context.n passes all its tests"),
        ("match: {attributes: {context.n: {in: [1, 2], gt: 2}}}", "no value of context.n passes all its tests"),
        ("match: {attributes: {context.n: {eq: a, ne: a}}}", "no value of context.n passes all its tests"),
        ("match: {attributes: {context.n: {eq: a, not_in: [a, b]}}}", "no value of context.n passes all its tests"),
        ("match: {attributes: {context.n: {glob: 'a*', lt: 5}}}", "no value of context.n passes all its tests"),
        ("match: {attributes: {context.n: {ne: a, lt: 5}}}", "no value of context.n passes all its tests"),
        ("match: {attributes: {subject.id: {exists: false}}}", "no value of subject.id passes all its tests"),
        ("match: {actions: [x]}, when: context.n == 1 && 1 > 2", "when is false for every request"),
        ("match: {actions: [x]}, when: data.s.off == true", "when is false for every request"),
        ("match: {actions: [x]}, when: 'data.s.list.exists(i, i > 5)'", "when is false for every request"),
    ],
)
def test_clauses_that_contradict_each_other(lint_rules: LintRules, clauses: str, why: str) -> None:
    data = {"data/s.yaml": "off: false\nlist: [1, 2]\n"} if "data." in clauses else {}

    result = lint_rules(f"  - {{id: r, {clauses}, decision: allow}}", data)

    assert result.problems == ()
    assert [w.message for w in result.warnings if w.code == "W102"] == [f"rule r can never hold: {why}"]


@pytest.mark.parametrize(
    "clauses",
    [
        "match: {actions: ['a.*'], not: {actions: [a.x]}}",
        "match: {risk_tags: [p], not: {risk_tags: [p, q]}}",
        "match: {risk_tags_any: [p, q], not: {risk_tags_any: [p]}}",
        "match: {actions: [x], risk_tags: [p]}, unless: {risk_tags: [p], requires: [q]}",
        "match: {actions: [x]}, unless: {not: {actions: [x]}}",
        "match: {attributes: {context.n: {ge: 5, le: 5}}}",
        "match: {attributes: {context.n: {gt: 5, lt: 6}}}",
        "match: {attributes: {context.n: {in: [1, 2], gt: 1}}}",
        "match: {attributes: {context.n: {not_in: [a, 1], lt: 5}}}",
        "match: {attributes: {context.n: {exists: false}}}",
        "match: {attributes: {context.n: {glob: 'a*', prefix: b}}}",
        "match: {actions: [x]}, when: 2 > 1",
        "match: {actions: [x]}, when: context.n == 1 || 1 > 2",
    ],
)
def test_clauses_that_may_hold_together(lint_rules: LintRules, clauses: str) -> None:
    assert codes(lint_rules(f"  - {{id: r, {clauses}, decision: allow}}")) == []


@pytest.mark.parametrize(
    ("before", "expected"),
    [("2026-06-01T00:00:00Z", ["W104"]), ("2026-06-01T00:00:01Z", []), ("2026-06-02T00:00:00Z", [])],
)
def test_a_window_is_past_once_its_last_day_is(lint_rules: LintRules, before: str, expected: list[str]) -> None:
    rule = f"  - {{id: r, match: {{actions: [x], time: {{before: '{before}'}}}}, decision: deny}}"

    assert codes(lint_rules(rule)) == expected
