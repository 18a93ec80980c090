"""Explanations: the answer, and the rules near a request, clause by clause."""

import datetime
from typing import Any

import msgspec

from builder.compiling import Compiled, compile_tree
from builder.explaining import describe_explanation, explanation_record, matcher_for
from builder.source import PolicyTree
from policy_core.explaining import MAX_NEAR_RULES, Explanation
from policy_core.explaining import explain as explain_request
from policy_core.request import normalise

POLICY = """\
version: v1
rules:
  - {id: reads, match: {actions: ["*.read"]}, decision: allow, reason: Reading changes nothing}
  - id: own-team
    match: {actions: [service.restart], labels: {team: "a*"}}
    when: resource.properties.owner == subject.properties.team
    decision: allow
  - id: nobody-else
    match: {actions: [service.restart], tenants: [acme]}
    unless: {subject: {types: [user]}}
    decision: deny
  - {id: cap, match: {risk_tags: [prod]}, decision: constrain, constraints: {max_targets: 1, tool_allowlist: [x, y]}}
"""


def compiled(policy: str = POLICY) -> Compiled:
    files = {"policies/p.yaml": policy, "writ.yaml": "name: demo\nstore: file:///srv/demo\nchannels: [prod]\n"}
    tree = PolicyTree("1" * 40, False, {path: text.encode() for path, text in files.items()})
    return compile_tree(tree, today=datetime.date(2026, 11, 1))


def explain(raw: dict[str, Any], policy: str = POLICY) -> tuple[Explanation, Compiled]:
    result = compiled(policy)
    request = normalise(raw, now=0.0, host={})
    return explain_request(matcher_for(result.rules, result.provisions, "r"), request), result


def lines(raw: dict[str, Any], policy: str = POLICY) -> list[str]:
    explanation, result = explain(raw, policy)
    return list(describe_explanation(explanation, result.places(), "work tree"))


def test_a_granted_request_shows_decision_constraints_and_the_rules_that_apply() -> None:
    assert lines({"job": {"topic": "a.read", "risk_tags": ["prod"]}})[:11] == [
        "decision   allow_with_constraints",
        "because    matched_rule: Reading changes nothing",
        "rule       p/reads  policies/p.yaml:3",
        "constraint max_targets: 1",
        "constraint tool_allowlist: [x, y]",
        "policies   work tree",
        "",
        "✓ p/reads (allow) applies  policies/p.yaml:3",
        "    ✓ match.actions: wants [*.read], the request has a.read",
        "✓ p/cap (constrain) applies  policies/p.yaml:12",
        "    ✓ match.risk_tags: wants [prod], the request has [prod]",
    ]


def test_what_would_lead_to_another_decision_comes_last() -> None:
    shown = lines({"tenant_id": "acme", "job": {"topic": "a.read"}})

    assert shown[-2:] == [
        "another decision would come",
        "    with prod in context.risk_tags: allow_with_constraints (p/reads)",
    ]


def test_the_record_names_the_changes_and_the_decision_they_lead_to() -> None:
    explanation, result = explain({"tenant_id": "acme", "job": {"topic": "a.read"}})

    record = msgspec.json.decode(msgspec.json.encode(explanation_record(explanation, result.places())))

    assert record["suggestions"] == [
        {
            "text": "with prod in context.risk_tags: allow_with_constraints (p/reads)",
            "changes": [{"change": "add", "path": ["context", "risk_tags"], "value": "prod"}],
            "decision": "allow_with_constraints",
            "allowed": True,
            "matched_rule": "p/reads",
            "reason_code": "matched_rule",
        }
    ]


def test_a_refused_request_shows_errors_misses_and_what_was_seen() -> None:
    shown = lines(
        {"tenant_id": "acme", "job": {"topic": "service.restart", "actor_type": "user", "labels": {"team": "ab"}}}
    )

    assert shown[:2] == ["decision   deny", "because    no_matching_rule: no rule grants this"]
    assert "error      p/own-team: resource.properties.owner: absent" in shown
    assert "! p/own-team (allow) in error  policies/p.yaml:4" in shown
    assert "    ✓ match.labels: wants {team: a*}, the request has {team: ab}" in shown
    assert (
        "    ! when: resource.properties.owner == subject.properties.team (resource.properties.owner: absent)" in shown
    )
    assert "    the clauses of unless hold, so the rule does not apply" in shown
    assert "    ✗ match.risk_tags: wants [prod], the request has nothing" in shown


def test_a_fact_that_is_missing_is_named_in_its_clause() -> None:
    policy = POLICY.replace("tenants: [acme]", "capabilities: [x]")

    assert "    ! match.capabilities: wants [x], context.capability: absent" in lines(
        {"job": {"topic": "service.restart"}}, policy
    )


WIDER = """\
version: v1
rules:
  - id: deploys
    match:
      actions: [deploy]
      attributes: {resource.properties.size: {le: 5}}
      time: {days: [thu], between: [22:00, 06:00]}
      not: {subject: {types: [robot]}}
    decision: deny
    gate: scope
    remediations: [{id: ask, title: Ask first}]
"""


