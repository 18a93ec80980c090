"""Requests that need not be decided on both sides: never one whose answers differ."""

from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from builder.simulating.difference import unaffected
from builder.simulating.flips import kind_of
from policy_core.decision import PolicyRef
from policy_core.matcher import Matcher, encode_rules, load
from policy_core.model import Clauses, Decision, HostLimits, Provisions, Rule
from policy_core.request import Request, normalise
from policy_core.testing.strategies import MOMENTS, policies, provisions, requests

POLICY = PolicyRef(bundle="", revision="")
DATA: dict[str, Any] = {"limits": {"restarts": 3}, "teams": ["sre"]}


def matcher(rules: list[Rule], beside: Provisions | None = None) -> Matcher:
    return load(encode_rules(rules), policy=POLICY, provisions=beside or Provisions())


def rule(number: int, decision: Decision = Decision.ALLOW, action: str = "", **more: Any) -> Rule:
    return Rule("p", f"r{number}", decision, match=Clauses(actions=(action or f"a{number}",)), **more)


def asked(action: str) -> Request:
    return normalise({"job": {"topic": action}}, now=0.0, host={})


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.data(), policies(), st.lists(requests, min_size=12, max_size=12))
def test_what_need_not_be_decided_never_flips(data: st.DataObject, rules: list[Rule], raws: list[Any]) -> None:
    beside = data.draw(provisions(rules, DATA))
    named = {name for each in beside.exceptions for name in each.rules}
    other = []
    for each in rules:
        fate = data.draw(st.sampled_from(["kept", "kept", "kept", "gone", "asks", "dry run turned"]))
        if fate == "asks" and each.decision is Decision.DENY:
            other.append(msgspec.structs.replace(each, decision=Decision.REQUIRE_APPROVAL))
        elif fate == "dry run turned":
            other.append(msgspec.structs.replace(each, dry_run=not each.dry_run))
        elif fate != "gone" or each.name in named:
            other.append(each)
    before, after = matcher(rules, beside), matcher(other, beside)
    is_unaffected = unaffected(before, after)

    for raw, now in zip(raws, MOMENTS, strict=False):
        request = normalise(raw, now=now, host={"env": "prod"})
        if is_unaffected(request):
            assert kind_of(before.decide(request), after.decide(request)) is None


def test_requests_no_changed_rule_is_about_are_told() -> None:
    rules = [rule(number) for number in range(4)]
    is_unaffected = unaffected(matcher(rules), matcher([*rules[:3], rule(3, Decision.DENY)]))

    assert [is_unaffected(asked(f"a{number}")) for number in range(4)] == [True, True, True, False]


def test_a_rule_that_is_new_or_gone_is_a_difference() -> None:
    rules = [rule(number) for number in range(4)]

    assert not unaffected(matcher(rules), matcher(rules[:3]))(asked("a3"))
    assert not unaffected(matcher(rules[:3]), matcher(rules))(asked("a3"))


def test_a_rule_in_error_is_not_silent() -> None:
    rules = [rule(number) for number in range(4)]
    failing = rule(4, Decision.ALLOW, "a4", when=["<", ["var", "context", "n"], 3])

    assert not unaffected(matcher(rules), matcher([*rules, failing]))(asked("a4"))


def test_a_reason_code_of_the_policy_does_not_pass_for_silence() -> None:
    rules = [rule(number) for number in range(4)]
    changed = rule(3, Decision.DENY, reason_code="no_matching_rule")

    assert not unaffected(matcher(rules), matcher([*rules[:3], changed]))(asked("a3"))


def test_nothing_is_told_where_more_than_rules_differ() -> None:
    rules = [rule(number) for number in range(4)]

    assert not unaffected(matcher(rules), matcher(rules, Provisions(data={"a": 1})))(asked("a0"))


def test_limits_for_hosts_flip_nothing() -> None:
    rules = [rule(number) for number in range(4)]

    assert unaffected(matcher(rules), matcher(rules, Provisions(hosts=HostLimits(60, {"prod": 3}))))(asked("a0"))


def test_nothing_is_told_where_rules_stand_in_another_order() -> None:
    rules = [rule(number) for number in range(4)]

    assert not unaffected(matcher(rules), matcher(rules[::-1]))(asked("a0"))


def test_nothing_is_told_where_most_rules_differ() -> None:
    rules = [rule(number) for number in range(4)]
    others = [rule(number, Decision.DENY) for number in range(4)]

    assert not unaffected(matcher(rules), matcher(others))(asked("zzz"))
