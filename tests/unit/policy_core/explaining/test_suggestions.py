"""What would lead to another decision: never untrue, as small as it gets, and found where people look first."""

import copy
import datetime
from collections import Counter
from dataclasses import dataclass

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from policy_core.decision import PolicyRef
from policy_core.explaining import MAX_SUGGESTIONS, explain, explanation_record, suggestions
from policy_core.matcher import encode_rules, load
from policy_core.memory import Assumed, ForgottenError, Oblivious
from policy_core.model import (
    Approval,
    Approver,
    AttributeTests,
    Classification,
    Clauses,
    Decision,
    EntityClauses,
    PolicyException,
    Provisions,
    Rate,
    Rule,
    TimeWindow,
)
from policy_core.request import normalise
from policy_core.testing import oracle
from policy_core.testing.strategies import MOMENTS, policies, provisions, requests

POLICY = PolicyRef(bundle="", revision="r")
NOW = 1_790_000_000.0  # 2026-09-21T14:13:20Z, a Monday
DATA = {"limits": {"restarts": 3}, "teams": ["sre", "dba"]}
ANA = Approver("ana", "a" * 64, ("security",), ("ana",))
BO = Approver("bo", "b" * 64, ("platform",), ("bo",))
ALLOW = {"decision": Decision.ALLOW}


def _rule(
    number, *, decision=Decision.DENY, when=None, rate=None, approval=None, unless=None, constraints=None, **match
):
    return Rule(
        policy="p",
        id=f"r{number}",
        decision=decision,
        match=Clauses(**match),
        unless=unless,
        when=when,
        rate=rate,
        approval=approval,
        constraints=constraints or {},
    )


def _policy(*rules):
    return [_rule(number, **rule) for number, rule in enumerate(rules)]


def _request(**changed):
    parts = {"roles": [], "tags": [], "properties": {}, "context": {}} | changed
    return {
        "subject": {"type": "agent", "id": "bot", "properties": {"roles": parts["roles"]}},
        "action": {"name": "service.restart"},
        "resource": {"type": "service", "id": "web", "properties": parts["properties"]},
        "context": {"risk_tags": parts["tags"], **parts["context"]},
    }


def _explain(rules, raw, *, now=NOW, memory=None, beside=None):
    matcher = load(encode_rules(rules), policy=POLICY, provisions=beside or Provisions(data=DATA))
    return explain(matcher, normalise(raw, now=now, host={}), memory=memory or Oblivious())


def _texts(rules, raw, **more):
    return [str(suggestion) for suggestion in _explain(rules, raw, **more).suggestions]


@pytest.mark.parametrize(
    ("clause", "request_", "text"),
    [
        ({"risk_tags": ("reviewed",)}, {}, "with reviewed in context.risk_tags"),
        ({"risk_tags_any": ("a", "b")}, {}, "with a in context.risk_tags"),
        ({"requires": ("mfa",)}, {}, "with mfa in context.requires"),
        ({"tenants": ("ac*",)}, {"context": {"tenant": "x"}}, "with context.tenant = acx"),
        ({"labels": {"env": "dev"}}, {"context": {"labels": {"env": "prod"}}}, "with context.labels.env = dev"),
        ({"subject": EntityClauses(roles=("sre",))}, {"roles": ["dev"]}, "with sre in subject.properties.roles"),
        ({"subject": EntityClauses(types=("user",))}, {}, "with subject.type = user"),
        ({"resource": EntityClauses(properties={"env": ("dev",)})}, {}, "with resource.properties.env = dev"),
        ({"attributes": {"context.n": AttributeTests(le=3)}}, {"context": {"n": 9}}, "with context.n = 3"),
        ({"attributes": {"context.n": AttributeTests(gt=3)}}, {"context": {"n": 1}}, "with context.n = 4"),
        ({"attributes": {"context.n": AttributeTests(ne=3)}}, {"context": {"n": 3}}, "with context.n = 4"),
        ({"attributes": {"context.x": AttributeTests(exists=False)}}, {"context": {"x": 1}}, "without context.x"),
        ({"attributes": {"context.ip": AttributeTests(cidr=("10.0.0.0/8",))}}, {}, "with context.ip = 10.0.0.0"),
        ({"none_of": Clauses(risk_tags=("prod",))}, {"tags": ["prod"]}, "without prod in context.risk_tags"),
        ({"time": TimeWindow(between=(1320, 360))}, {}, "at 2026-09-21T22:00:00Z"),
        ({"time": TimeWindow(days=("fri",), tz="Europe/Berlin")}, {}, "at 2026-09-24T22:00:00Z"),
    ],
)
def test_a_grant_says_what_it_still_needs(clause, request_, text):
    assert _texts(_policy(ALLOW | clause), _request(**request_))[0] == f"{text}: allow (p/r0)"


