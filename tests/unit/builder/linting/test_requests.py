"""Requests of policy tests that say what no schema declares."""

from collections.abc import Callable

import pytest

from builder.linting import LintResult

LintRules = Callable[..., LintResult]
SCHEMAS = {
    "schemas/subjects/user.yaml": "properties: {team: {enum: [sre, dev]}, address: {properties: {city: {}}}}\n",
    "schemas/context.yaml": "properties: {env: {type: string}}\n",
}
RULES = "  - {id: r, match: {actions: [x]}, decision: deny}\n"


def warnings(lint_rules: LintRules, request: str, expect: str = "decision: deny") -> list[str]:
    suite = f"version: v1\ncases:\n  - {{name: a, request: {{{request}}}, expect: {{{expect}}}}}\n"
    result = lint_rules(RULES, {**SCHEMAS, "tests/a.yaml": suite})
    assert result.problems == ()
    return [f"{w.where}: {w.message}" for w in result.warnings if w.code == "W121"]


def request(properties: str = "", context: str = "", kind: str = "user") -> str:
    return (
        f"subject: {{type: {kind}, id: u, properties: {{{properties}}}}}, action: {{name: x}}, "
        f"resource: {{type: r, id: r, properties: {{any: 1}}}}, context: {{{context}}}"
    )


@pytest.mark.parametrize(
    "said",
    [
        request("team: sre, roles: [a], address: {city: x}", "env: prod, tenant: t, labels: {a: b}, risk_tags: [x]"),
        request("wheels: 4", kind="robot"),
        request(),
        "job: {topic: x, actor_type: user, actor_id: u, priority: 3}",
    ],
)
def test_what_is_declared_may_be_said(lint_rules: LintRules, said: str) -> None:
    assert warnings(lint_rules, said) == []


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (request("taem: sre"), "no schema declares subject.properties.taem (subject user)"),
        (request("address: {town: x}"), "no schema declares subject.properties.address.town (subject user)"),
        (request("team: ops"), "subject.properties.team is never the text 'ops', by its schema"),
        (request("", "env: 3"), "context.env is declared as text, never 3"),
    ],
)
def test_what_is_not_declared_is_named(lint_rules: LintRules, said: str, message: str) -> None:
    assert warnings(lint_rules, said) == [f"tests/a.yaml:3:1: request of 'a': {message}"]


def test_a_test_of_an_error_says_the_wrong_thing_on_purpose(lint_rules: LintRules) -> None:
    assert warnings(lint_rules, request("", "env: 3"), "decision: deny, reason_code: evaluation_error") == []
