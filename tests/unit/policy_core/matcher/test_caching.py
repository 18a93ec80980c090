"""The decision cache: an answer from it is the answer without it, whoever asks, whatever is sent, whatever the time.

Here it is eager: asked from the third time on that rules come together, however few they are.
"""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum

import msgspec
import pytest
from effort import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from policy_core.decision import PolicyRef
from policy_core.matcher import caching, encode_rules, load
from policy_core.matcher import matcher as matching
from policy_core.matcher.tightening import Overlay, tighten
from policy_core.memory import Assumed
from policy_core.model import (
    Approval,
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
from policy_core.testing import memory_strategies, oracle, strategies
from policy_core.testing.memory import PlainMemory

POLICY = PolicyRef(bundle="sha256:0", revision="r")
ALLOW = Rule("p", "allow", Decision.ALLOW)
ROLES = ["var", "subject", "properties", "roles"]
WARM = 3


@pytest.fixture(autouse=True, scope="module")
def _eager():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(matching, "FEW_RULES", -1)
        patch.setattr(caching, "MEET_EVERY", 1)
        patch.setattr(caching, "WARM_AFTER", 1)
        patch.setattr(caching, "PATIENCE", 1_000)
        yield


def matcher_of(*rules, **provisions):
    return load(encode_rules(rules), policy=POLICY, provisions=Provisions(**provisions))


def request(*, now=0.0, host=None, roles=None, properties=None, action="act", **context):
    raw = {
        "subject": {"type": "user", "id": "ann", "properties": {} if roles is None else {"roles": roles}},
        "action": {"name": action},
        "resource": {"type": "service", "id": "web", "properties": properties or {}},
        "context": context,
    }
    return normalise(raw, now=now, host=host or {})


def rule(word="deny", match=None, *, name=None, **more):
    return Rule("p", name or word, Decision(word), match=match or Clauses(), **more)


def fresh(matcher, asked):
    """Answer without the cache: by a matcher that remembers nothing yet."""
    return matcher.naming(POLICY).decide(asked)


def check(matcher, requests, *, rounds=WARM + 2):
    """Ask again and again, in turn; each answer is the one without the cache. Return how many came from it."""
    before = matcher.cache_hits
    for _ in range(rounds):
        for asked in requests:
            assert matcher.decide(asked) == fresh(matcher, asked)
    return matcher.cache_hits - before


ODD = [
    *(1, 1.0, True, "1", 0, 0.0, -0.0, False, "", None, 2**63, 2.0**63, 2**70, float("nan"), float("inf")),
    *([], [1], [1.0], [True], [[]], [None], {}, {"a": 1}, {"a": 1.0}, {"a": True}, {"a": None}),
    *("\ud800", "é", "e\u0301", "None", "Ellipsis"),
]


@pytest.mark.parametrize(
    "more",
    [
        {"match": Clauses(attributes={"context.value": AttributeTests(eq=1)})},
        {"match": Clauses(attributes={"context.value": AttributeTests(eq=True)})},
        {"match": Clauses(attributes={"context.value": AttributeTests(in_=("1", 1))})},
        {"match": Clauses(attributes={"context.value": AttributeTests(exists=True)})},
        {"match": Clauses(attributes={"context.value.a": AttributeTests(eq=1)})},
        {"match": Clauses(tenants=("1",)), "skip_errors": True},
        {"unless": Clauses(attributes={"context.value": AttributeTests(eq=1)})},
        {"unless": Clauses(none_of=Clauses(attributes={"context.value": AttributeTests(eq=1)}))},
        {"match": Clauses(none_of=Clauses(attributes={"context.value": AttributeTests(eq=1)}))},
        {"when": ["==", ["var", "context", "value"], 1]},
        {"when": ["==", ["var", "context", "value"], True]},
        {"when": ["==", ["var", "context", "value", "a"], 1]},
        {"when": ["has", ["var", "context"], "value"]},
        {"when": ["has", ["var", "context", "value"], "a"]},
        {"when": ["==", ["+", ["var", "context", "value"], 1], 2]},
        {"when": ["==", ["size", ["var", "context", "value"]], 1]},
        {"when": ["==", ["index", ["var", "context"], ["+", "val", "ue"]], 1]},
        {"when": ["exists", ["var", "context"], "k", ["==", ["var", "k"], "value"]]},
        {"when": ["==", ["var", "context", "value"], ["double", "1.0"]]},
    ],
    ids=str,
)  # fmt: skip
def test_values_that_the_rules_tell_apart_never_share_an_answer(more):
    matcher = matcher_of(ALLOW, rule(**more))
    values = [request(value=value, tenant=value) for value in ODD] + [request()]

    assert check(matcher, values)


def test_types_are_told_apart_below_the_top_too():
    matcher = matcher_of(ALLOW, rule(when=["in", 1, ["var", "context", "list"]]))

    check(matcher, [request(list=[value]) for value in (1, True, 1.0, "1", None, [1])])

    assert matcher.cache_hits


def test_rules_do_not_share_answers_with_others_that_read_alike():
    def keyed(name, path, value):
        return rule(name, Clauses(attributes={path: AttributeTests(eq=value)}), name=f"{name}-{path}-{value}")

    others = [keyed("allow", path, value) for path in ("context.a", "context.b") for value in "wyz"]
    matcher = matcher_of(keyed("deny", "context.a", "x"), keyed("allow", "context.b", "x"), *others)
    denied, allowed = request(a="x", b="other"), request(a="other", b="x")

    hits = check(matcher, [denied, allowed])

    assert hits
    assert [matcher.decide(each).allowed for each in (denied, allowed)] == [False, True]


def test_an_error_is_told_in_the_words_of_its_own_cause():
    matcher = matcher_of(rule(when=["==", ["var", "context", "a", "b", "c"], 1]))
    asked = [{}, {"a": None}, {"a": 1}, {"a": {}}, {"a": {"b": []}}, {"a": {"b": "x"}}, {"a": {"b": {}}}]

    check(matcher, [request(**context) for context in asked])

    assert len({matcher.decide(request(**context)).errors[0].message for context in asked}) == len(asked)
    assert matcher.cache_hits


def test_the_order_of_roles_does_not_matter_where_they_are_a_set():
    matcher = matcher_of(ALLOW, rule(match=Clauses(subject=EntityClauses(roles=("sre",)))))
    names = [f"team-{number}" for number in range(40)]
    asked = [request(roles=roles) for roles in (["sre", *names], [*reversed(names), "sre"], [*names, "sre", *names])]

    for _ in range(WARM):
        matcher.decide(asked[0])
    hits = matcher.cache_hits

    assert [matcher.decide(each).decision for each in asked] == ["deny"] * 3
    assert matcher.cache_hits == hits + 3


def test_the_order_of_roles_matters_where_they_are_a_list():
    matcher = matcher_of(ALLOW, rule(when=["==", ["index", ROLES, 0], "sre"]))

    hits = check(matcher, [request(roles=roles) for roles in (["sre", "dev"], ["dev", "sre"])])

    assert hits
    assert matcher.decide(request(roles=["dev", "sre"])).decision == "allow"
    assert matcher.decide(request(roles=["sre", "dev"])).decision == "deny"


def test_what_no_rule_reads_does_not_matter():
    matcher = matcher_of(ALLOW, rule(when=["==", ["var", "context", "env"], "prod"]))

    for number in range(WARM + 10):
        matcher.decide(request(env="prod", trace=number, roles=[str(number)]))

    assert matcher.cache_hits == 10


WINDOWS = [
    TimeWindow(after=1_000, before=2_000.5),
    TimeWindow(days=("fri",), tz="Europe/Berlin"),
    TimeWindow(between=(90, 150), tz="Europe/Berlin"),
    TimeWindow(between=(1320, 360)),
]
SPRING, AUTUMN = 1_774_746_000, 1_792_890_000  # clocks change in Berlin


@pytest.mark.parametrize("window", WINDOWS, ids=str)
def test_an_answer_holds_on_one_side_of_a_time_only(window):
    matcher = matcher_of(ALLOW, rule(match=Clauses(time=window)))
    moments = [0, 999.999, 1_000, 2_000, 2_000.5, 1_999, 5, float("nan"), 1e18]
    moments += [start + step for start in (SPRING, AUTUMN) for step in range(-7_300, 7_300, 599)]

    for now in moments + moments[::-1]:
        assert matcher.decide(request(now=now)) == fresh(matcher, request(now=now))

    assert matcher.cache_hits


def test_an_exception_ends_to_the_second_and_begins_to_the_second():
    waiver = PolicyException("e", ("p/deny",), Clauses(tenants=("acme",)), 100, 200)
    matcher = matcher_of(ALLOW, rule(), exceptions=(waiver,))
    moments = [50, 99.999, 100, 150, 199.999, 200, 250, 150, 50]

    check(matcher, [request(now=now, tenant=tenant) for now in moments for tenant in ("acme", "other")])

    said = [matcher.decide(request(now=now, tenant="acme")).decision for now in moments]
    assert said == ["deny", "deny", "allow", "allow", "allow", "deny", "deny", "allow", "deny"]
    assert matcher.cache_hits


@pytest.mark.parametrize(
    "when", [["<", ["var", "now"], ["timestamp", 10_000_000]], ["has", ["var", "now"], "x"]], ids=str
)
def test_rules_that_read_the_time_itself_are_never_answered_from_the_cache(when):
    matcher = matcher_of(ALLOW, rule(when=when))

    hits = check(matcher, [request(now=now) for now in (5.0, 9.9, 10.0, 11.0, 5.0)], rounds=20)

    assert (hits, matcher.cache_misses) == (0, 0)


def test_host_labels_are_part_of_what_rules_read():
    matcher = matcher_of(ALLOW, rule(when=["==", ["var", "host", "env"], "prod"]))

    hits = check(matcher, [request(host=host) for host in ({"env": "prod"}, {"env": "dev"}, {}, {"x": "prod"})])

    assert hits


def test_classified_tags_count_as_carried_ones():
    known = Classification("c", ("prod",), resource_ids=("db",))
    matcher = matcher_of(ALLOW, rule(match=Clauses(risk_tags=("prod",))), classifications=(known,))
    web, claimed = request(), request(risk_tags=["prod"])
    other = normalise({"job": {"topic": "act", "job_id": "db"}}, now=0.0, host={})

    check(matcher, [web, claimed, other])

    assert [matcher.decide(each).decision for each in (web, claimed, other)] == ["allow", "deny", "deny"]


def test_a_rate_is_counted_every_time():
    limit = rule("throttle", name="limit", rate=Rate(5, 60, ("subject.id",)))
    matcher, memory = matcher_of(ALLOW, limit), PlainMemory()

    said = [matcher.decide(request(), memory=memory).decision for _ in range(8)]

    assert said == ["allow"] * 5 + ["throttle"] * 3
    assert matcher.cache_hits == 0


def test_a_rated_rule_that_does_not_match_keeps_nothing_from_the_cache():
    limit = rule("throttle", Clauses(tenants=("acme",)), name="limit", rate=Rate(1, 60, ("subject.id",)))
    matcher, memory = matcher_of(ALLOW, limit), PlainMemory()

    said = [matcher.decide(request(tenant=name), memory=memory).decision for name in ["b"] * 6 + ["acme"] * 2]

    assert said == ["allow"] * 7 + ["throttle"]
    assert matcher.cache_hits == 3


def test_approvals_are_looked_at_every_time():
    matcher = matcher_of(
        rule("require_approval", approval=Approval({"security": 1}, 60)), approvers=strategies.APPROVERS
    )

    memories = [Assumed({}, by) for by in [()] * 5 + [("ana",)] + [()]]
    said = [matcher.decide(request(), memory=memory).decision for memory in memories]

    assert said == ["require_approval"] * 5 + ["allow", "require_approval"]
    assert matcher.cache_hits == 0


def test_an_approval_that_is_asked_for_by_mistake_is_looked_at_every_time():
    asking = rule("require_approval", when=["==", ["var", "context", "x"], 1], approval=Approval({"security": 1}, 60))
    matcher = matcher_of(ALLOW, asking, approvers=strategies.APPROVERS)

    memories = [Assumed({}, by) for by in [()] * 5 + [("ana",)] + [()]]
    said = [matcher.decide(request(), memory=memory).decision for memory in memories]

    assert said == ["require_approval"] * 5 + ["allow", "require_approval"]
    assert matcher.cache_hits == 0


def test_an_error_of_a_rated_rule_is_looked_at_every_time():
    limit = rule("throttle", name="limit", rate=Rate(5, 60, ("context.tenant",)))

    assert check(matcher_of(ALLOW, limit), [request(), request(tenant=1), request(tenant=[])]) == 0


def test_a_new_overlay_begins_with_nothing():
    base = matcher_of(ALLOW, rule(when=["==", ["var", "context", "env"], "prod"]))
    for _ in range(WARM + 2):
        assert base.decide(request(env="dev")).allowed
    freeze = Rule("emergency", "freeze", Decision.DENY, match=Clauses(time=TimeWindow(before=100)))

    tightened = tighten(base, Overlay(denies=(freeze,)))

    for now in (0, 99, 100, 50, 100, 99, 101, 0) * 4:
        assert tightened.decide(request(now=now, env="dev")).allowed is (now >= 100)
    assert tightened.cache_hits


def test_an_answer_of_an_overlay_counts_as_a_hit_only_if_it_came_from_the_cache():
    freeze = Rule("emergency", "freeze", Decision.DENY)
    tightened = tighten(matcher_of(ALLOW), Overlay(denies=(freeze,)))
    hits = []
    for _ in range(WARM + 1):
        before = tightened.cache_hits
        tightened.decide(request())
        hits.append(tightened.cache_hits - before)

    assert hits == [0] * WARM + [1]


def test_a_hit_shows_in_the_count_right_after_the_answer():
    matcher = matcher_of(ALLOW)
    counts = []
    for _ in range(WARM + 2):
        matcher.decide(request())
        counts.append((matcher.cache_hits, matcher.cache_misses))

    assert counts == [(0, 0), (0, 0), (0, 1), (1, 1), (2, 1)]


def test_each_answer_has_its_own_id_and_whoever_changes_it_changes_no_other():
    gated = rule("constrain", name="bound", constraints={"max_retries": 3, "tool_allowlist": ("a",)}, gate="scope")
    matcher = matcher_of(ALLOW, gated, rule(name="failing", when=["var", "context", "x"], skip_errors=False))
    asked = request()
    for _ in range(WARM + 2):
        expected = msgspec.json.encode(matcher.decide(asked, decision_id="d"))

    spoilt = matcher.decide(asked, decision_id="other")
    for part in (spoilt.constraints, spoilt.gates, spoilt.applied_rules, spoilt.errors):
        part.clear()
    spoilt.constraints["max_retries"] = 99
    spoilt.decision, spoilt.allowed = Decision.ALLOW, True

    assert (spoilt.decision_id, matcher.cache_hits > 0) == ("other", True)
    assert msgspec.json.encode(matcher.decide(asked, decision_id="d")) == expected


class _Word(StrEnum):
    PROD = "prod"


@pytest.mark.parametrize(
    "value",
    [_Word.PROD, object(), {1}, ("prod",), type("Text", (str,), {})("prod"), b"prod"],
    ids=["enum", "object", "set", "tuple", "subclass", "bytes"],
)
def test_what_is_not_json_is_answered_as_without_the_cache(value):
    matcher = matcher_of(ALLOW, rule(when=["==", ["var", "context", "env"], "prod"]))

    check(matcher, [request(env="prod"), request(env=value), request()])


def test_objects_nested_beyond_what_a_key_can_hold_are_answered_without_the_cache():
    deep = "x"
    for _ in range(3_000):
        deep = [deep]
    matcher = matcher_of(ALLOW, rule(when=["==", ["var", "context", "env"], "prod"]))

    check(matcher, [request(env=deep), request(env="prod")])

    assert matcher.decide(request(env=deep)).allowed


def test_large_values_are_not_kept():
    matcher = matcher_of(ALLOW, rule(when=["==", ["var", "context", "env"], "prod"]))
    large = request(env="x" * 2_000)

    check(matcher, [large, request(env="prod")])

    assert len(matcher._cache._answers) == 1


def test_large_sets_are_not_sorted_and_not_kept():
    matcher = matcher_of(ALLOW, rule(match=Clauses(subject=EntityClauses(roles=("sre",)))))
    names = [str(number) for number in range(20_000)]

    check(matcher, [request(roles=names), request(roles=["sre", *names]), request(roles=["sre"]), request(roles=[])])

    assert len(matcher._cache._answers) == 2


def test_threads_that_share_a_matcher_get_the_answers_of_one():
    matcher = matcher_of(
        ALLOW,
        rule(when=["==", ["var", "context", "env"], "prod"]),
        rule("constrain", Clauses(risk_tags=("t",)), name="bound", constraints={"max_retries": 1}),
    )
    asked = [
        request(env=env, risk_tags=tags) for env in ("prod", "dev", *range(30)) for tags in ([], ["t"], ["t", "u"])
    ]
    expected = [fresh(matcher, each) for each in asked]

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: [matcher.decide(each) for each in asked], range(40)))

    assert all(answers == expected for answers in found)
    assert matcher.cache_hits