@pytest.mark.parametrize(
    ("condition", "properties", "text"),
    [
        (["<", ["var", "resource", "properties", "n"], 3], {"n": 7}, "with resource.properties.n = 2"),
        ([">=", 3, ["var", "resource", "properties", "n"]], {"n": 7}, "with resource.properties.n = 3"),
        (["in", "sre", ["var", "subject", "properties", "roles"]], {}, "with sre in subject.properties.roles"),
        (["==", ["var", "resource", "properties", "a"], "x"], {}, "with resource.properties.a = x"),
        (["!", ["==", ["var", "context", "a"], True]], {}, "with context.a = false"),
        (["has", ["var", "resource", "properties"], "a"], {}, "with resource.properties.a = other"),
        (["<=", ["var", "resource", "properties", "n"], ["var", "data", "limits", "restarts"]], {"n": 9},
         "with resource.properties.n = 3"),
        (["in", ["var", "resource", "properties", "t"], ["var", "data", "teams"]], {"t": "x"},
         "with resource.properties.t = sre"),
        ([">", ["var", "now"], ["timestamp", 1_790_000_100_000_000]], {}, "at 2026-09-21T14:15:01Z"),
    ],
)  # fmt: skip
def test_a_condition_says_what_it_still_needs(condition, properties, text):
    assert f"{text}: allow (p/r0)" in _texts(_policy(ALLOW | {"when": condition}), _request(properties=properties))


def test_a_denied_request_shows_how_to_stay_clear_of_the_denial():
    rules = _policy(ALLOW, {"risk_tags": ("prod",)})

    assert _texts(rules, _request(tags=["prod"])) == ["without prod in context.risk_tags: allow (p/r0)"]


def test_a_denial_for_lack_of_a_fact_shows_which_value_would_do():
    rules = _policy(ALLOW, {"attributes": {"resource.properties.env": AttributeTests(eq="prod")}})

    assert _texts(rules, _request()) == ["with resource.properties.env = other: allow (p/r0)"]


def test_unless_shows_what_would_spare_the_request():
    rules = _policy(ALLOW, {"unless": Clauses(subject=EntityClauses(types=("user",)))})

    assert _texts(rules, _request()) == ["with subject.type = user: allow (p/r0)"]


def test_changes_that_only_help_together_are_named_together():
    rules = _policy(ALLOW | {"risk_tags": ("a", "b")})

    assert _texts(rules, _request()) == ["with a in context.risk_tags and with b in context.risk_tags: allow (p/r0)"]


def test_a_step_that_only_softens_comes_before_the_one_that_allows():
    ask = {"decision": Decision.REQUIRE_APPROVAL, "attributes": {"context.n": AttributeTests(gt=3)}}
    rules = _policy(ALLOW, ask, {"risk_tags": ("prod",)})

    assert _texts(rules, _request(tags=["prod"], context={"n": 4})) == [
        "without prod in context.risk_tags: require_approval (p/r1)",
        "with context.n = 3 and without prod in context.risk_tags: allow (p/r0)",
    ]


def test_a_refused_request_is_not_shown_the_way_to_a_denial():
    ask = {"decision": Decision.REQUIRE_APPROVAL}
    rules = _policy(ask, {"risk_tags": ("prod",)}, ALLOW | {"subject": EntityClauses(types=("user",))})

    assert _texts(rules, _request()) == []


