"""The decision semantics, point by point, on the fast matcher."""

import msgspec
import pytest

from policy_core.condition import compile_condition
from policy_core.decision import DryRun, PolicyRef
from policy_core.matcher import encode_rules, load
from policy_core.matcher import index as matcher_index
from policy_core.model import Classification, Clauses, Decision, EntityClauses, Provisions, Remediation, Rule
from policy_core.request import normalise

POLICY = PolicyRef(bundle="sha256:0", revision="abc", channel="prod", release=3)
EXEC = Clauses(actions=("job.exec.*",))
NEEDS_TENANT = Clauses(actions=("job.exec.*",), tenants=("acme",))


def rule(name, decision, match=EXEC, **fields):
    policy, _, identifier = name.partition("/")
    return Rule(policy=policy, id=identifier, decision=Decision(decision), match=match, **fields)


def decide(rules, *, action="job.exec.shell", context=None, subject=None, resource=None):
    matcher = load(encode_rules(sorted(rules, key=lambda rule: (not rule.baseline, rule.policy))), policy=POLICY)
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


def test_a_tie_goes_to_the_baseline_tier_first():
    answer = decide([DENY, rule("z/base", "deny", baseline=True, reason="never")])

    assert (answer.matched_rule, answer.applied_rules) == ("z/base", ["z/base", "b/deny"])


def test_a_dry_run_rule_is_reported_and_never_decides():
    answer = decide([ALLOW, rule("b/trial", "deny", dry_run=True, gate="scope")])

    assert (answer.decision, answer.matched_rule, answer.applied_rules) == ("allow", "a/allow", ["a/allow"])
    assert answer.dry_run == DryRun(Decision.DENY, "b/trial")
    assert answer.gates == {}


def test_a_dry_run_grant_grants_nothing_and_its_constraints_bind_nobody():
    cap = rule("b/cap", "allow_with_constraints", constraints={"max_retries": 1}, dry_run=True)

    assert decide([cap]).decision == "deny"
    assert decide([cap]).dry_run == DryRun(Decision.ALLOW_WITH_CONSTRAINTS, "b/cap")
    assert decide([ALLOW, cap]).constraints == {}


def test_a_dry_run_rule_in_error_is_no_error_of_the_answer():
    answer = decide([ALLOW, rule("b/trial", "deny", NEEDS_TENANT, dry_run=True)])

    assert (answer.decision, answer.errors) == ("allow", [])
    assert answer.dry_run == DryRun(Decision.DENY, "b/trial")


def test_without_a_dry_run_rule_near_the_request_nothing_is_said_about_one():
    other = rule("b/trial", "deny", Clauses(actions=("other",)), dry_run=True)

    assert decide([ALLOW, other]).dry_run is None


@pytest.mark.parametrize("decision", ["deny", "require_approval", "throttle", "allow"])
def test_a_rule_that_skips_what_is_missing_does_not_apply_in_error(decision):
    answer = decide([ALLOW, rule("b/skip", decision, NEEDS_TENANT, skip_errors=True)])

    assert (answer.decision, answer.applied_rules, answer.errors) == ("allow", ["a/allow"], [])


def test_constraints_of_a_rule_that_skips_what_is_missing_do_not_bind():
    cap = rule("b/cap", "constrain", NEEDS_TENANT, constraints={"max_retries": 1}, skip_errors=True)

    assert decide([ALLOW, cap]).constraints == {}


def test_constraints_that_must_agree_and_do_not_are_a_deny_no_rule_gave():
    rules = [
        ALLOW,
        rule("b/one", "constrain", constraints={"x_pool": "red", "max_retries": 1}),
        rule("c/two", "constrain", constraints={"x_pool": "red"}),
        rule("d/three", "constrain", constraints={"x_pool": "blue"}, gate="scope"),
    ]

    answer = decide(rules)

    assert (answer.decision, answer.allowed, answer.matched_rule) == ("deny", False, "")
    assert answer.reason_code == "constraint_conflict"
    assert answer.reason == "constraint x_pool: b/one and d/three do not agree"
    assert (answer.constraints, answer.gates) == ({}, {"scope": "narrowed"})
    assert answer.applied_rules == ["a/allow", "b/one", "c/two", "d/three"]


def test_a_conflict_denies_instead_of_asking_for_an_approval_and_not_instead_of_a_deny():
    conflict = [rule(f"x/{value}", "constrain", constraints={"run_as": value}) for value in ("bot", "root")]

    ask = rule("c/ask", "require_approval", remediations=(Remediation("a", "Ask"),))

    assert decide([ask, *conflict]).reason_code == "constraint_conflict"
    assert decide([ask, *conflict]).remediations == ()
    assert decide([DENY, *conflict]).matched_rule == "b/deny"