def test_nobody_is_answered_from_the_cache_while_what_rules_read_is_still_looked_up(monkeypatch):
    matcher = matcher_of(ALLOW, rule(match=Clauses(attributes={"context.env": AttributeTests(eq="prod")})))
    dev, prod = request(env="dev"), request(env="prod")
    reads_of, looking, asked = caching.reads_of, threading.Semaphore(0), threading.Event()

    def slowly(*arguments):
        looking.release()
        assert asked.wait(5)
        return reads_of(*arguments)

    monkeypatch.setattr(caching, "reads_of", slowly)
    matcher.decide(dev)
    with ThreadPoolExecutor(8) as pool:
        answers = []
        for each in (dev, dev, dev, prod, prod):
            answers.append(pool.submit(matcher.decide, each))
            looking.acquire(timeout=0.05)
        asked.set()

    assert [answer.result().decision for answer in answers] == ["allow", "allow", "allow", "deny", "deny"]


def test_whoever_varies_attributes_fills_no_more_than_the_limit(monkeypatch):
    monkeypatch.setattr(caching, "PATIENCE", 1_000_000)
    matcher = matcher_of(ALLOW, rule(when=["==", ["var", "context", "env"], "prod"]))

    for number in range(caching.MAX_ENTRIES + 3_000):
        matcher.decide(request(env=number))

    assert len(matcher._cache._answers) == caching.MAX_ENTRIES


