"""Policy tests of rates, approvals, exceptions and classification: what a case assumes, and what it covers."""

import pytest

from builder.compiling import Compiled, bundle_of, compile_tree
from builder.policytest import (
    check_mutants,
    coverage_record,
    describe_mutation,
    describe_report,
    measure_coverage,
    run_suites,
)
from builder.source import PolicyTree
from policy_core.decision import PolicyRef
from policy_core.matcher import load
from policy_core.selftest import run_selftest

SETTINGS = f"""\
name: demo
store: file:///srv/demo
channels: [prod]
approvers:
  ana: {{key: "{"a1" * 32}", teams: [security], subjects: [ana]}}
  bo: {{key: "{"b2" * 32}", teams: [security, platform], subjects: [bo]}}
"""
POLICY = """\
version: v1
rules:
  - {id: all, match: {actions: [restart]}, decision: allow}
  - id: limit
    match: {actions: [restart]}
    rate: {limit: 3, window: 1h, key: [resource.id]}
    decision: throttle
    remediations: [{id: wait, title: Wait}]
  - id: ask
    match: {risk_tags: [prod]}
    decision: require_approval
    approval: {from: {security: 1, platform: 1}, expires_in: 1h}
"""
TRIAL = "version: v1\nmode: dry_run\nrules: [{id: no, match: {actions: [restart]}, decision: deny}]\n"
CLASSIFY = "version: v1\nclassify: [{id: db, match: {resource: {ids: [prod-db]}}, risk_tags: [prod]}]\n"
EXCEPTION = """\
version: v1
id: migration
rules: [ops/limit]
scope: {match: {subject: {ids: [cy]}}}
category: waiver
justification: moving
requested_by: cy
approved_by: [ana]
ticket: T-1
created: 2026-01-01
expires: 2026-01-02
"""
RESTART = "subject: {type: user, id: di}, action: restart, resource: {type: s, id: web}"
PROD = "subject: {type: user, id: di}, action: drop, resource: {type: s, id: prod-db}"
BY_CY = RESTART.replace("di", "cy") + ", counted: {ops/limit: 9}"
BY_BO = PROD.replace("di", "bo")
ALL = (
    f"{RESTART}, counted: {{ops/limit: 2}}, expect: {{decision: allow, rule: ops/all}}",
    f"{RESTART}, counted: {{ops/limit: 3}}, expect: {{decision: throttle, rule: ops/limit}}",
    f"{PROD}, approved_by: [ana, bo], counted: {{ops/limit: 9}}, expect: {{decision: allow, reason_code: approved}}",
    f"{PROD}, approved_by: [ana], expect: {{decision: require_approval}}",
    f"{PROD}, approved_by: [bo], expect: {{decision: require_approval}}",
)


def compiled(*cases: str) -> Compiled:
    files = {
        "writ.yaml": SETTINGS,
        "policies/ops.yaml": POLICY,
        "policies/trial.yaml": TRIAL,
        "classify/db.yaml": CLASSIFY,
        "exceptions/e.yaml": EXCEPTION,
        "tests/ops.yaml": "cases:\n" + "".join(f"  - {{name: case {n}, {case}}}\n" for n, case in enumerate(cases)),
    }
    return compile_tree(PolicyTree("1" * 40, False, {path: text.encode() for path, text in files.items()}), today=None)


@pytest.mark.parametrize(
    "case",
    [
        *ALL,
        f"{RESTART}, expect: {{decision: allow, dry_run: deny, remediations: []}}",
        f"{RESTART}, counted: {{ops/limit: 9}}, expect: {{decision: throttle, retry_after_s: 3600, dry_run: deny}}",
        f"{RESTART}, counted: {{ops/limit: 9}}, expect: {{decision: throttle, remediations: [wait]}}",
        f"{BY_CY}, expect: {{decision: allow, exception: migration}}",
        f"{BY_CY}, now: 2026-01-03T00:00:00Z, expect: {{decision: throttle}}",
        f"{PROD}, approved_by: [ana, ana], expect: {{decision: require_approval}}",
        f"{BY_BO}, approved_by: [ana, bo], expect: {{decision: require_approval, reason_code: grant_self_approved}}",
        f"{PROD}, expect: {{decision: require_approval, reason_code: matched_rule}}",
    ],
)
def test_a_case_is_asked_with_what_it_takes_for_granted(case: str) -> None:
    report = run_suites(compiled(case))

    assert report.passed, "\n".join(describe_report(report))


def test_a_failing_case_shows_how_the_rate_was_seen() -> None:
    report = run_suites(compiled(f"{RESTART}, counted: {{ops/limit: 3}}, expect: {{decision: allow, rule: ops/all}}"))

    shown = "\n".join(describe_report(report))

    assert "decision: expected allow, got throttle" in shown
    assert "rate" in shown


def test_a_rate_is_a_clause_that_is_covered_reached_and_not_reached() -> None:
    tree = compiled(*ALL[:1])
    coverage = coverage_record(measure_coverage(tree, run_suites(tree)))
    rate = next(rule for rule in coverage["by_rule"] if rule["rule"] == "ops/limit")["clauses"][-1]

    assert rate == {"clause": "rate", "held": False, "failed": True, "covered": False}
    both = compiled(*ALL[:2])
    assert measure_coverage(both, run_suites(both)).rules[1].clauses[-1].missing == ""


def test_tags_of_classifications_count_for_coverage() -> None:
    tree = compiled(*ALL)

    asking = next(rule for rule in measure_coverage(tree, run_suites(tree)).rules if rule.rule == "ops/ask")

    assert asking.applied
    assert not any(clause.missing for clause in asking.clauses)


def test_tests_on_both_sides_of_rate_and_quorum_kill_their_mutants() -> None:
    tree = compiled(*ALL)

    found = list(describe_mutation(check_mutants(tree, run_suites(tree))))

    assert found == ["mutants: 16 of 16 killed"]


def test_tests_on_one_side_leave_mutants() -> None:
    tree = compiled(ALL[0], ALL[2])

    survivors = {(each.rule, each.change) for each in check_mutants(tree, run_suites(tree)).survivors}

    assert {("ops/limit", "rate.limit: 3 becomes 4"), ("ops/ask", "approval.from.security: 1 becomes 0")} <= survivors
    assert ("ops/limit", "rate.limit: 3 becomes 2") not in survivors
    assert ("ops/ask", "drops approval") not in survivors


def test_a_tag_that_no_test_needs_is_found() -> None:
    tree = compiled(ALL[0])

    survivors = [each for each in check_mutants(tree, run_suites(tree)).survivors if each.rule == "classify.db/db"]

    assert [(each.place, each.change) for each in survivors] == [("classify/db.yaml:2", "drops risk tag prod")]


def test_the_self_test_takes_the_same_for_granted() -> None:
    tree = compiled(*ALL)
    _, bundle = bundle_of(tree)
    matcher = load(bundle.files["matcher.jsonl"], policy=PolicyRef("", ""), provisions=bundle.provisions)

    assert len(list(run_selftest(matcher, bundle.files["selftest.jsonl"]))) == len(ALL)
