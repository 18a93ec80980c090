"""The fast matcher gives the very answer of the reference evaluator, errors included, on generated policies."""

from collections import Counter

import msgspec
from effort import examples
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from policy_core.decision import PolicyRef, RuleError
from policy_core.grants import Verdict
from policy_core.matcher import encode_rules, load
from policy_core.memory import Oblivious
from policy_core.model import AttributeTests, Clauses, Decision, Provisions, Rule
from policy_core.rates import SlidingWindows
from policy_core.request import normalise
from policy_core.testing import memory_strategies, oracle
from policy_core.testing.memory import PlainMemory
from policy_core.testing.strategies import APPROVERS, MOMENTS, policies, provisions, requests

POLICY = PolicyRef(bundle="sha256:0", revision="r")
GENEROUS = {
    "deadline": None,
    "phases": [Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large],
}
REQUESTS = 24
"""For each policy: 450 x 24 + 250 x 24 + 200 x 24 + 60 x 24 + 60 x 13 is 23 820 cases in every run."""
DATA = {"limits": {"restarts": 3}, "teams": ["sre", "dba"]}
BESIDE = Provisions(data=DATA, approvers=APPROVERS)


class Windows(Oblivious):
    """What a host remembers, in its own data structures; who is said to have approved has."""

    audience = PlainMemory.audience

    def __init__(self):
        self._windows = SlidingWindows()

    def retry_after(self, rule, key, now):
        return self._windows.retry_after(rule, key, now)

    def count(self, rule, key, now, *, reached):
        self._windows.count(rule, key, now)
        return True

    def check(self, ask, request, approvers):
        return Verdict(tuple(request.context.get("approved_by") or ()))


class Plain(PlainMemory):
    """What the oracle remembers."""

    check = Windows.check


def _checked(rules, raw_requests, provisions=BESIDE, moments=MOMENTS):
    """Compare every answer; the oracle sees the rules as they come back from the bundle."""
    matcher = load(encode_rules(rules), policy=POLICY, provisions=provisions)
    ours, theirs, before = Windows(), Plain(), 0.0
    for number, raw in enumerate(raw_requests):
        now = moments[number % len(moments)]
        if not before <= now:  # host time never goes back
            ours, theirs = Windows(), Plain()
        before = now
        request = normalise(raw, now=now, host={"env": "prod"})
        expected = oracle.decide(matcher.rules, request, policy=POLICY, provisions=provisions, memory=theirs)
        found = matcher.decide(request, memory=ours)
        assert _comparable(found, matcher) == _comparable(expected, matcher)


def _in_time(raw_requests):
    """Return moments a few minutes apart, so that windows fill and empty."""
    return [1_790_350_000.0 + 977 * number for number in range(len(raw_requests))]


def _comparable(answer, matcher):
    """Leave out how an error inside a condition is worded: the oracle interprets, the matcher runs closures."""
    with_condition = {rule.name for rule in matcher.rules if rule.when is not None}
    errors = [RuleError(e.rule, "" if e.rule in with_condition else e.message) for e in answer.errors]
    return msgspec.structs.replace(answer, errors=errors)


@settings(max_examples=examples(450, nightly=2_700), **GENEROUS)
@given(policies(), st.lists(requests, min_size=REQUESTS, max_size=REQUESTS))
def test_matcher_equals_the_oracle_on_small_policies(rules, raw_requests):
    _checked(rules, raw_requests)


@st.composite
def _runs(draw):
    """Draw (rules, provisions, requests): the same callers again and again."""
    rules = draw(memory_strategies.policies())
    callers = draw(st.lists(memory_strategies.requests, min_size=2, max_size=4))
    again = draw(st.lists(st.sampled_from(callers), min_size=REQUESTS, max_size=REQUESTS))
    return rules, draw(memory_strategies.provisions(rules, DATA)), again


def _in_steps():
    return [memory_strategies.START + memory_strategies.STEP_S * number for number in range(REQUESTS)]


@settings(max_examples=examples(250, nightly=2_000), **GENEROUS)
@given(_runs())
def test_matcher_equals_the_oracle_where_rates_fill_exceptions_hold_and_asks_are_satisfied(run):
    rules, beside, raw_requests = run

    _checked(rules, raw_requests, beside, _in_steps())