def test_answers_with_many_errors_are_fewer(monkeypatch):
    monkeypatch.setattr(caching, "PATIENCE", 1_000_000)
    monkeypatch.setattr(caching, "MAX_BYTES", 100_000)
    failing = [rule(name=f"r{n}", when=["==", ["var", "context", "x" * 200, "y"], n]) for n in range(20)]
    matcher = matcher_of(*failing, rule(name="other", when=["==", ["var", "context", "env"], "prod"]))

    for number in range(200):
        matcher.decide(request(env=number))

    assert 0 < len(matcher._cache._answers) < 25


def test_ever_new_sets_of_rules_are_mostly_not_even_noted(monkeypatch):
    monkeypatch.setattr(caching, "MEET_EVERY", 8)
    tags = [f"t{number}" for number in range(12)]
    matcher = matcher_of(*(rule("allow", Clauses(risk_tags=(tag,)), name=tag) for tag in tags))

    for number in range(1 << len(tags)):
        matcher.decide(request(risk_tags=[tag for place, tag in enumerate(tags) if number >> place & 1]))

    assert 0 < len(matcher._cache._groups) <= (1 << len(tags)) / 8


def test_more_rules_than_a_key_is_worth_are_looked_at_without_the_cache(monkeypatch):
    monkeypatch.setattr(caching, "MAX_GROUP_RULES", 5)
    matcher = matcher_of(*(rule("allow", name=f"r{number}") for number in range(6)))

    assert check(matcher, [request()], rounds=20) == 0
    assert len(matcher._cache._groups) == 0


