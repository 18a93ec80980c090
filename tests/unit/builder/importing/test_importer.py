"""What single constructs of a job-style file become, what is refused, and what the report says."""

from typing import Any

import pytest

from builder.importing.fields import FIELDS
from builder.importing.importer import Imported, import_policy
from builder.importing.report import describe_import, import_record
from builder.language.nodes import Report, plain
from builder.language.yamlfile import MAX_YAML_BYTES, read_yaml

RULE = "rules: [{id: r, decision: "


def imported(text: str, *, most: int = 500) -> Imported:
    return import_policy(text.encode(), "safety.yaml", most=most)


def ours(text: str) -> dict[str, Any]:
    """Return the rules a file became, by id, as plain values."""
    found = imported(text)
    assert not found.refused, found.refused
    assert found.proof
    assert not found.proof.differences
    root = read_yaml(found.text.encode(), Report(""))
    assert root
    return {rule.pop("id"): rule for rule in plain(root)["rules"]}


def problems(text: str) -> list[str]:
    return [f"{problem.line}:{problem.column}: {problem.message}" for problem in imported(text).refused]


@pytest.mark.parametrize(
    ("word", "decision"),
    [
        ("allow", "allow"), ("permit", "allow"), ("deny", "deny"), ("block", "deny"), (" Deny ", "deny"),
        ("require_approval", "require_approval"), ("require-approval", "require_approval"),
        ("require_human", "require_approval"), ("throttle", "throttle"),
        ("allow_with_constraints", "allow"), ("allow-with-constraints", "allow"),
    ],
)  # fmt: skip
def test_every_spelling_of_a_decision_is_known(word: str, decision: str) -> None:
    rules = ours(f"rules: [{{id: r, decision: '{word}', match: {{labels: {{a: b}}}}}}]")

    assert rules == {"r": {"match": {"topics": ["job.*"], "labels": {"a": "b"}}, "decision": decision}}


def test_grouped_and_flat_constraints_become_the_same() -> None:
    grouped = "{budgets: {max_retries: 1}, sandbox: {network_allowlist: [b, a]}, diff: {max_files: 3}}"
    flat = "{max_retries: 1, network_allowlist: [b, a], max_files: 3}"
    rule = "rules: [{id: r, decision: allow, match: {topics: [job.a]}, constraints: %s}]"

    assert ours(rule % grouped) == ours(rule % flat)
    assert ours(rule % flat)["r"] == {
        "match": {"topics": ["job.a"]},
        "decision": "allow_with_constraints",
        "constraints": {"max_files": 3, "max_retries": 1, "network_allowlist": ["a", "b"]},
    }


def test_what_may_be_written_may_be_read() -> None:
    rules = ours("rules: [{id: r, decision: allow, constraints: {sandbox: {fs_read_only: [/r], fs_read_write: [/w]}}}]")

    assert rules["r"]["constraints"] == {"fs_read_allowlist": ["/r", "/w"], "fs_write_allowlist": ["/w"]}


def test_the_constraints_of_an_approval_become_a_rule_beside_it() -> None:
    rules = ours("rules: [{id: ask, decision: require_human, constraints: {max_lines: 9}}]")

    assert rules == {
        "ask": {"match": {"topics": ["job.*"]}, "decision": "require_approval"},
        "ask-bounds": {"match": {"topics": ["job.*"]}, "decision": "constrain", "constraints": {"max_lines": 9}},
    }


def test_approvers_are_missing_and_asked_for() -> None:
    found = imported("rules: [{id: a, decision: deny, match: {labels: {a: b}}}, {id: ask, decision: require_human}]")

    assert [change.message for change in found.changes if "approve" in change.message] == [
        "nobody can approve yet what a rule asks for: add approval: {from: {TEAM: 1}, expires_in: 1h} to each"
    ]


def test_a_stricter_later_rule_excepts_an_earlier_one() -> None:
    rules = ours(
        "rules:\n"
        "- {id: ours, match: {topics: [job.a], labels: {team: us}}, decision: allow}\n"
        "- {id: nobody, match: {topics: [job.a]}, decision: deny}\n"
    )

    assert rules["ours"] == {"match": {"topics": ["job.a"], "labels": {"team": "us"}}, "decision": "allow"}
    assert rules["nobody"] == {
        "match": {"topics": ["job.a"], "not": {"labels": {"team": "us"}}},
        "decision": "deny",
    }


def test_a_stricter_earlier_rule_needs_no_exception() -> None:
    rules = ours(
        "rules: [{id: never, match: {labels: {env: prod}}, decision: deny}, {id: else, match: {}, decision: allow}]"
    )

    assert rules["else"] == {"match": {"topics": ["job.*"]}, "decision": "allow"}