@pytest.mark.parametrize(
    ("decisions", "word"),
    [
        (["allow"], "passed"),
        (["allow", "constrain"], "narrowed"),
        (["allow_with_constraints"], "narrowed"),
        (["constrain", "throttle"], "throttled"),
        (["throttle", "require_approval", "allow"], "asked"),
        (["allow", "require_approval", "deny"], "denied"),
    ],
)
def test_a_gate_says_the_strongest_word_of_its_rules(decisions, word):
    rules = [
        rule(f"p{number}/r", decision, gate="identity", constraints=constraints(decision))
        for number, decision in enumerate(decisions)
    ]
    elsewhere = rule("q/r", "deny", Clauses(actions=("other",)), gate="reversibility")

    assert decide([*rules, elsewhere]).gates == {"identity": word}


def constraints(decision):
    return {"max_retries": 1} if decision in {"constrain", "allow_with_constraints"} else {}


def test_a_gate_in_error_says_what_the_error_does():
    assert decide([ALLOW, rule("b/slow", "throttle", NEEDS_TENANT, gate="scope")]).gates == {"scope": "denied"}
    assert decide([ALLOW, rule("b/may", "allow", NEEDS_TENANT, gate="scope")]).gates == {}


def test_the_answer_has_the_remediations_of_the_rule_that_decides():
    first, second = (Remediation(name, name.title()) for name in ("first", "second"))
    rules = [ALLOW, rule("b/no", "deny", remediations=(first,)), rule("c/no", "deny", remediations=(second,))]

    assert decide(rules).remediations == (first,)


def test_not_holds_where_none_of_its_clauses_does():
    outside = Clauses(actions=("job.exec.*",), none_of=Clauses(tenants=("acme",), risk_tags=("prod",)))
    rules = [rule("a/allow", "allow", outside)]

    decisions = [
        decide(rules, context=context).decision
        for context in ({"tenant": "x"}, {"tenant": "acme"}, {"tenant": "x", "risk_tags": ["prod"]}, {})
    ]

    assert decisions == ["allow", "deny", "deny", "deny"]
    assert decide(rules).errors
    assert not decide(rules, context={"risk_tags": ["prod"]}).errors  # false dominates


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

    monkeypatch.setattr("policy_core.matcher.judging.compile_condition", counted)
    condition = [">", ["var", "context", "load"], 1]
    matcher = load(encode_rules([rule("a/deny", "deny", when=condition)]), policy=POLICY)
    request = normalise({"job": {"topic": "job.exec.x"}}, now=0.0, host={})

    answers = [matcher.decide(request) for _ in range(3)]

    assert [answer.errors[0].message for answer in answers] == ["context.load: absent"] * 3
    assert compiled == [condition]


def test_whoever_changes_the_answer_they_got_changes_no_other_one():
    matcher = load(encode_rules([ALLOW, NARROW]), policy=POLICY)
    request = normalise({"job": {"topic": "job.exec.x"}}, now=0.0, host={})
    first = matcher.decide(request, decision_id="1")
    untouched = msgspec.json.encode(first)

    first.constraints["max_targets"] = 99
    first.gates["scope"] = "passed"
    first.applied_rules.clear()
    first.errors.append("x")
    first.decision, first.allowed = "allow", True

    assert msgspec.json.encode(matcher.decide(request, decision_id="1")) == untouched


def test_remembered_action_names_are_bounded(monkeypatch):
    monkeypatch.setattr(matcher_index, "MAX_REMEMBERED_ACTIONS", 10)
    matcher = load(encode_rules([ALLOW]), policy=POLICY)

    for number in range(100):
        raw = {"job": {"topic": f"job.exec.{number}"}}
        assert matcher.decide(normalise(raw, now=0.0, host={})).decision == "allow"

    assert len(matcher._index._plans) <= 10


def test_action_names_that_fill_the_memory_are_not_remembered():
    provisions = Provisions(classifications=(Classification("c", ("exec",), actions=("job.exec.*",)),))
    matcher = load(encode_rules([ALLOW]), policy=POLICY, provisions=provisions)

    request = normalise({"job": {"topic": "job.exec." + "x" * 1_000}}, now=0.0, host={})

    assert matcher.decide(request).decision == "allow"
    assert matcher.classified(request).tags == {"exec"}
    assert (len(matcher._index._plans), len(matcher._classify._by_action)) == (0, 0)


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
    matcher = load(encode_rules([ALLOW, DENY]), policy=POLICY)
    steps = matcher.dismantle()
    next(steps)

    with pytest.raises(AttributeError):
        matcher.decide(normalise({"job": {"topic": "job.exec.x"}}, now=0.0, host={}))

    assert list(steps)[-1:] == [None]
    assert list(matcher.rules) == []