def test_whether_an_answer_lasts_is_not_read_from_very_many_rules(monkeypatch):
    matcher = matcher_of(*(rule("allow", name=f"r{number}") for number in range(6)))
    assert matcher.lasting(request()) == matcher.decide(request())

    monkeypatch.setattr(caching, "MAX_GROUP_RULES", 5)

    assert matcher.lasting(request()) is None


def test_rules_whose_requests_do_not_repeat_are_asked_about_seldom(monkeypatch):
    monkeypatch.setattr(caching, "PATIENCE", 100)
    matcher = matcher_of(ALLOW, rule(when=["==", ["var", "context", "env"], "prod"]))

    for number in range(20_000):
        matcher.decide(request(env=number))

    assert matcher.cache_misses <= 20_000 / caching.REST * 100 + 100


def test_rules_whose_requests_repeat_now_are_asked_about_again(monkeypatch):
    monkeypatch.setattr(caching, "PATIENCE", 100)
    matcher = matcher_of(ALLOW, rule(when=["==", ["var", "context", "env"], "prod"]))
    for number in range(1_000):
        matcher.decide(request(env=number))

    for number in range(caching.REST + 500):
        matcher.decide(request(env=f"again {number % 5}"))

    assert matcher.cache_hits > 400


def test_what_a_matcher_remembers_goes_with_it():
    matcher = matcher_of(ALLOW, rule(when=["==", ["var", "context", "env"], "prod"]))
    check(matcher, [request(env=str(number)) for number in range(20)])
    cache = matcher._cache

    for _ in matcher.dismantle():
        pass

    assert (len(cache._answers), len(cache._groups)) == (0, 0)