def test_velocity_becomes_a_rate_with_what_its_key_needs() -> None:
    velocity = "{max_requests: 3, window_seconds: 60, key: 'actor_id:labels.env:tenant'}"
    rules = ours(f"rules: [{{id: r, decision: throttle, velocity: {velocity}}}]")

    assert rules["r"] == {
        "match": {
            "topics": ["job.*"],
            "attributes": {"context.labels.env": {"exists": True}},
            "not": {"attributes": {"subject.id": {"exists": True, "regex": ["anonymous"]}}},
        },
        "rate": {"limit": 3, "window": "1m", "key": ["subject.id", "context.labels.env", "context.tenant"]},
        "decision": "throttle",
    }


def test_a_denial_beyond_a_rate_is_no_default() -> None:
    velocity = "{max_requests: 3, window_seconds: 60, key: topic}"
    first = "{id: a, decision: deny, match: {labels: {x: z}}}"
    rules = ours(f"rules: [{first}, {{id: r, decision: deny, velocity: {velocity}}}]")

    assert rules["r"]["rate"] == {"limit": 3, "window": "1m", "key": ["action.name"]}


def test_tiers_are_tried_before_the_order_of_the_file() -> None:
    rules = ours(
        "rules:\n"
        "- {id: all, match: {topics: [job.a]}, decision: allow}\n"
        "- {id: w, tier: workflow, selector: {workflow_id: w1}, match: {topics: [job.a]}, decision: deny}\n"
    )

    assert rules["all"] == {"match": {"topics": ["job.a"]}, "decision": "allow"}
    assert rules["w"]["match"]["attributes"] == {"context.job.workflow_id": {"exists": True, "in": ["w1"]}}
    assert "not" not in rules["w"]["match"]


def test_tenants_become_rules_where_there_are_no_others() -> None:
    rules = ours("tenants: {Acme: {allow_topics: ['job.*'], deny_topics: [job.x]}}")

    assert list(rules) == ["Acme-deny-topics", "Acme-allow-topics"]
    assert rules["Acme-deny-topics"]["decision"] == "deny"


def test_a_default_of_allow_becomes_a_rule_and_is_announced() -> None:
    found = imported("rules: [{id: r, decision: deny, match: {labels: {a: b}}}]\ndefault_decision: allow")

    assert [rule.id for rule in found.rules] == ["r", "default-allow"]
    assert any("opens all of it" in change.message for change in found.changes)


def test_rules_without_an_id_or_with_one_twice_get_one_of_their_own() -> None:
    rules = "[{decision: deny, match: {topics: [job.a]}}, {id: r, decision: deny, match: {topics: [job.b]}}"
    found = imported(f"rules: {rules}, {{id: r, decision: deny, match: {{topics: [job.c]}}}}]")

    assert [rule.id for rule in found.rules] == ["rule-1", "r", "r-2"]
    assert sum("is called" in change.message for change in found.changes) == 2


def test_a_rule_that_is_never_reached_is_left_out_and_named() -> None:
    rules = "[{id: a, match: {topics: ['job.*']}, decision: allow}, {id: b, match: {topics: [job.x]}, decision: deny}]"
    found = imported(f"rules: {rules}")

    assert [rule.id for rule in found.rules] == ["a"]
    assert any("rule b is never reached, as a takes all of it" in change.message for change in found.changes)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rules: []", "there is no rule to import"),
        ("rules: [{id: r}]", "rule has no decision"),
        ("rules: [{id: r, decision: maybe}]", "unknown decision, found the text 'maybe'"),
        (
            "rules: [{id: r, decision: allow, velocity: {max_requests: 1, window_seconds: 2, key: topic}}]",
            "only beyond",
        ),
        (
            "rules: [{id: r, decision: deny, velocity: {max_requests: 0, window_seconds: 2, key: topic}}]",
            "max_requests",
        ),
        (RULE + "deny, velocity: {max_requests: 1, window_seconds: 2}}]", "velocity has no key"),
        (
            "rules: [{id: r, decision: deny, velocity: {max_requests: 1, window_seconds: 2, key: ip}}]",
            "cannot count by",
        ),
        (RULE + "allow, constraints: {max_retries: 0}}]", "bounds nothing there"),
        (RULE + "allow, constraints: {allowed_tools: []}}]", "bounds nothing there"),
        (RULE + "allow, constraints: {max_retries: -1}}]", "at least 0"),
        (RULE + "allow, constraints: {max_retries: 1, budgets: {max_retries: 2}}}]", "second time"),
        (
            "rules: [{id: r, decision: allow, constraints: {allowed_destinations: [a], network_allowlist: [b]}}]",
            "second",
        ),
        (RULE + "deny, match: {topics: ['job.[']}}]", "never matches"),
        (RULE + "deny, match: {topics: job.a}}]", "topics: expected a list"),
        (RULE + "deny, match: {labels: {a: true}}}]", "expected text, found true"),
        (RULE + "deny, match: {actor_ids: [Anonymous]}}]", "stands for a request without actor"),
        (RULE + "deny, match: {label_threshold: {n: many}}}]", "expected a number"),
        (RULE + "deny, match: {secrets_present: maybe}}]", "expected true or false"),
        (RULE + "deny, match: [a]}]", "rules.match: expected a mapping"),
        (RULE + "deny, tier: job}]", "tier job without selector.job_id"),
        (RULE + "deny, tier: galaxy}]", "unknown tier"),
        ("default_tenant: acme\nrules: [{id: r, decision: deny}]", "of tenant default here"),
        ("default_decision: perhaps\nrules: [{id: r, decision: deny}]", "unknown default_decision"),
        ("rules: [{id: r, decision: deny}]\ntenants: {a: {deny_topics: [job.x]}}", "did nothing there"),
        ("tenants: {a: {deny_topics: [job.x]}, A: {deny_topics: [job.y]}}", "tenant A is the same as a"),
        ("rules: &x [{id: r, decision: deny}]", "anchor &x is not supported"),
        ("rules: [*x]", "alias"),
        ("a: " + "[" * 100, "nested too deeply"),
        ("\t- a", "not valid YAML"),
        ("just text", "policy: expected a mapping"),
        ("rules: [{id: r, decision: deny, decision: allow}]", "duplicate key"),
        ("rules: [" + "{decision: deny}," * 2_001 + "]", "too many rules (2001, limit 2000)"),
        (
            "rules: [{decision: deny, match: {topics: [" + ",".join(f"a{n}" for n in range(5_001)) + "]}}]",
            "too many topics and names",
        ),
        ("#" * (MAX_YAML_BYTES + 1), "file is too large"),
    ],
    ids=lambda text: text[:40],
)
def test_what_cannot_be_imported_is_refused_with_its_place(text: str, message: str) -> None:
    found = imported(text)

    assert any(message in problem.message for problem in found.refused), found.refused
    assert not found.text