def test_an_allowed_request_shows_what_would_stop_it():
    rules = _policy(ALLOW | {"subject": EntityClauses(roles=("sre",))}, {"risk_tags": ("prod",)})

    assert _texts(rules, _request(roles=["sre"])) == [
        "without sre in subject.properties.roles: deny (no rule grants it)",
        "with prod in context.risk_tags: deny (p/r1)",
    ]


def test_an_ask_names_approvers_who_would_satisfy_it():
    approval = Approval({"security": 1, "platform": 1}, 3600)
    rules = _policy({"decision": Decision.REQUIRE_APPROVAL, "approval": approval})

    texts = _texts(rules, _request(), beside=Provisions(approvers=(ANA, BO)))

    assert texts == ["approved by ana and bo: allow (p/r0)"]


def test_nobody_is_suggested_to_approve_for_themselves():
    rules = _policy({"decision": Decision.REQUIRE_APPROVAL, "approval": Approval({"security": 1}, 3600)})
    raw = _request()
    raw["subject"]["id"] = "ana"

    assert _texts(rules, raw, beside=Provisions(approvers=(ANA, BO))) == []


def test_a_reached_rate_says_when_it_may_be_over():
    class Counted(Oblivious):
        def retry_after(self, rule, key, now):
            return max(0.0, NOW + 90.5 - now) or None

    rules = _policy(ALLOW, {"decision": Decision.THROTTLE, "rate": Rate(1, 3600, ("resource.id",))})

    assert _texts(rules, _request(), memory=Counted()) == ["at 2026-09-21T14:14:51Z: allow (p/r0)"]


def test_a_tag_that_the_policy_itself_gives_is_not_suggested_away():
    rules = _policy(ALLOW, {"risk_tags": ("prod",)})
    beside = Provisions(classifications=(Classification("c", ("prod",), actions=("service.*",)),))

    assert _texts(rules, _request(tags=["prod"]), beside=beside) == []


def test_the_end_of_an_exception_is_not_mistaken_for_a_rule():
    rules = _policy(ALLOW, {"subject": EntityClauses(types=("agent",))})
    exception = PolicyException("e", ("p/r1",), Clauses(), 0, 2_000_000_000)

    explanation = _explain(rules, _request(), beside=Provisions(exceptions=(exception,)))

    assert explanation.answer.allowed
    assert all(not suggestion.answer.allowed for suggestion in explanation.suggestions)


def test_the_action_and_its_grants_are_left_alone():
    rules = _policy(
        ALLOW | {"attributes": {"action.name": AttributeTests(eq="service.read")}},
        ALLOW | {"attributes": {"context.grants": AttributeTests(exists=True)}},
    )

    assert _texts(rules, _request()) == []


def test_a_dry_run_rule_is_not_a_way_to_another_decision():
    rules = [msgspec.structs.replace(rule, dry_run=True) for rule in _policy(ALLOW | {"risk_tags": ("a",)})]

    assert _texts(rules, _request()) == []


def test_a_request_no_rule_is_about_has_no_suggestion():
    assert _texts(_policy(ALLOW | {"actions": ("service.read",)}), _request()) == []


def test_the_search_ends_however_many_rules_stand_in_the_way(monkeypatch):
    monkeypatch.setattr(suggestions, "MAX_DECISIONS", 50)
    rules = _policy(ALLOW, *({"risk_tags": (f"t{number}",)} for number in range(40)))
    matcher = load(encode_rules(rules), policy=POLICY)
    pauses = Counter()

    explanation = explain(
        matcher,
        normalise(_request(tags=[f"t{number}" for number in range(40)]), now=NOW, host={}),
        pause=lambda: pauses.update("p"),
    )

    assert explanation.suggestions == ()
    assert pauses["p"] <= 50 + 3


def test_explaining_counts_nothing_and_spends_nothing():
    class Strict(Assumed):
        def count(self, rule, key, now, *, reached):
            raise AssertionError

        def spend(self, verdict, now):
            raise AssertionError

    rules = _policy(
        ALLOW,
        {"decision": Decision.THROTTLE, "rate": Rate(9, 60, ("resource.id",))},
        {"decision": Decision.REQUIRE_APPROVAL, "approval": Approval({"security": 1}, 60)},
    )

    explanation = _explain(rules, _request(), memory=Strict({}, ("ana",)), beside=Provisions(approvers=(ANA, BO)))

    assert explanation.answer.allowed


