"""The decision semantics, point by point, on the fast matcher."""

import msgspec
import pytest

from policy_core.condition import compile_condition
from policy_core.decision import PolicyRef
from policy_core.matcher import encode_rules, load
from policy_core.matcher import index as matcher_index
from policy_core.model import Clauses, Decision, EntityClauses, Rule
from policy_core.request import normalise

POLICY = PolicyRef(bundle="sha256:0", revision="abc", channel="prod", release=3)
EXEC = Clauses(actions=("job.exec.*",))
NEEDS_TENANT = Clauses(actions=("job.exec.*",), tenants=("acme",))


def rule(name, decision, match=EXEC, **fields):
    policy, _, identifier = name.partition("/")
    return Rule(policy=policy, id=identifier, decision=Decision(decision), match=match, **fields)


def decide(rules, *, action="job.exec.shell", context=None, subject=None, resource=None):
    matcher = load(encode_rules(sorted(rules, key=lambda rule: rule.policy)), data={}, policy=POLICY)
    raw = {
        "subject": {"type": "agent", "id": "bot", "properties": subject or {}},
        "action": {"name": action},
        "resource": {"type": "job", "id": "j", "properties": resource or {}},
        "context": context or {},
    }
    return matcher.decide(normalise(raw, now=0.0, host={}), decision_id="d1")


ALLOW = rule("a/allow", "allow")
DENY = rule("b/deny", "deny", reason="no", reason_code="identity_unknown")
ASK = rule("c/ask", "require_approval")
THROTTLE = rule("d/slow", "throttle")
CAP = rule("e/cap", "allow_with_constraints", constraints={"max_retries": 3, "network_allowlist": ("a", "b")})
NARROW = rule("f/narrow", "constrain", constraints={"max_retries": 1, "network_allowlist": ("b", "c")})


@pytest.mark.parametrize(
    ("rules", "decision", "matched"),
    [
        ([ALLOW], "allow", "a/allow"),
        ([ALLOW, THROTTLE], "throttle", "d/slow"),
        ([ALLOW, ASK, THROTTLE], "require_approval", "c/ask"),
        ([ALLOW, DENY, ASK, THROTTLE], "deny", "b/deny"),
        ([CAP], "allow_with_constraints", "e/cap"),
        ([ALLOW, NARROW], "allow_with_constraints", "a/allow"),
        ([ALLOW, CAP], "allow_with_constraints", "a/allow"),
        ([NARROW], "deny", ""),
        ([], "deny", ""),
    ],
)
def test_the_strongest_decision_wins_whatever_the_order(rules, decision, matched):
    answer = decide(rules)

    assert (answer.decision, answer.matched_rule) == (decision, matched)
    assert answer.allowed == (decision in {"allow", "allow_with_constraints"})


def test_without_a_granting_rule_the_answer_is_deny():
    assert decide([]).reason_code == "no_matching_rule"


def test_the_answer_names_all_rules_that_apply_in_order():
    assert decide([ALLOW, DENY, NARROW]).applied_rules == ["a/allow", "b/deny", "f/narrow"]


def test_the_order_the_rules_are_written_in_does_not_matter():
    assert decide([NARROW, ASK, ALLOW, CAP]) == decide([CAP, ALLOW, NARROW, ASK])


def test_a_tie_goes_to_the_first_policy_then_to_the_first_position():
    rules = [rule("a/z", "deny", reason="1"), rule("a/b", "deny", reason="2"), rule("b/a", "deny", reason="3")]

    assert decide(rules).matched_rule == "a/z"


def test_constraints_merge_by_tightening():
    assert decide([ALLOW, CAP, NARROW]).constraints == {"max_retries": 1, "network_allowlist": ("b",)}


def test_constraints_come_with_require_approval_but_not_with_deny_or_throttle():
    assert decide([ASK, NARROW]).constraints == {"max_retries": 1, "network_allowlist": ("b", "c")}
    assert decide([CAP, DENY]).constraints == {}
    assert decide([CAP, THROTTLE]).constraints == {}


@pytest.mark.parametrize(
    ("decision", "expected"),
    [("deny", "deny"), ("require_approval", "require_approval"), ("throttle", "deny"), ("allow", "allow")],
)
def test_a_restriction_in_error_applies_and_a_grant_in_error_does_not(decision, expected):
    answer = decide([ALLOW, rule("b/x", decision, NEEDS_TENANT)])

    assert answer.decision == expected
    assert answer.errors[0].rule == "b/x"
    assert answer.errors[0].message == "context.tenant: absent"
    assert answer.reason_code == ("matched_rule" if expected == "allow" else "evaluation_error")


def test_an_error_alone_never_grants():
    answer = decide([rule("a/x", "allow", NEEDS_TENANT)])

    assert (answer.decision, answer.reason_code, answer.applied_rules) == ("deny", "no_matching_rule", [])


