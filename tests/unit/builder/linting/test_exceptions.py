"""Exceptions that end, and those that another one includes."""

from collections.abc import Callable, Mapping

import pytest

from builder.linting import LintResult

Lint = Callable[[Mapping[str, str]], LintResult]
POLICY = """\
version: v1
rules:
  - {id: freeze, match: {actions: [deploy]}, decision: deny}
  - {id: slow, match: {actions: [scale]}, decision: throttle}
"""


def exception(
    name: str,
    *,
    rules: str = "a/freeze",
    match: str = "{tenants: [x]}",
    created: str = "2026-05-01",
    expires: str = "2026-07-01",
) -> str:
    return (
        f"version: v1\nid: {name}\nrules: [{rules}]\nscope: {{match: {match}}}\ncategory: waiver\njustification: why\n"
        f"requested_by: ana\napproved_by: [bo]\nticket: T-1\ncreated: {created}\nexpires: {expires}\n"
    )  # fmt: skip


def found(lint: Lint, **exceptions: str) -> list[tuple[str, str]]:
    """Return code and place of each finding; exceptions are named by their files."""
    result = lint({"policies/a.yaml": POLICY, **{f"exceptions/{name}.yaml": text for name, text in exceptions.items()}})
    assert result.problems == ()
    return [(warning.code, warning.where) for warning in result.warnings]


@pytest.mark.parametrize(
    ("expires", "code"),
    [
        ("2026-05-31", "W114"),
        ("2026-06-01T00:00:00Z", "W114"),
        ("2026-06-01", "W115"),
        ("2026-06-01T00:00:01Z", "W115"),
        ("2026-06-08", "W115"),
        ("2026-06-09", ""),
    ],
)
def test_the_last_day_counts_in_full(lint: Lint, expires: str, code: str) -> None:
    expected = [(code, "exceptions/e.yaml:11:10")] if code else []

    assert found(lint, e=exception("e", expires=expires)) == expected


@pytest.mark.parametrize(
    ("narrow", "wide"),
    [
        ({}, {}),
        ({"expires": "2026-06-20"}, {}),
        ({"created": "2026-05-02"}, {}),
        ({"rules": "a/freeze"}, {"rules": "a/freeze, a/slow"}),
        ({"match": "{tenants: [x], actions: [deploy]}"}, {"match": "{tenants: [x, y]}"}),
        ({"match": "{resource: {ids: [web-1]}}"}, {"match": "{resource: {ids: ['web-*']}}"}),
    ],
)
def test_an_exception_within_another_is_shadowed(lint: Lint, narrow: dict[str, str], wide: dict[str, str]) -> None:
    assert found(lint, a=exception("wide", **wide), b=exception("narrow", **narrow)) == [
        ("W116", "exceptions/b.yaml:2:5")
    ]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"expires": "2026-06-20", "match": "{tenants: [x, y]}"}, {}),
        ({"created": "2026-05-02", "rules": "a/freeze, a/slow"}, {}),
        ({"rules": "a/slow"}, {"rules": "a/freeze"}),
        ({"match": "{tenants: [x]}"}, {"match": "{tenants: [y]}"}),
        ({"match": "{tenants: [x], actions: [deploy]}"}, {"match": "{tenants: [x], capabilities: [c]}"}),
    ],
)
def test_exceptions_that_each_add_something_are_left_alone(
    lint: Lint, one: dict[str, str], other: dict[str, str]
) -> None:
    assert found(lint, a=exception("one", **one), b=exception("other", **other)) == []


def test_a_deny_that_an_exception_switches_off_covers_nothing(lint: Lint) -> None:
    files = {
        "policies/a.yaml": POLICY + "  - {id: ci, match: {actions: [deploy], tenants: [x]}, decision: allow}\n",
        "exceptions/e.yaml": exception("e"),
    }

    assert lint(files).warnings == ()
    del files["exceptions/e.yaml"]
    assert [warning.code for warning in lint(files).warnings] == ["W103"]
