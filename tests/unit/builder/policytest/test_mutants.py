"""Mutants: what is changed in a rule, each change once, and every changed rule is one the matcher loads."""

import pytest
from hypothesis import given

from builder.explaining import matcher_for
from builder.language.cel import lower
from builder.policytest.mutants import mutants_of
from policy_core.model import AttributeTests, Clauses, Decision, EntityClauses, Provisions, Rule, TimeWindow
from policy_core.testing import strategies


def changes(rule: Rule) -> list[str]:
    return [mutant.change for mutant in mutants_of(0, rule)]


def rule(decision: str = "deny", **parts: object) -> Rule:
    return Rule(policy="p", id="r", decision=Decision(decision), **parts)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("decision", "constraints", "expected"),
    [
        ("deny", {}, ["decides allow"]),
        ("require_approval", {}, ["decides allow"]),
        ("throttle", {}, ["decides allow"]),
        ("allow", {}, ["decides deny"]),
        ("allow_with_constraints", {"tool_allowlist": ("a",)}, ["decides deny", "decides allow"]),
        ("constrain", {"tool_allowlist": ("a",)}, ["decides allow"]),
    ],
)
def test_decisions_are_flipped(decision: str, constraints: dict[str, object], expected: list[str]) -> None:
    assert changes(rule(decision, constraints=constraints)) == expected


def test_every_clause_is_dropped_by_itself() -> None:
    match = Clauses(
        actions=("a",),
        labels={"x": "1", "y": "2"},
        subject=EntityClauses(types=("user",), properties={"team": ("core",)}),
        attributes={"context.n": AttributeTests(eq=1, exists=True), "context.m": AttributeTests(eq=2)},
        none_of=Clauses(risk_tags=("t",)),
    )

    dropped = {mutant.change: mutant.rule.match for mutant in mutants_of(0, rule(match=match))}

    assert list(dropped)[1:] == [
        "drops match.actions",
        "drops match.labels.x",
        "drops match.labels.y",
        "drops match.subject.types",
        "drops match.subject.properties.team",
        "drops match.attributes.context.n.eq",
        "drops match.attributes.context.n.exists",
        "drops match.attributes.context.m.eq",
        "drops match.not.risk_tags",
    ]
    assert dropped["drops match.labels.x"].labels == {"y": "2"}
    assert dropped["drops match.subject.types"].subject == EntityClauses(properties={"team": ("core",)})
    assert dropped["drops match.attributes.context.m.eq"].attributes == {"context.n": AttributeTests(eq=1, exists=True)}
    assert dropped["drops match.not.risk_tags"].none_of is None


def test_the_last_clause_of_unless_takes_unless_along() -> None:
    one = rule(unless=Clauses(subject=EntityClauses(roles=("a",))))
    two = rule(unless=Clauses(subject=EntityClauses(roles=("a",), types=("user",))))

    assert [mutant.rule.unless for mutant in mutants_of(0, one)][1:] == [None]
    assert changes(two)[1:] == ["drops unless.subject.types", "drops unless.subject.roles"]


def test_dropping_what_matches_everything_is_not_tried() -> None:
    match = Clauses(actions=("*",), subject=EntityClauses(types=("x", "**"), roles=("r",)))

    assert changes(rule(match=match))[1:] == ["drops match.subject.roles"]
    assert changes(rule(match=Clauses(actions=("*",))))[1:] == []
    # but an `unless` that always holds keeps the rule from ever applying
    assert changes(rule(unless=Clauses(actions=("*",))))[1:] == ["drops unless.actions"]


def test_conditions_lose_operands_and_their_numbers_move() -> None:
    when = lower('context.n > 5 && (context.x < 1.5 || context.t == "5") && now < timestamp("2026-01-01T00:00:00Z")')

    assert changes(rule(when=when))[1:] == [
        "drops when",
        "when: drops context.n > 5",
        "when: 5 becomes 4",
        "when: 5 becomes 6",
        'when: drops context.x < 1.5 || context.t == "5"',
        "when: drops context.x < 1.5",
        "when: 1.5 becomes 0.5",
        "when: 1.5 becomes 2.5",
        'when: drops context.t == "5"',
        'when: drops now < timestamp("2026-01-01T00:00:00Z")',
    ]


def test_a_chain_that_is_left_within_the_same_chain_dissolves_in_it() -> None:
    a, b, c, d = (["has", ["var", "context"], name] for name in "abcd")

    conditions = [mutant.rule.when for mutant in mutants_of(0, rule(when=["&&", a, ["||", b, ["&&", c, d]]]))]

    assert ["&&", a, c, d] in conditions


def test_numbers_move_by_one_where_they_are_thresholds() -> None:
    tests = {"context.n": AttributeTests(ge=3), "context.m": AttributeTests(eq=3)}

    assert changes(rule("constrain", constraints={"max_targets": 0, "max_cost_usd": 0.5}))[1:] == [
        "drops constraints.max_targets",
        "constraints.max_targets: 0 becomes 1",
        "drops constraints.max_cost_usd",
        "constraints.max_cost_usd: 0.5 becomes 1.5",
    ]
    assert [change for change in changes(rule(match=Clauses(attributes=tests))) if "becomes" in change] == [
        "match.attributes.context.n.ge: 3 becomes 2",
        "match.attributes.context.n.ge: 3 becomes 4",
    ]
    assert changes(rule(when=["==", ["var", "context", "n"], 2**63 - 1]))[1:] == ["drops when"]


def test_windows_lose_parts_and_their_limits_move() -> None:
    night = TimeWindow(days=("fri",), between=(22 * 60, 6 * 60), tz="Europe/Berlin")
    freeze = TimeWindow(after=1_000_000_000, before=1_000_000_002)

    assert changes(rule(match=Clauses(time=night)))[1:] == [
        "drops match.time.days",
        "drops match.time.between",
        "match.time.between: 22:00 to 06:00 becomes 21:59 to 06:00",
        "match.time.between: 22:00 to 06:00 becomes 22:01 to 06:00",
        "match.time.between: 22:00 to 06:00 becomes 22:00 to 05:59",
        "match.time.between: 22:00 to 06:00 becomes 22:00 to 06:01",
    ]
    assert changes(rule(match=Clauses(actions=("*",), none_of=Clauses(time=freeze))))[1:] == [
        "drops match.not.time.after",
        "drops match.not.time.before",
        "match.not.time.after: 2001-09-09T01:46:40Z becomes 2001-09-09T01:46:39Z",
        "match.not.time.after: 2001-09-09T01:46:40Z becomes 2001-09-09T01:46:41Z",
        "match.not.time.before: 2001-09-09T01:46:42Z becomes 2001-09-09T01:46:41Z",
        "match.not.time.before: 2001-09-09T01:46:42Z becomes 2001-09-09T01:46:43Z",
    ]


def test_a_window_is_dropped_as_a_whole_with_its_zone() -> None:
    match = Clauses(actions=("a",), time=TimeWindow(days=("sat", "sun"), tz="Europe/Berlin"))

    dropped = {mutant.change: mutant.rule.match for mutant in mutants_of(0, rule(match=match))}

    assert dropped["drops match.time.days"] == Clauses(actions=("a",))


@given(strategies.rules())
def test_every_mutant_differs_and_is_a_rule_that_loads(original: Rule) -> None:
    for mutant in mutants_of(0, original):
        assert mutant.rule != original
        matcher_for([mutant.rule], Provisions(), "")


def test_a_dry_run_rule_has_no_mutants() -> None:
    assert changes(rule(match=Clauses(actions=("a",)), dry_run=True)) == []