def test_runs_meet_what_they_are_drawn_for():
    met = Counter()

    @settings(max_examples=300, derandomize=True, database=None, **GENEROUS)
    @given(_runs())
    def count(run):
        rules, beside, raw_requests = run
        matcher = load(encode_rules(rules), policy=POLICY, provisions=beside)
        memory = Windows()
        for raw, now in zip(raw_requests, _in_steps(), strict=True):
            answer = matcher.decide(normalise(raw, now=now, host={}), memory=memory)
            met.update(_events(answer))

    count()

    assert met.keys() >= EVENTS


EVENTS = {
    "allowed", "throttled for a while", "excepted and allowed", "asked", "asked for too little", "asked by two rules",
    "approved", "approved by two", "approved and refused all the same", "in error", "in dry run otherwise", "conflict",
}  # fmt: skip


def _events(answer):
    ask = answer.approval
    satisfied = ask is not None and not ask.missing
    happened = {
        "allowed": answer.allowed,
        "throttled for a while": answer.retry_after_s is not None,
        "excepted and allowed": answer.allowed and answer.exception,
        "asked": answer.decision == "require_approval",
        "asked for too little": ask is not None and ask.missing and ask.approvers,
        "asked by two rules": ask is not None and len(ask.rules) > 1,
        "approved": answer.reason_code == "approved",
        "approved by two": satisfied and sum(ask.quorum.values()) > 1,
        "approved and refused all the same": satisfied and not answer.allowed,
        "in error": answer.errors,
        "in dry run otherwise": answer.dry_run and answer.dry_run.decision != answer.decision,
        "conflict": answer.reason_code == "constraint_conflict",
    }
    return [event for event, has_happened in happened.items() if has_happened]


@settings(max_examples=examples(200, nightly=1_200), **GENEROUS)
@given(st.data(), policies(), st.lists(requests, min_size=4, max_size=4))
def test_matcher_equals_the_oracle_whatever_is_counted_excepted_classified_or_approved(data, rules, raw_requests):
    beside = data.draw(provisions(rules, DATA))
    again = [raw_requests[data.draw(st.integers(0, 3))] for _ in range(REQUESTS)]

    _checked(rules, again, beside, _in_time(again))


_zones = st.lists(st.sampled_from("abcdef"), min_size=1, max_size=3, unique=True).map(tuple)
_keyed = st.one_of(
    _zones.map(lambda values: AttributeTests(in_=values)),
    _zones.map(lambda values: AttributeTests(eq=values[0], exists=True)),
    _zones.map(lambda values: AttributeTests(in_=(*values, 1))),
)


@settings(max_examples=examples(60, nightly=360), **GENEROUS)
@given(
    st.lists(st.tuples(st.sampled_from(["allow", "deny", "throttle"]), _keyed), min_size=8, max_size=20),
    st.sampled_from(["context.zone", "context.place.zone", "resource.properties.zone"]),
)
def test_matcher_equals_the_oracle_where_the_index_is_keyed_by_an_attribute(drawn, path):
    rules = [
        Rule("p", f"r{number}", Decision(word), match=Clauses(actions=("deploy",), attributes={path: tests}))
        for number, (word, tests) in enumerate(drawn)
    ]
    root, *fields, last = path.split(".")

    def request(value):
        raw = {"subject": {"type": "u", "id": "a"}, "action": {"name": "deploy"}, "resource": {"type": "t", "id": "r"}}
        inner = raw.setdefault(root, {})
        for field in fields:
            inner = inner.setdefault(field, {})
        if value is not ...:
            inner[last] = value
        return raw

    _checked(rules, [request(value) for value in [*"abcdefg", 1, 1.0, True, None, ["a"], ...]])


@settings(max_examples=examples(60, nightly=360), **GENEROUS)
@given(policies(most=60), st.lists(requests, min_size=REQUESTS, max_size=REQUESTS))
def test_matcher_equals_the_oracle_where_rules_share_nodes_of_the_index(rules, raw_requests):
    _checked(rules, raw_requests)
