"""The mutation check finds exactly the changes that no test notices."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builder.compiling import Compiled, compile_tree
from builder.explaining import matcher_for
from builder.language.expectations import Expectation
from builder.language.suites import Case
from builder.policytest import check_mutants, describe_mutation, mutation, mutation_record, run_suites
from builder.policytest.mutants import mutants_of
from builder.policytest.mutation import MutantsSurviveError, Trial
from builder.policytest.runner import CaseResult, PolicyTestsFailedError, Status, SuiteResult, TestReport, differences
from builder.source import PolicyTree
from policy_core.decision import Answer
from policy_core.errors import GateError
from policy_core.matcher import Matcher
from policy_core.model import Provisions, Rule
from policy_core.request import normalise
from policy_core.testing import strategies

NOW = 1_790_500_000.0  # exceptions that are drawn begin, or end, around then
POLICY = """\
version: v1
rules:
  - id: small
    match: {actions: [scale]}
    when: context.n < 5
    decision: allow
"""


def compiled(*cases: tuple[object, str]) -> Compiled:
    suite = "cases:\n" + "".join(
        f"  - {{name: case {number}, subject: {{type: t, id: i}}, action: scale, resource: {{type: t, id: i}}, "
        f"context: {{n: {n}}}, expect: {{decision: {decision}}}}}\n"
        for number, (n, decision) in enumerate(cases)
    )
    files = {
        "writ.yaml": "name: demo\nstore: file:///srv/demo\nchannels: [prod]\n",
        "policies/ops.yaml": POLICY,
        "tests/ops.yaml": suite,
    }
    return compile_tree(PolicyTree("1" * 40, False, {path: text.encode() for path, text in files.items()}), today=None)


def test_survivors_are_named_with_rule_and_place() -> None:
    tree = compiled((1, "allow"), (9, "deny"))

    found = check_mutants(tree, run_suites(tree))

    assert list(describe_mutation(found)) == [
        "✗ ops/small  policies/ops.yaml:3  survives: drops match.actions",
        "✗ ops/small  policies/ops.yaml:3  survives: when: 5 becomes 4",
        "✗ ops/small  policies/ops.yaml:3  survives: when: 5 becomes 6",
        "mutants: 2 of 5 killed",
    ]
    assert mutation_record(found)["survivors"][1] == {
        "rule": "ops/small", "place": "policies/ops.yaml:3", "change": "when: 5 becomes 4",
    }  # fmt: skip
    with pytest.raises(MutantsSurviveError) as caught:
        found.require_killed()
    assert isinstance(caught.value, GateError)
    assert caught.value.message == "policies/ops.yaml:3: ops/small: no test notices: drops match.actions, and 2 more"


def test_tests_at_the_threshold_kill_its_mutants() -> None:
    tree = compiled((4, "allow"), (5, "deny"))

    found = check_mutants(tree, run_suites(tree))

    assert [survivor.change for survivor in found.survivors] == ["drops match.actions"]


def test_of_too_many_mutants_an_even_selection_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mutation, "MAX_MUTANTS", 2)
    tree = compiled((4, "allow"), (5, "deny"))
    steps: list[tuple[int, int]] = []

    found = check_mutants(tree, run_suites(tree), progress=lambda done, total: steps.append((done, total)))

    assert steps == [(1, 2), (2, 2)]
    assert list(describe_mutation(found))[-1] == "mutants: 2 of 2 killed (3 more not tried, limit 2)"


def test_tests_that_fail_kill_nothing() -> None:
    tree = compiled((4, "deny"))

    with pytest.raises(PolicyTestsFailedError):
        check_mutants(tree, run_suites(tree))


def case(raw: Any, rules: list[Rule], draw: st.DrawFn) -> Case:
    rated = [rule.name for rule in rules if rule.rate]
    counted = draw(st.dictionaries(st.sampled_from(rated), st.integers(0, 4))) if rated else {}
    approved_by = draw(st.lists(st.sampled_from([approver.id for approver in strategies.APPROVERS]), max_size=4))
    return Case("c", 1, raw, NOW, {}, Expectation("deny"), "", None, counted, tuple(approved_by))


def passing(rules: list[Rule], provisions: Provisions, cases: list[Case]) -> TestReport:
    """Return a report in which all cases pass: they expect the whole answer."""
    matcher = matcher_for(rules, provisions, "")
    results = []
    for asked in cases:
        answer = decide(matcher, asked)
        expect = Expectation(
            decision=answer.decision,
            rule=answer.matched_rule,
            reason_code=answer.reason_code,
            constraints=answer.constraints,
            exception=answer.exception,
            dry_run=answer.dry_run and answer.dry_run.decision,
            gates=answer.gates,
            errors=tuple(sorted(error.rule for error in answer.errors)),
            remediations=tuple(remediation.id for remediation in answer.remediations),
            retry_after_s=answer.retry_after_s,
        )
        results.append(CaseResult(replace(asked, expect=expect), Status.PASSED, answer))
    return TestReport((SuiteResult("tests/a.yaml", "a", tuple(results)),), {})


def decide(matcher: Matcher, asked: Case) -> Answer:
    return matcher.decide(normalise(asked.request, now=asked.now, host={}), memory=asked.memory)


@st.composite
def policies_and_cases(draw: st.DrawFn) -> tuple[list[Rule], Provisions, list[Case]]:
    rules = draw(strategies.policies(most=4))
    provisions = draw(strategies.provisions(rules, {}))
    requests = draw(st.lists(strategies.requests, max_size=10))
    return rules, provisions, [case(raw, rules, draw) for raw in requests]


@settings(max_examples=25, deadline=None)  # each example loads a matcher for every mutant
@given(policies_and_cases())
def test_asking_only_the_rules_and_cases_concerned_changes_no_verdict(
    drawn: tuple[list[Rule], Provisions, list[Case]],
) -> None:
    rules, provisions, asked = drawn
    report = passing(rules, provisions, asked)
    trial = Trial(rules, provisions, report)
    cases = report.suites[0].cases

    for ordinal, rule in enumerate(rules):
        for mutant in mutants_of(ordinal, rule):
            all_rules = [mutant.rule if number == ordinal else other for number, other in enumerate(rules)]
            fitting = mutation.provisions_for(all_rules, provisions)
            matcher = matcher_for(all_rules, fitting, "")
            unnoticed = not any(any(differences(result.case.expect, decide(matcher, result.case))) for result in cases)
            assert trial.survives(mutant) is unnoticed, mutant.change