def test_constraints_of_a_grant_in_error_still_narrow():
    in_error = msgspec.structs.replace(CAP, match=NEEDS_TENANT)

    assert decide([ALLOW, in_error]).constraints == {"max_retries": 3, "network_allowlist": ("a", "b")}


def test_false_dominates_error():
    clauses = Clauses(actions=("job.exec.*",), tenants=("acme",), risk_tags=("prod",))

    assert decide([ALLOW, rule("b/x", "deny", clauses)]).errors == []


def test_the_negation_of_an_error_is_an_error():
    exempt = rule("b/x", "deny", unless=Clauses(tenants=("acme",)))

    assert decide([ALLOW, exempt], context={"tenant": "acme"}).decision == "allow"
    assert decide([ALLOW, exempt], context={"tenant": "other"}).reason_code == "matched_rule"
    assert decide([ALLOW, exempt]).reason_code == "evaluation_error"


def test_sets_are_empty_when_absent_and_errors_when_malformed():
    tagged = rule("b/x", "deny", Clauses(risk_tags=("prod",)))

    assert decide([ALLOW, tagged]).decision == "allow"
    assert decide([ALLOW, tagged], context={"risk_tags": ["prod", "x"]}).decision == "deny"
    assert decide([ALLOW, tagged], context={"risk_tags": "prod"}).reason_code == "evaluation_error"


@pytest.mark.parametrize(
    ("value", "held"), [(1, True), (1.0, True), (True, None), ("1", None), (2, False), (None, None)]
)
def test_properties_are_compared_by_type_and_value(value, held):
    clauses = Clauses(resource=EntityClauses(properties={"size": (1,)}))
    answer = decide([ALLOW, rule("b/x", "deny", clauses)], resource={"size": value})

    assert answer.decision == ("allow" if held is False else "deny")
    assert bool(answer.errors) == (held is None)


def test_a_rule_that_two_of_its_patterns_reach_is_listed_once():
    assert decide([rule("a/x", "allow", Clauses(actions=("job.*", "job.exec.*", "*.shell")))]).applied_rules == ["a/x"]


def test_action_names_that_look_like_patterns_are_just_names():
    rules = [
        rule("a/x", "deny", Clauses(actions=("job.exec.?",))),
        rule("b/y", "allow", Clauses(actions=("job.exec.ab",))),
    ]

    assert decide(rules, action="job.exec.?").matched_rule == "a/x"
    assert decide(rules, action="job.exec.*").matched_rule == "a/x"
    assert decide(rules, action="job.exec.ab").matched_rule == "b/y"


def test_reported_errors_are_bounded():
    rules = [rule(f"a/r{number:02}", "deny", NEEDS_TENANT) for number in range(50)]

    assert len(decide(rules).errors) == 20


def test_a_condition_in_error_is_compiled_once_to_say_why_whatever_requests_come(monkeypatch):
    compiled = []

    def counted(condition, data):
        compiled.append(condition)
        return compile_condition(condition, data)

    monkeypatch.setattr("policy_core.matcher.matcher.compile_condition", counted)
    condition = [">", ["var", "context", "load"], 1]
    matcher = load(encode_rules([rule("a/deny", "deny", when=condition)]), data={}, policy=POLICY)
    request = normalise({"job": {"topic": "job.exec.x"}}, now=0.0, host={})

    answers = [matcher.decide(request) for _ in range(3)]

    assert [answer.errors[0].message for answer in answers] == ["context.load: absent"] * 3
    assert compiled == [condition]


def test_remembered_action_names_are_bounded(monkeypatch):
    monkeypatch.setattr(matcher_index, "MAX_REMEMBERED_ACTIONS", 10)
    matcher = load(encode_rules([ALLOW]), data={}, policy=POLICY)

    for number in range(100):
        raw = {"job": {"topic": f"job.exec.{number}"}}
        assert matcher.decide(normalise(raw, now=0.0, host={})).decision == "allow"

    assert len(matcher._index._plans) <= 10


def test_the_answer_says_which_policy_gave_it_and_omits_what_is_empty():
    assert msgspec.json.decode(msgspec.json.encode(decide([ALLOW]))) == {
        "decision": "allow",
        "allowed": True,
        "reason_code": "matched_rule",
        "matched_rule": "a/allow",
        "applied_rules": ["a/allow"],
        "decision_id": "d1",
        "policy": {"bundle": "sha256:0", "revision": "abc", "channel": "prod", "release": 3},
    }


def test_a_dismantled_matcher_answers_nothing_rather_than_something_wrong():
    matcher = load(encode_rules([ALLOW, DENY]), data={}, policy=POLICY)
    steps = matcher.dismantle()
    next(steps)

    with pytest.raises(AttributeError):
        matcher.decide(normalise({"job": {"topic": "job.exec.x"}}, now=0.0, host={}))

    assert list(steps)[-1:] == [None]
    assert list(matcher.rules) == []
