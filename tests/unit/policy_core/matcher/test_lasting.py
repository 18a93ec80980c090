"""Answers that are said to last are the answers at any time, whatever was counted, approved or spent meanwhile.

Here rules read the time in every way there is, and all that changes with time changes in the middle.
"""

import msgspec
from effort import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from policy_core.decision import PolicyRef
from policy_core.matcher import encode_rules, load
from policy_core.matcher.tightening import Overlay, tighten
from policy_core.model import (
    CONSTRAINING,
    GRANTING,
    Approval,
    Clauses,
    Decision,
    EntityClauses,
    Rate,
    Rule,
    TimeWindow,
)
from policy_core.request import normalise
from policy_core.testing import memory_strategies, oracle
from policy_core.testing.memory import PlainMemory

POLICY = PolicyRef(bundle="sha256:0", revision="r")
STEP_S = memory_strategies.STEP_S
MIDDLE = int(memory_strategies.START + 8 * STEP_S)
MOMENTS = [MIDDLE + number * STEP_S / 4 for number in (-6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 400)]
HOST = {"env": "prod"}
RELAXED = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large]}

_sides = [{"after": MIDDLE}, {"before": MIDDLE}]
_windows = st.sampled_from([TimeWindow(**side) for side in _sides])
_readings = [[word, ["var", "now"], ["timestamp", MIDDLE * 1_000_000]] for word in (">=", "<")]


_ids = st.sampled_from([(), (), ("web",), ("db",)])


@st.composite
def _rules(draw, words=tuple(Decision)):
    """Draw a rule, and what makes it read the time, or memory, or nothing but the request."""
    word = draw(st.sampled_from(words))
    kinds = [*[""] * 8, "tag", "tag", "tag", "error", "match", "unless", "none_of", "when", "dry_run"]
    kind = draw(st.sampled_from(kinds if word in GRANTING else [*kinds, "rate", "rate", "rate"]))
    match = Clauses(resource=EntityClauses(ids=draw(_ids)))
    window = draw(_windows)
    rule = Rule("p", "r", word, match=match)
    if word is Decision.REQUIRE_APPROVAL and draw(st.booleans()):
        rule = msgspec.structs.replace(rule, approval=Approval({"security": 1}, 3_600))
    if word in CONSTRAINING:
        rule = msgspec.structs.replace(rule, constraints={"max_targets": draw(st.integers(1, 3))})
    match kind:
        case "rate":
            return msgspec.structs.replace(
                rule, rate=Rate(limit=draw(st.integers(1, 3)), window_s=60, key=("subject.id",))
            )
        case "when":
            return msgspec.structs.replace(rule, when=draw(st.sampled_from(_readings)))
        case "unless":
            return msgspec.structs.replace(rule, unless=Clauses(time=window))
        case "dry_run":
            return msgspec.structs.replace(rule, dry_run=True)
    inner = {
        "match": {"time": window},
        "none_of": {"none_of": Clauses(time=window)},
        "error": {"tenants": ("acme",)},
        "tag": {"risk_tags": ("prod",)},
    }
    return msgspec.structs.replace(rule, match=msgspec.structs.replace(match, **inner.get(kind, {})))


@st.composite
def _provisions(draw, rules):
    """Draw what goes with rules; exceptions seldom, as nothing under one lasts."""
    found = draw(memory_strategies.provisions(rules, {}))
    return found if draw(st.booleans()) else msgspec.structs.replace(found, exceptions=())


@st.composite
def _policies(draw):
    drawn = draw(st.lists(_rules(), min_size=1, max_size=5))
    return [msgspec.structs.replace(rule, policy=f"p{number}", id="r") for number, rule in enumerate(drawn)]


_requests = st.lists(memory_strategies.requests, min_size=1, max_size=4)


def _checked(matcher, expected, requests):
    """Return how many answers lasted; at each moment each is the expected one, whatever was remembered until then."""
    memory = PlainMemory()
    lasting = [[matcher.lasting(normalise(raw, now=now, host=HOST)) for now in MOMENTS] for raw in requests]
    for now in MOMENTS:
        for raw, known in zip(requests, lasting, strict=True):
            answer = expected(normalise(raw, now=now, host=HOST), memory)
            for each in filter(None, known):
                assert _comparable(each) == _comparable(answer)
    return sum(known[0] is not None for known in lasting)


def _comparable(answer):
    """Return an answer without the words of its errors, which the oracle has its own."""
    return msgspec.structs.replace(answer, errors=[each if type(each) is str else each.rule for each in answer.errors])


@settings(max_examples=examples(300, nightly=5_000), **RELAXED)
@given(st.data(), _policies(), _requests)
def test_what_lasts_is_what_the_oracle_says_at_any_time(data, rules, requests):
    beside = data.draw(_provisions(rules))
    matcher = load(encode_rules(rules), policy=POLICY, provisions=beside)

    def expected(request, memory):
        return oracle.decide(rules, request, policy=POLICY, provisions=beside, memory=memory)

    _checked(matcher, expected, requests)


@settings(max_examples=examples(100, nightly=2_000), **RELAXED)
@given(st.data(), _policies(), _requests)
def test_what_lasts_under_an_overlay_is_what_is_said_at_any_time(data, rules, requests):
    drawn = data.draw(
        st.lists(_rules(words=(Decision.DENY,)).filter(lambda rule: rule.rate is None), min_size=1, max_size=2)
    )
    base = load(encode_rules(rules), policy=POLICY, provisions=data.draw(_provisions(rules)))
    matcher = tighten(base, Overlay(denies=tuple(drawn)))

    _checked(matcher, lambda request, memory: matcher.decide(request, memory=memory), requests)


def test_enough_lasts_to_matter_and_enough_does_not():
    lasting, asked = 0, 0

    @settings(max_examples=40, derandomize=True, database=None, **RELAXED)
    @given(st.data(), _policies(), _requests)
    def count(data, rules, requests):
        nonlocal lasting, asked
        beside = data.draw(_provisions(rules))
        matcher = load(encode_rules(rules), policy=POLICY, provisions=beside)
        lasting += sum(matcher.lasting(normalise(raw, now=MIDDLE, host=HOST)) is not None for raw in requests)
        asked += len(requests)

    count()

    assert asked / 5 < lasting < asked * 4 / 5
