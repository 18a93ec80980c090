"""Rules that make no difference are found, and those that do are left in peace."""

from collections.abc import Callable

import pytest

from builder.linting import LintResult

LintRules = Callable[..., LintResult]


def found(result: LintResult) -> list[tuple[str, str]]:
    """Return code and rule id of each warning of this kind."""
    assert result.problems == ()
    return [(w.code, w.message.split()[1]) for w in result.warnings if w.code in ("W101", "W103")]


@pytest.mark.parametrize(
    "other",
    [
        "{id: b, match: {actions: [y, x], risk_tags: [p]}, decision: deny}",
        "{id: b, match: {topics: [x, y], risk_tags: [p]}, decision: deny, reason: another}",
        "{id: b, match: {risk_tags: [p], actions: [x, y]}, decision: deny, reason_code: mine}",
    ],
)
def test_a_rule_that_asks_and_decides_the_same_is_a_duplicate(lint_rules: LintRules, other: str) -> None:
    result = lint_rules(f"  - {{id: a, match: {{actions: [x, y], risk_tags: [p]}}, decision: deny}}\n  - {other}")

    assert found(result) == [("W101", "b")]
    assert result.warnings[-1].message == "rule b does the same as a/a (policies/a.yaml:3)"


@pytest.mark.parametrize(
    "other",
    [
        "{id: b, match: {actions: [x]}, decision: require_approval}",
        "{id: b, match: {actions: [x]}, decision: throttle, gate: scope}",
        "{id: b, match: {actions: [x]}, decision: throttle, on_missing: skip}",
        "{id: b, match: {actions: [x], risk_tags: [p]}, decision: throttle}",
        "{id: b, match: {actions: [x]}, unless: {risk_tags: [p]}, decision: throttle}",
        "{id: b, match: {actions: [x]}, when: 'now > timestamp(\"2026-01-01T00:00:00Z\")', decision: throttle}",
        "{id: b, match: {actions: [x], attributes: {resource.properties.n: {eq: 1}}}, decision: throttle}",
    ],
)
def test_a_rule_that_differs_is_no_duplicate(lint_rules: LintRules, other: str) -> None:
    assert found(lint_rules(f"  - {{id: a, match: {{actions: [x]}}, decision: throttle}}\n  - {other}")) == []


def test_true_and_one_are_two_values(lint_rules: LintRules) -> None:
    rule = "  - {{id: {}, match: {{resource: {{properties: {{n: {}}}}}}}, decision: deny}}\n"

    assert found(lint_rules(rule.format("a", "true") + rule.format("b", "1") + rule.format("c", "1.0"))) == []


def test_a_rate_of_its_own_is_no_duplicate(lint_rules: LintRules) -> None:
    rate = "rate: {{limit: {}, window: 1h, key: [subject.id]}}"
    rule = f"  - {{{{id: {{}}, match: {{{{actions: [x]}}}}, {rate}, decision: throttle}}}}\n"

    assert found(lint_rules(rule.format("a", 3) + rule.format("b", 5))) == []


def test_a_policy_that_runs_dry_duplicates_nothing_in_force(lint_rules: LintRules) -> None:
    rules = "rules: [{id: r, match: {actions: [x]}, decision: deny}]\n"

    assert found(lint_rules("  - {id: a, match: {actions: [x]}, decision: deny}", {
        "policies/b.yaml": f"version: v1\nmode: dry_run\n{rules}"
    })) == []  # fmt: skip


@pytest.mark.parametrize(
    ("deny", "rule"),
    [
        ("{actions: ['*.delete']}", "{actions: [bucket.delete]}"),
        ("{actions: ['*.delete']}", "{actions: ['bucket.*.delete', disk.delete]}"),
        ("{actions: ['job.*']}", "{actions: ['job.mcp.*'], risk_tags: [p]}"),
        ("{actions: ['job.*.delete.?']}", "{actions: [job.mcp.delete.a]}"),
        ("{risk_tags: [p]}", "{risk_tags: [q, p], actions: [x]}"),
        ("{risk_tags_any: [p, q]}", "{risk_tags: [p]}"),
        ("{risk_tags_any: [p, q]}", "{risk_tags_any: [q]}"),
        ("{requires: [gpu]}", "{requires: [gpu, net]}"),
        ("{labels: {env: 'prod-*'}}", "{labels: {env: prod-eu, tier: gold}}"),
        ("{tenants: [a, b]}", "{tenants: [b]}"),
        ("{subject: {types: [user]}, actions: ['*']}", "{subject: {types: [user], roles: [sre]}, actions: [x]}"),
        ("{subject: {roles: [dev, sre]}}", "{subject: {roles: [sre]}}"),
        ("{resource: {properties: {env: [prod, staging]}}}", "{resource: {ids: [a], properties: {env: prod}}}"),
        ("{attributes: {context.n: {ge: 5}}}", "{attributes: {context.n: {ge: 5, le: 9}}}"),
        ("{time: {days: [sat, sun]}}", "{time: {days: [sun, sat]}, actions: [x]}"),
        ("{not: {risk_tags: [p]}}", "{not: {risk_tags: [p], requires: [gpu]}}"),
    ],
)
def test_a_grant_that_a_deny_covers_has_no_effect(lint_rules: LintRules, deny: str, rule: str) -> None:
    result = lint_rules(f"  - {{id: d, match: {deny}, decision: deny}}\n  - {{id: g, match: {rule}, decision: allow}}")

    assert found(result) == [("W103", "g")]
    assert (
        result.warnings[-1].message == "rule g has no effect: the deny a/d (policies/a.yaml:3) applies wherever it does"
    )