def test_everything_wrong_is_said_at_once() -> None:
    text = "rules:\n- {id: a, decision: maybe, match: {predicate: x}}\n- {id: b, decision: deny, color: red}\nscan: 1\n"

    assert problems(text) == [
        "2:21: unknown decision, found the text 'maybe'",
        f"2:36: rules.match.predicate cannot be imported: {FIELDS['rules.match.predicate'].says}",
        "3:27: unknown field 'color' in rules",
        "4:1: unknown field 'scan' in policy",
    ]


def test_too_much_to_except_is_refused_with_advice() -> None:
    allows = "".join(
        f"- {{id: a{n}, decision: allow, match: {{tenants: [t{n}], capabilities: [c{n}], pack_ids: [p{n}]}}}}\n"
        for n in range(5)
    )

    found = imported(f"rules:\n{allows}- {{id: no, decision: deny, match: {{actor_types: [human]}}}}\n")

    assert [problem.message for problem in found.refused] == [
        "rule no: too much was decided by earlier, less strict rules to except it"
    ]
    assert "move rule no before" in found.refused[0].hint


def test_a_rate_before_a_stricter_rule_is_a_difference_with_examples() -> None:
    velocity = "{max_requests: 1, window_seconds: 9, key: topic}"
    found = imported(
        f"rules: [{{id: fast, decision: throttle, velocity: {velocity}}}, "
        "{id: no, match: {labels: {a: b}}, decision: deny}]"
    )

    assert found.proof
    (difference,) = found.proof.differences
    assert (difference.before, difference.before_rule) == ("throttle", "fast")
    assert (difference.after, difference.after_rule) == ("deny", "no")
    assert difference.stricter
    assert difference.examples[0]["exceeded"] == ["fast"]
    assert f"{difference.count} of" in found.text


def test_the_report_says_how_much_was_compared() -> None:
    found = imported("rules: [{id: r, decision: allow, match: {tenants: [a], labels: {e: p}}}]")

    lines = list(describe_import(found))

    assert lines[-1] == "  equal on all 36 combinations of the values the file distinguishes"
    assert import_record(found)["proof"]["equal"] is True


def test_a_large_space_is_sampled_and_says_so() -> None:
    found = imported("rules: [{id: r, decision: allow, match: {risk_tags: [a, b, c, d, e, f, g]}}]", most=700)

    assert found.proof
    assert not found.proof.exhaustive
    assert "  equal on a seeded sample of 700 of " in list(describe_import(found))[-1]


def test_the_same_file_gives_the_same_result() -> None:
    text = "rules: [{id: r, decision: allow, match: {risk_tags: [a, b, c, d, e, f, g]}}]"

    assert imported(text) == imported(text)


@pytest.mark.parametrize(
    "pattern", ["job.*" + "x" * 990, "job." + "*?" * 400, "job." + "[a-z]" * 150, "job." + "?" * 900]
)
def test_long_patterns_are_compared_too(pattern: str) -> None:
    found = imported(f"rules: [{{id: r, decision: deny, match: {{topics: ['{pattern}']}}}}]", most=20)

    assert found.refused or (found.proof and not found.proof.differences)


def test_texts_of_the_file_cannot_become_yaml_of_their_own() -> None:
    hostile = RULE + 'deny, match: {labels: {"a: b - x": "\\"}\\n#"}}, reason: "x\\n  decision: allow"}]'

    rules = ours(hostile)

    assert rules["r"]["decision"] == "deny"
    assert rules["r"]["reason"] == "x decision: allow"
