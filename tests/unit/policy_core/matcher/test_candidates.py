"""What the index gives for an explanation: every rule that applies or is in error, and never a rule twice."""

from hypothesis import HealthCheck, given, settings

from policy_core.decision import PolicyRef
from policy_core.matcher import encode_rules, load
from policy_core.model import Clauses, Decision, Provisions, Rule
from policy_core.request import normalise
from policy_core.testing.strategies import policies, requests
from policy_core.trace import Outcome, trace_rule

POLICY = PolicyRef(bundle="", revision="")
DATA = {"limits": {"restarts": 3}, "teams": ["sre"]}


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(policies(), requests)
def test_every_rule_that_applies_or_is_in_error_is_a_candidate(rules, raw):
    matcher = load(encode_rules(rules), policy=POLICY, provisions=Provisions(data=DATA))
    request = normalise(raw, now=1_790_000_000.0, host={"env": "prod"})

    names = [rule.name for rule in matcher.candidates(request)]

    concerned = [rule.name for rule in rules if trace_rule(rule, request, DATA).outcome is not Outcome.FALSE]
    assert set(concerned) <= set(names)
    assert names == [rule.name for rule in rules if rule.name in names]


def test_rules_about_other_requests_are_left_out():
    rules = [
        Rule("p", str(number), Decision.ALLOW, match=Clauses(tenants=(f"t{number}",), actions=("a",)))
        for number in range(9)
    ]
    matcher = load(encode_rules(rules), policy=POLICY)

    found = matcher.candidates(normalise({"tenant_id": "t3", "job": {"topic": "a"}}, now=0.0, host={}))

    assert [rule.id for rule in found] == ["3"]
