"""No error ever grants: an attribute that is missing or mistyped never turns a refusal into a permission.

What the law needs is that every rule but `allow` reads facts only: sets, `exists`, conditions (`has`) and `on_missing:
skip` say themselves what absence means. An `allow` may use the whole language; `allow_with_constraints` may not, as a
constraint goes when it no longer applies. Exceptions are held to the same: their scope reads facts only. Rates are
reached as often as not, and whoever a request names has approved it.
"""

import copy

import msgspec
from effort import examples
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from policy_core.decision import PolicyRef
from policy_core.grants import Verdict
from policy_core.matcher import encode_rules, load
from policy_core.memory import Oblivious
from policy_core.model import GRANTING, AttributeTests, Clauses, Decision, EntityClauses
from policy_core.request import normalise
from policy_core.testing.strategies import policies, provisions, requests
from policy_core.trace import Outcome, trace_rule

DATA = {"limits": {"restarts": 3}, "teams": ["sre", "dba"]}
RELAXED = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large]}


def _facts_only(clauses):
    """Return the clauses without sets and without `exists`."""
    if clauses is None:
        return None

    def entity(part):
        return part and EntityClauses(part.types, part.ids, (), part.properties)

    tests = {path: msgspec.structs.replace(test, exists=None) for path, test in clauses.attributes.items()}
    return msgspec.structs.replace(
        clauses,
        risk_tags=(),
        risk_tags_any=(),
        requires=(),
        labels={},
        subject=entity(clauses.subject),
        resource=entity(clauses.resource),
        attributes={path: test for path, test in tests.items() if test != AttributeTests()},
        none_of=_facts_only(clauses.none_of),
    )


def _plain(rule):
    """Return a rule that reads facts only."""
    unless = _facts_only(rule.unless)
    return msgspec.structs.replace(
        rule,
        match=_facts_only(rule.match),
        unless=None if unless == Clauses() else unless,
        when=None,
        skip_errors=False,
    )


class Remembering(Oblivious):
    """Knows half of the rates as reached, and who approved."""

    def __init__(self, approved_by):
        self.approved_by = tuple(approved_by)

    def retry_after(self, rule, key, now):
        return 60.0 if rule.rate.limit > 1 else None

    def check(self, ask, request, approvers):
        return Verdict(self.approved_by)


def _decide(matcher, raw, *, approved_by=("ana", "bo")):
    memory = Remembering(approved_by)
    return matcher.decide(normalise(raw, now=1_790_000_000.0, host={"env": "prod"}), memory=memory)


def _load(rules, data):
    """Load rules with exceptions, classifications and approvers that go with them."""
    drawn = data.draw(provisions(rules, DATA))
    exceptions = tuple(msgspec.structs.replace(each, scope=_facts_only(each.scope)) for each in drawn.exceptions)
    beside = msgspec.structs.replace(drawn, exceptions=exceptions)
    return load(encode_rules(rules), policy=PolicyRef(bundle="", revision=""), provisions=beside)


def _places(raw):
    """Return every attribute of a request as (the object that holds it, its name): all but the five scalars."""
    found = [(raw["subject"], "properties"), (raw["resource"], "properties")]
    for part in (raw["subject"]["properties"], raw["resource"]["properties"], raw["context"]):
        found += [(part, name) for name in part]
        found += [(value, name) for value in part.values() if isinstance(value, dict) for name in value]
    return found


_DAMAGE = st.sampled_from([..., None, [], ["x"], {}, [{}]])
"""What an attribute becomes: absent, or a value no fact can have."""


@settings(max_examples=examples(150, nightly=2_000), **RELAXED)
@given(policies(), requests, st.data())
def test_taking_facts_away_never_turns_a_refusal_into_a_permission(rules, raw, data):
    matcher = _load([_plain(rule) for rule in rules], data)
    assume(not _decide(matcher, raw).allowed)
    damaged = copy.deepcopy(raw)
    places = _places(damaged)
    for number in data.draw(st.sets(st.integers(0, len(places) - 1), min_size=1)):
        part, name = places[number]
        value = data.draw(_DAMAGE)
        if name == "properties":
            value = {}
        if value is ...:
            part.pop(name, None)
        else:
            part[name] = value

    answer = _decide(matcher, damaged)

    assert not answer.allowed


@settings(max_examples=examples(150, nightly=2_000), **RELAXED)
@given(policies(), requests, st.data())
def test_a_permission_that_comes_of_a_missing_attribute_is_one_an_allow_rule_asks_for(rules, raw, data):
    matcher = _load([rule if rule.decision is Decision.ALLOW else _plain(rule) for rule in rules], data)
    assume(not _decide(matcher, raw).allowed)
    damaged = copy.deepcopy(raw)
    part, name = data.draw(st.sampled_from(_places(damaged)))
    part.pop(name, None)

    answer = _decide(matcher, damaged)

    if answer.allowed:
        decider = next(rule for rule in matcher.rules if rule.name == answer.matched_rule)
        assert decider.decision is Decision.ALLOW
        assert decider != _plain(decider)


@settings(max_examples=examples(150, nightly=2_000), **RELAXED)
@given(policies(), requests, st.data())
def test_whatever_is_allowed_is_granted_by_a_rule_without_an_error_that_decides(rules, raw, data):
    matcher = _load(rules, data)
    approved_by = data.draw(st.sampled_from([(), ("ana", "bo", "cy", "di")]))
    answer = _decide(matcher, raw, approved_by=approved_by)

    if answer.allowed:
        request = matcher.classified(normalise(raw, now=1_790_000_000.0, host={"env": "prod"}))
        decider = next(rule for rule in matcher.rules if rule.name == answer.matched_rule)
        assert decider.decision in GRANTING or (decider.approval and approved_by)
        assert trace_rule(decider, request, DATA, memory=Remembering(())).outcome is Outcome.TRUE
        assert decider.name not in {error.rule for error in answer.errors}