def test_attributes_windows_and_not_are_shown_with_gates_and_what_to_do_instead() -> None:
    raw = {
        "subject": {"type": "user", "id": "a"},
        "action": {"name": "deploy"},
        "resource": {"type": "service", "id": "s", "properties": {"size": 3}},
    }

    shown = lines(raw, WIDER)  # at midnight, when Thursday 1970-01-01 began

    assert [line.replace("    ", "") for line in shown if line.startswith("    ")] == [
        "✓ match.actions: wants [deploy], the request has deploy",
        "✓ match.attributes.resource.properties.size: wants {le: 5}, the request has 3",
        "✗ match.time: wants {days: [thu], between: [22:00, 06:00]}, it is 1970-01-01T00:00:00Z",
        "✓ match.not.subject.types: does not want [robot], the request has user",
    ]
    always = WIDER.replace("days: [thu], ", "")
    assert lines(raw, always)[3:5] == ["gate       scope: denied", "instead    Ask first"]


def test_a_dry_run_rule_is_marked_and_its_decision_told() -> None:
    policy = "version: v1\nmode: dry_run\nrules: [{id: r, match: {actions: [a]}, decision: allow}]"

    shown = lines({"job": {"topic": "a"}}, policy)

    assert shown[0] == "decision   deny"
    assert "dry run    would be allow by p/r" in shown
    assert "✓ p/r (allow, dry run) applies  policies/p.yaml:3" in shown


def test_no_rule_about_the_action_is_said() -> None:
    policy = "version: v1\nrules: [{id: r, match: {actions: [a]}, decision: allow}]"

    assert lines({"job": {"topic": "zzz"}}, policy)[-3:] == [
        "no rule is about this action",
        "",
        "no small change was found that gives another decision",
    ]


def test_only_the_nearest_misses_are_shown_nearest_first() -> None:
    rules = "".join(
        f"  - {{id: r{n}, match: {{risk_tags: [x], tenants: [t{n}], requires: [a]}}, decision: allow}}\n"
        for n in range(9)
    )
    near = "  - {id: near, match: {risk_tags: [x]}, decision: allow}\n"

    explanation, _ = explain({"job": {"topic": "a"}}, f"version: v1\nrules:\n{rules}{near}")

    assert explanation.rules[0].rule.id == "near"
    assert len(explanation.rules) == MAX_NEAR_RULES


def test_control_characters_of_a_request_are_not_printed() -> None:
    shown = lines({"job": {"topic": "a.read", "risk_tags": ["\x1b[31m"]}})

    assert all(line.isprintable() for line in shown)


def test_the_record_for_machines_holds_answer_and_rules() -> None:
    explanation, result = explain({"job": {"topic": "service.restart", "labels": {"team": "ab"}}})

    record = msgspec.json.decode(msgspec.json.encode(explanation_record(explanation, result.places())))

    assert record["answer"]["decision"] == "deny"
    assert record["rules"][0]["rule"] == "p/own-team"
    clause = record["rules"][0]["clauses"][-1]
    assert clause == {
        "clause": "when",
        "outcome": "error",
        "wanted": "resource.properties.owner == subject.properties.team",
        "seen": {"resource.properties.owner": None, "subject.properties.team": None},
        "message": "resource.properties.owner: absent",
    }


def test_a_condition_shows_the_values_it_read() -> None:
    policy = """\
version: v1
rules:
  - id: r
    match: {actions: [a]}
    when: context.n > 2 && host.env == "prod" && now < timestamp("2026-01-01T00:00:00Z") && !has(context.x)
    decision: allow
"""
    raw = {
        "subject": {"type": "user", "id": "u"},
        "action": {"name": "a"},
        "resource": {"type": "t", "id": "i"},
        "context": {"n": 1},
    }

    shown = lines(raw, policy)

    (line,) = (line for line in shown if "when:" in line)
    assert line.endswith(", with {context.n: 1, host.env: nothing, now: 1970-01-01T00:00:00Z, context.x: nothing}")


EXCEPTION = """\
version: v1
id: waiver
rules: [p/nobody-else]
scope: {match: {tenants: [acme]}}
category: waiver
justification: the release of the year
requested_by: bo
approved_by: [ana]
ticket: CHG-1
created: 2026-10-01
expires: 2026-12-01
"""


def test_a_rule_that_an_exception_switches_off_says_so() -> None:
    files = {
        "policies/p.yaml": POLICY,
        "exceptions/e.yaml": EXCEPTION,
        "writ.yaml": "name: demo\nstore: file:///srv/demo\nchannels: [prod]\n",
    }
    tree = PolicyTree("1" * 40, False, {path: text.encode() for path, text in files.items()})
    result = compile_tree(tree, today=datetime.date(2026, 11, 1))
    now = datetime.datetime(2026, 11, 1, tzinfo=datetime.UTC).timestamp()
    request = normalise({"tenant_id": "acme", "job": {"topic": "service.restart"}}, now=now, host={})

    explanation = explain_request(matcher_for(result.rules, result.provisions, "r"), request)

    shown = list(describe_explanation(explanation, result.places(), "work tree"))
    assert "✓ p/nobody-else (deny) applies, but exception waiver switches it off  policies/p.yaml:8" in shown
    (record,) = (
        each for each in explanation_record(explanation, result.places())["rules"] if each["rule"] == "p/nobody-else"
    )
    assert record["exception"] == "waiver"
