"""Coverage: what tests showed at work, rule by rule and clause by clause."""

import pytest

from builder.compiling import Compiled, compile_tree
from builder.language.project import CoverageGate
from builder.policytest import coverage_record, describe_coverage, measure_coverage, run_suites
from builder.policytest.coverage import Coverage, CoverageTooLowError, Tally
from builder.source import PolicyTree

RULE = "  - {{id: r{number}, decision: allow, {clauses}}}\n"
ANN = "subject: {type: user, id: ann, properties: {roles: [sre]}}"
BOT = "subject: {type: agent, id: bot}"
API = "resource: {type: service, id: api}"


def compiled(rules: list[str], cases: list[str]) -> Compiled:
    policy = "version: v1\nrules:\n" + "".join(
        RULE.format(number=number, clauses=clauses) for number, clauses in enumerate(rules)
    )
    suite = "cases:\n" + "".join(
        f"  - {{name: case {number}, expect: {{decision: deny}}, {case}}}\n" for number, case in enumerate(cases)
    )
    files = {
        "writ.yaml": "name: demo\nstore: file:///srv/demo\nchannels: [prod]\n",
        "policies/ops.yaml": policy,
        "data/limits.yaml": "frozen: true\n",
        "tests/ops.yaml": suite,
    }
    return compile_tree(PolicyTree("1" * 40, False, {path: text.encode() for path, text in files.items()}), today=None)


def cover(rule: str, *cases: str) -> Coverage:
    tree = compiled([rule], list(cases))
    return measure_coverage(tree, run_suites(tree))


def missing(coverage: Coverage) -> dict[str, str]:
    return {clause.clause: clause.missing for rule in coverage.rules for clause in rule.clauses if clause.missing}


def test_a_clause_is_covered_when_it_was_seen_both_ways() -> None:
    rule = "match: {actions: [restart], subject: {types: [user], roles: [sre]}}"

    both = cover(rule, f"{ANN}, action: restart, {API}", f"{BOT}, action: restart, {API}", f"{ANN}, action: x, {API}")
    once = cover(rule, f"{ANN}, action: restart, {API}")

    assert missing(both) == {}
    assert missing(once) == dict.fromkeys(
        ("match.actions", "match.subject.types", "match.subject.roles"), "never seen not to hold"
    )
    assert once.rules[0].applied


def test_tests_about_other_actions_say_nothing_about_the_other_clauses() -> None:
    coverage = cover("match: {actions: [restart], subject: {types: [user]}}", f"{BOT}, action: x, {API}")

    assert missing(coverage) == {"match.actions": "never seen to hold", "match.subject.types": "never reached"}
    assert not coverage.rules[0].applied


def test_an_error_is_a_clause_that_does_not_hold_and_a_rule_that_does_not_apply() -> None:
    coverage = cover('match: {actions: ["*"]}, when: context.n > 1', f"{ANN}, action: x, {API}")

    assert missing(coverage) == {"when": "never seen to hold"}
    assert not coverage.rules[0].applied


def test_what_is_always_the_same_is_covered_when_it_was_seen() -> None:
    rule = 'match: {actions: ["*"], resource: {ids: ["**"]}}, when: data.limits.frozen == true'

    assert missing(cover(rule, f"{ANN}, action: x, {API}")) == {}
    assert set(missing(cover(rule, f"{ANN}, action: x, {API}, skip: later")).values()) == {"never reached"}


def test_clauses_of_unless_count_each() -> None:
    rule = "match: {actions: [x]}, unless: {subject: {types: [user], roles: [sre]}}"

    coverage = cover(rule, f"{ANN}, action: x, {API}", f"{BOT}, action: y, {API}")

    assert missing(coverage) == dict.fromkeys(
        ("unless.subject.types", "unless.subject.roles"), "never seen not to hold"
    )
    assert not coverage.rules[0].applied


def test_the_report_names_rule_place_and_clause_and_counts() -> None:
    tree = compiled(
        ["match: {actions: [x]}", "match: {actions: [y]}", 'match: {actions: ["*"]}'], [f"{ANN}, action: x, {API}"]
    )

    coverage = measure_coverage(tree, run_suites(tree))

    assert list(describe_coverage(coverage)) == [
        "! ops/r0  policies/ops.yaml:3",
        "    match.actions: never seen not to hold",
        "! ops/r1 never applied  policies/ops.yaml:4",
        "    match.actions: never seen to hold",
        "coverage: 2 of 3 rules (66.6 %), 1 of 3 clauses (33.3 %)",
    ]
    record = coverage_record(coverage)
    assert record["rules"] == {"covered": 2, "total": 3, "percent": 66.6}
    assert record["by_rule"][0] == {
        "rule": "ops/r0",
        "place": "policies/ops.yaml:3",
        "applied": True,
        "clauses": [{"clause": "match.actions", "held": True, "failed": False, "covered": False}],
    }


def test_the_gate_compares_exactly_and_names_what_is_too_low() -> None:
    coverage = cover("match: {actions: [x]}", f"{ANN}, action: x, {API}")

    coverage.require(CoverageGate(rules=100, clauses=0))
    with pytest.raises(CoverageTooLowError) as caught:
        coverage.require(CoverageGate(rules=100, clauses=1))
    assert caught.value.exit_code == 4
    assert caught.value.message == "coverage: 0.0 % of clauses (gate: 1 %)"
    assert not Tally(1999, 2000).reaches(100)
    assert Tally(0, 0).reaches(100)
    assert Tally(1999, 2000).percent == 99.9