@pytest.mark.parametrize(
    ("deny", "rule"),
    [
        ("{actions: ['*.delete']}", "{actions: ['bucket.*']}"),
        ("{actions: ['*.delete']}", "{actions: [bucket.delete, bucket.read]}"),
        ("{actions: ['a*b']}", "{actions: ['a*c']}"),
        ("{actions: ['?.x']}", "{actions: ['*.x']}"),
        ("{risk_tags: [q, p]}", "{risk_tags: [p]}"),
        ("{risk_tags: [p]}", "{risk_tags_any: [p]}"),
        ("{labels: {env: prod}}", "{labels: {env: 'prod*'}}"),
        ("{resource: {properties: {n: 1}}}", "{resource: {properties: {n: true}}}"),
        ("{resource: {properties: {n: '1'}}}", "{resource: {properties: {n: 1}}}"),
        ("{attributes: {context.n: {ge: 5, le: 9}}}", "{attributes: {context.n: {ge: 5}}}"),
        ("{not: {risk_tags: [p]}}", "{actions: [x]}"),
        ("{actions: [x], not: {risk_tags: [p]}}", "{actions: [x]}"),
    ],
)
def test_a_grant_that_a_deny_leaves_open_somewhere_is_no_finding(lint_rules: LintRules, deny: str, rule: str) -> None:
    result = lint_rules(f"  - {{id: d, match: {deny}, decision: deny}}\n  - {{id: g, match: {rule}, decision: allow}}")

    assert found(result) == []


@pytest.mark.parametrize(
    ("deny", "rule", "covered"),
    [
        ("", "unless: {risk_tags: [p]}, ", True),
        ("unless: {risk_tags: [p]}, ", "", False),
        ("unless: {risk_tags: [p]}, ", "unless: {risk_tags: [p]}, ", True),
        ("unless: {risk_tags: [p], requires: [q]}, ", "unless: {requires: [q], risk_tags: [p]}, ", True),
        ("unless: {risk_tags: [p], requires: [q]}, ", "unless: {risk_tags: [p]}, ", False),
        ("when: context.a == 1, ", "when: context.a == 1 && context.b == 2, ", True),
        ("when: context.a == 1 && context.b == 2, ", "when: context.a == 1, ", False),
        ("on_missing: skip, ", "", False),
        ("rate: {limit: 3, window: 1h, key: [subject.id]}, ", "", False),
    ],
)
def test_what_else_a_deny_asks_counts(lint_rules: LintRules, deny: str, rule: str, covered: bool) -> None:
    result = lint_rules(
        f"  - {{id: d, match: {{actions: ['x*']}}, {deny}decision: deny}}\n"
        f"  - {{id: g, match: {{actions: [xy]}}, {rule}decision: allow}}"
    )

    assert found(result) == ([("W103", "g")] if covered else [])


def test_a_deny_is_without_effect_only_beside_one_of_the_baseline(lint_rules: LintRules) -> None:
    narrow = "  - {id: narrow, match: {actions: [x]}, decision: deny}"
    wide = "rules: [{id: wide, match: {actions: ['*']}, decision: deny}]\nmetadata: {owners: {a: b}}\n"

    standard = lint_rules(narrow, {"policies/b.yaml": f"version: v1\n{wide}"})
    baseline = lint_rules(narrow, {"policies/b.yaml": f"version: v1\ntier: baseline\n{wide}"})

    assert found(standard) == []
    assert found(baseline) == [("W103", "narrow")]
    assert "the baseline deny b/wide" in baseline.warnings[-1].message


def test_a_deny_that_runs_dry_covers_only_what_runs_dry(lint_rules: LintRules) -> None:
    dry = "version: v1\nmode: dry_run\nrules: [{id: d, match: {actions: ['x*']}, decision: deny}]\n"
    grant = "  - {id: g, match: {actions: [xy]}, decision: allow}"

    assert found(lint_rules(grant, {"policies/b.yaml": dry})) == []
    assert found(lint_rules(grant, {"policies/b.yaml": dry}, head="mode: dry_run\n")) == [("W103", "g")]
