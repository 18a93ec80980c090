"""Restrictions that a caller escapes by its own words are found; those that hold anyway are left in peace."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.linting import LintResult
from builder.linting.claims import _Grants
from policy_core.glob import match_glob
from policy_core.model import Clauses, Decision, Rule

LintRules = Callable[..., LintResult]
GRANT = "  - {id: reads, match: {actions: ['*.read']}, decision: allow}\n"


def messages(result: LintResult) -> list[str]:
    assert result.problems == ()
    return [warning.message for warning in result.warnings if warning.code == "W118"]


def restriction(clauses: str, decision: str = "deny") -> str:
    constraints = ", constraints: {max_targets: 1}" if decision == "constrain" else ""
    return f"  - {{id: r, {clauses}, decision: {decision}{constraints}}}\n"


@pytest.mark.parametrize("decision", ["deny", "require_approval", "throttle", "constrain"])
def test_a_restriction_on_a_tag_that_only_callers_give_is_found(lint_rules: LintRules, decision: str) -> None:
    found = messages(lint_rules(GRANT + restriction("match: {actions: [db.read], risk_tags: [pii]}", decision)))

    escape = "a caller that leaves out the risk tag 'pii' may be granted it by a/reads (policies/a.yaml:3)"
    assert found == [f"rule r rests on a claim: {escape}"]


@pytest.mark.parametrize(
    ("clauses", "claim"),
    [
        ("match: {risk_tags_any: [pii, secret]}", "the risk tags 'pii', 'secret'"),
        ("match: {risk_tags: [pii, secret]}", "the risk tag 'pii' or the risk tag 'secret'"),
        ("match: {labels: {env: prod}}", "the label 'env'"),
        ("match: {attributes: {context.env: {exists: true, eq: prod}}}", "the fact 'context.env'"),
        ("match: {attributes: {context.env: {eq: prod}}}, on_missing: skip", "the fact 'context.env'"),
        ("match: {actions: ['*.read']}, when: has(context.env) && context.env == 'prod'", "the fact 'context.env'"),
        ("match: {actions: ['*.read']}, when: \"'pii' in context.risk_tags\"", "the risk tag 'pii'"),
    ],
)
def test_every_way_to_rest_on_a_claim_that_can_be_left_out(lint_rules: LintRules, clauses: str, claim: str) -> None:
    (found,) = messages(lint_rules(GRANT + restriction(clauses)))

    assert f"a caller that leaves out {claim} may be granted it" in found


@pytest.mark.parametrize(
    "clauses",
    [
        "match: {actions: ['*.read'], not: {risk_tags: [approved]}}",
        "match: {actions: ['*.read']}, unless: {risk_tags: [approved]}",
        "match: {actions: ['*.read']}, unless: {labels: {ticket: '*'}}",
    ],
)
def test_a_claim_that_is_a_way_out_is_found(lint_rules: LintRules, clauses: str) -> None:
    (found,) = messages(lint_rules(GRANT + restriction(clauses)))

    assert "a caller that adds the " in found


@pytest.mark.parametrize(
    "clauses",
    [
        "match: {attributes: {context.env: {eq: prod}}}",  # where it is missing the restriction applies
        "match: {attributes: {resource.properties.env: {exists: true}}}",
        "match: {actions: ['*.read'], subject: {roles: [guest]}}",
        "match: {actions: ['*.read']}, unless: {risk_tags: [approved], subject: {roles: [sre]}}",
        "match: {actions: ['*.read']}, when: context.env == 'prod'",
        "match: {actions: ['*.read']}, when: has(resource.properties.env) && resource.properties.env == 'prod'",
        "match: {tenants: [acme]}",
    ],
)
def test_what_a_caller_gains_nothing_by_is_left_in_peace(lint_rules: LintRules, clauses: str) -> None:
    assert messages(lint_rules(GRANT + restriction(clauses))) == []


@pytest.mark.parametrize(
    "grants",
    [
        "",
        "  - {id: g, match: {actions: [db.read], risk_tags: [pii]}, decision: allow}\n",
        "  - {id: g, match: {actions: [db.read], risk_tags_any: [pii]}, decision: allow}\n",
        "  - {id: g, match: {actions: [db.write]}, decision: allow}\n",
        "  - {id: g, match: {actions: ['db.read.*']}, decision: allow}\n",
        "  - {id: g, match: {actions: ['*.write', 'ab.*']}, decision: allow}\n",
        "  - {id: g, match: {actions: [db.read]}, decision: require_approval}\n",
    ],
)
def test_where_nothing_is_granted_without_the_claim_it_is_no_finding(lint_rules: LintRules, grants: str) -> None:
    assert messages(lint_rules(grants + restriction("match: {actions: [db.read], risk_tags: [pii]}"))) == []


@pytest.mark.parametrize("action", ["db.read", "*", "db.*", "d?.read", "*.read", "d*d"])
def test_a_grant_about_the_same_requests_is_found_however_it_is_written(lint_rules: LintRules, action: str) -> None:
    grant = f"  - {{id: g, match: {{actions: [x, '{action}'], subject: {{roles: [a]}}}}, decision: allow}}\n"

    assert len(messages(lint_rules(grant + restriction("match: {actions: [db.read], risk_tags: [pii]}")))) == 1
    assert len(messages(lint_rules(grant + restriction("match: {actions: ['db.rea*'], risk_tags: [pii]}")))) == 1


@pytest.mark.parametrize("action", ["db.read", "*.read"])
def test_of_several_grants_the_one_that_names_the_action_is_told(lint_rules: LintRules, action: str) -> None:
    sweeping = "  - {id: any, match: {subject: {roles: [a]}}, decision: allow}\n"
    naming = f"  - {{id: named, match: {{actions: ['{action}'], subject: {{roles: [a]}}}}, decision: allow}}\n"
    restricting = restriction(f"match: {{actions: ['{action}'], risk_tags: [pii]}}")

    (found,) = messages(lint_rules(sweeping + naming + restricting))

    assert "granted it by a/named" in found


def test_grants_that_run_dry_grant_nothing(lint_rules: LintRules) -> None:
    dry = f"version: v1\nmode: dry_run\nrules:\n{GRANT}"

    assert messages(lint_rules(restriction("match: {risk_tags: [pii]}"), {"policies/b.yaml": dry})) == []


@pytest.mark.parametrize(
    ("entry", "firm"),
    [
        ("match: {actions: ['db.*']}, risk_tags: [pii]", True),
        ("match: {actions: ['db.*']}, risk_tags: [secret]", False),
        ("match: {actions: ['db.*']}, require_facts: [context.labels.env]", False),
    ],
)
def test_a_tag_that_a_classification_gives_is_firm(lint_rules: LintRules, entry: str, firm: bool) -> None:
    files = {"classify/c.yaml": f"version: v1\nclassify:\n  - {{id: c, {entry}}}\n"}

    result = lint_rules(GRANT + restriction("match: {actions: [db.read], risk_tags: [pii]}"), files)

    assert bool(messages(result)) is not firm


@pytest.mark.parametrize(
    ("clauses", "fact"),
    [
        ("match: {labels: {env: prod}}", "context.labels.env"),
        ("match: {attributes: {context.env: {exists: true}}}", "context.env"),
        ("match: {actions: ['*.read']}, when: has(context.env) && context.env == 'prod'", "context.env"),
    ],
)
def test_a_fact_that_a_classification_requires_is_firm(lint_rules: LintRules, clauses: str, fact: str) -> None:
    entry = f"{{id: c, match: {{actions: ['*']}}, require_facts: [{fact}]}}"
    files = {"classify/c.yaml": f"version: v1\nclassify:\n  - {entry}\n"}

    assert messages(lint_rules(GRANT + restriction(clauses), files)) == []


@given(
    restricted=st.lists(st.text("ab*?", min_size=1, max_size=4), min_size=1, max_size=3),
    granted=st.lists(st.text("ab*?", min_size=1, max_size=4), min_size=1, max_size=5),
    text=st.text("ab", max_size=5),
)
def test_no_grant_about_the_same_action_is_overlooked(restricted: list[str], granted: list[str], text: str) -> None:
    both = all(any(match_glob(pattern, text) for pattern in patterns) for patterns in (restricted, granted))
    restriction = Rule("p", "r", Decision.DENY, match=Clauses(actions=tuple(restricted)))
    grants = [Rule("p", action, Decision.ALLOW, match=Clauses(actions=(action,))) for action in granted]

    assert not both or _Grants(grants).without(restriction, None) is not None