RELAXED = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large]}
DATA = {"limits": {"restarts": 3}, "teams": ["sre", "dba"]}
REQUESTS = 40
VARIANTS = [1, 1.0, True, "1", "prod", None, 0, False, ["prod"], ["sre", "prod"], ["prod", "sre"], {"env": "prod"}, "é"]


@st.composite
def _sequences(draw, requests, moments):
    """Draw requests that repeat and differ in one attribute, and the times at which they come."""
    base = draw(st.lists(requests, min_size=1, max_size=3))
    variants = [*base]
    for _ in range(draw(st.integers(0, 4))):
        raw = json.loads(json.dumps(draw(st.sampled_from(base))))
        parent, key = draw(
            st.sampled_from(
                [("context", "count"), ("context", "risk_tags"), ("context", "tenant"), ("context", "labels"),
                 ("subject", "roles"), ("subject", "size"), ("resource", "env"), ("context", "net")]
            )
        )  # fmt: skip
        part = raw.setdefault("context", {}) if parent == "context" else raw[parent].setdefault("properties", {})
        part[key] = draw(st.sampled_from(VARIANTS))
        variants.append(raw)
    order = draw(st.lists(st.sampled_from(range(len(variants))), min_size=REQUESTS, max_size=REQUESTS))
    times = draw(st.lists(st.sampled_from(moments), min_size=1, max_size=3))
    return [(variants[number], times[place * len(times) // REQUESTS]) for place, number in enumerate(order)]


def _checked(rules, beside, asked, *, overlay=None, host=None):
    """Return how many answers came from the cache, and how many were known to last.

    All are those of the oracle and of a matcher without a cache.
    """
    base = load(encode_rules(rules), policy=POLICY, provisions=beside)
    matcher = tighten(base, overlay or Overlay())
    ours, own, theirs = PlainMemory(), PlainMemory(), PlainMemory()
    lasting, known = {}, 0
    for raw, now in asked:
        request = normalise(raw, now=now, host=host or {"env": "prod"})
        found = matcher.decide(request, memory=ours)
        uncached = tighten(base.naming(POLICY), overlay or Overlay()).decide(request, memory=own)
        assert found == uncached
        body = json.dumps(raw)
        if lasting.setdefault(body, matcher.lasting(request)) is not None:
            assert lasting[body] == found
            known += 1
        if overlay is None:
            expected = oracle.decide(rules, request, policy=POLICY, provisions=beside, memory=theirs)
            for answer in (found, expected):  # the oracle words errors in conditions its own way
                answer.errors = [each.rule for each in answer.errors]
            assert found == expected
    assert (ours.counted, ours.spent) == (own.counted, own.spent)
    return matcher.cache_hits, known


@settings(max_examples=examples(40, nightly=3_000), **RELAXED)
@given(st.data(), strategies.policies(), _sequences(strategies.requests, strategies.MOMENTS))
def test_answers_are_those_without_the_cache_and_of_the_oracle(data, rules, asked):
    rules = list(load(encode_rules(rules), policy=POLICY).rules)

    _checked(rules, data.draw(strategies.provisions(rules, DATA)), asked)


@settings(max_examples=examples(30, nightly=2_000), **RELAXED)
@given(
    st.data(),
    memory_strategies.policies(),
    _sequences(memory_strategies.requests, [memory_strategies.START + 40.0 * number for number in range(9)]),
)
def test_answers_are_the_same_where_rates_exceptions_and_approvals_take_part(data, rules, asked):
    asked.sort(key=lambda each: each[1])  # host time never goes back
    rules = list(load(encode_rules(rules), policy=POLICY).rules)

    _checked(rules, data.draw(memory_strategies.provisions(rules, DATA)), asked)


@settings(max_examples=examples(30, nightly=2_000), **RELAXED)
@given(
    st.data(),
    strategies.policies(),
    st.lists(strategies.rules(), max_size=2),
    _sequences(strategies.requests, strategies.MOMENTS),
)
def test_answers_are_the_same_under_an_overlay(data, rules, drawn, asked):
    denies = tuple(
        Rule("emergency", f"e{number}", Decision.DENY, match=each.match, unless=each.unless, when=each.when)
        for number, each in enumerate(drawn)
    )

    _checked(rules, data.draw(strategies.provisions(rules, DATA)), asked, overlay=Overlay(denies=denies))


def test_sequences_hit_the_cache_and_last_often_enough_to_matter():
    hits, lasting, asked = 0, 0, 0

    @settings(max_examples=25, derandomize=True, database=None, **RELAXED)
    @given(st.data(), strategies.policies(), _sequences(strategies.requests, strategies.MOMENTS))
    def count(data, rules, sequence):
        nonlocal hits, lasting, asked
        rules = list(load(encode_rules(rules), policy=POLICY).rules)
        found, known = _checked(rules, data.draw(strategies.provisions(rules, DATA)), sequence)
        hits, lasting = hits + found, lasting + known
        asked += len(sequence)

    count()

    assert hits > asked / 10
    assert asked / 10 < lasting < asked * 9 / 10
