"""Rules nobody answers for, tags spelled in two ways, counts that are not shared."""

from collections.abc import Callable

import pytest

from builder.linting import LintResult

LintRules = Callable[..., LintResult]


def rule(match: str, name: str = "r") -> str:
    return f"  - {{id: {name}, match: {match}, decision: deny}}\n"


@pytest.mark.parametrize(
    ("rule", "wildcard"),
    [
        ("{id: r, decision: deny}", True),
        ("{id: r, decision: deny, match: {actions: ['*']}}", True),
        ("{id: r, decision: deny, unless: {subject: {roles: [sre]}}}", True),
        ("{id: r, decision: deny, match: {actions: ['*.read']}}", False),
        ("{id: r, decision: deny, match: {actions: ['*'], tenants: [acme]}}", False),
        ("{id: r, decision: deny, match: {not: {actions: ['*.read']}}}", False),
        ("{id: r, decision: deny, when: context.count > 3}", False),
    ],
)
def test_a_rule_about_everything_needs_an_owner(lint_rules: LintRules, rule: str, wildcard: bool) -> None:
    expected = ["W105"] if wildcard else []

    assert [warning.code for warning in lint_rules(f"  - {rule}").warnings] == expected
    assert lint_rules(f"  - {rule}", head="metadata: {owners: {security: team-security}}\n").warnings == ()


def test_two_spellings_of_a_risk_tag_name_both_places(lint_rules: LintRules) -> None:
    other = f"version: v1\nrules:\n{rule('{risk_tags: [prod]}')}"

    (warning,) = lint_rules(rule("{risk_tags: [Prod]}"), {"policies/b.yaml": other}).warnings

    assert (warning.where, warning.code) == ("policies/b.yaml:3:1", "W106")
    assert warning.message == "rule r spells the risk tag 'Prod' of a/r (policies/a.yaml:3) as 'prod'"


@pytest.mark.parametrize(
    "match", ["{risk_tags_any: [prod]}", "{not: {risk_tags: [prod]}}", "{not: {risk_tags_any: [x, prod]}}"]
)
def test_a_spelling_is_found_wherever_tags_are_asked_for(lint_rules: LintRules, match: str) -> None:
    result = lint_rules(rule("{risk_tags: [PROD]}", "a") + rule(match, "b"))

    assert [warning.code for warning in result.warnings] == ["W106"]


def test_a_rate_per_resource_is_shared_or_a_finding(lint_rules: LintRules) -> None:
    rule = "  - {{id: r, match: {{actions: [x]}}, rate: {{limit: 3, window: 1h, key: [{}]}}, decision: throttle}}"

    assert [w.code for w in lint_rules(rule.format("subject.id, resource.id")).warnings] == ["W117"]
    assert lint_rules(rule.format("subject.id")).warnings == ()
    assert lint_rules(rule.replace("}}, decision", ", scope: fleet}}, decision").format("resource.id")).warnings == ()