@dataclass(frozen=True)
class Since(Assumed):
    """All was counted at one moment, and is over a window later."""

    moment: float = NOW

    def retry_after(self, rule, key, now):
        window_s = Assumed.retry_after(self, rule, key, now)
        left = None if window_s is None else window_s - (now - self.moment)
        return left if left is not None and left > 0 else None


def _changed(raw, now, approved, change):
    """Make a change as its record says it, on the request as it was sent."""
    if change["change"] == "at":
        return raw, datetime.datetime.fromisoformat(change["value"]).timestamp(), approved
    if change["change"] == "grant":
        return raw, now, tuple(change["value"])
    raw = copy.deepcopy(raw)
    *parents, last = change["path"]
    part = raw
    for name in parents:
        if part.get(name) is None:
            part[name] = {}
        part = part[name]
    if change["change"] == "set":
        part[last] = change["value"]
    elif change["change"] == "unset":
        del part[last]
    elif change["change"] == "add":
        held = part.get(last)
        part[last] = [*(held if type(held) is list else []), change["value"]]
    else:
        part[last] = [item for item in part[last] if item != change["value"]]
    return raw, now, approved


@settings(
    max_examples=150,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(st.data(), policies(), requests, st.sampled_from(MOMENTS))
def test_every_suggestion_really_leads_to_the_decision_it_claims(data, rules, raw, now):
    beside = data.draw(provisions(rules, DATA))
    counted = {rule.name: data.draw(st.integers(0, 3)) for rule in rules if rule.rate is not None}
    matcher = load(encode_rules(rules), policy=POLICY, provisions=beside)
    request = normalise(raw, now=now, host={"env": "prod"})

    explanation = explain(matcher, request, memory=Since(counted, moment=now))

    record = msgspec.json.decode(msgspec.json.encode(explanation_record(explanation)))
    assert len(record["suggestions"]) <= MAX_SUGGESTIONS
    for suggestion in record["suggestions"]:
        situation = raw, now, ()
        for change in suggestion["changes"]:
            situation = _changed(*situation, change)
        changed, moment, approved = situation
        answer = oracle.decide(
            matcher.rules,
            normalise(changed, now=moment, host={"env": "prod"}),
            policy=POLICY,
            provisions=beside,
            memory=Since(counted, approved, now),
        )
        assert answer.decision == suggestion["decision"] != explanation.answer.decision
        assert answer.matched_rule == suggestion["matched_rule"]


def test_no_memory_is_asked_about_another_time_than_now():
    class Dated(Oblivious):
        def retry_after(self, rule, key, now):
            assert now == NOW
            return 90.5

    rules = _policy(
        ALLOW,
        {"decision": Decision.THROTTLE, "rate": Rate(1, 3600, ("resource.id",))},
        {"time": TimeWindow(before=NOW + 600)},
    )

    assert _texts(rules, _request(), memory=Dated())[-1] == "at 2026-09-21T14:23:20Z: allow (p/r0)"


def test_what_is_forgotten_is_not_foretold():
    class Forgetful(Oblivious):
        def retry_after(self, rule, key, now):
            raise ForgottenError("lost")

    rules = _policy(ALLOW | {"time": TimeWindow(between=(1320, 360))}, {"rate": Rate(1, 3600, ("resource.id",))})

    assert _texts(rules, _request(), memory=Forgetful()) == []


def test_a_rate_is_looked_up_once_for_each_key():
    class Asked(Oblivious):
        def __init__(self):
            self.keys = []

        def retry_after(self, rule, key, now):
            self.keys.append(key)

    asked = Asked()
    rules = _policy(
        ALLOW | {"subject": EntityClauses(roles=("sre",)), "risk_tags": ("a", "b")},
        {"decision": Decision.THROTTLE, "rate": Rate(1, 3600, ("resource.id",))},
    )

    assert _texts(rules, _request(), memory=asked) != []
    assert asked.keys == ['["web"]']


def test_time_does_not_go_back():
    assert _texts(_policy(ALLOW | {"when": ["<", ["var", "now"], ["timestamp", 1_000_000]]}), _request()) == []
