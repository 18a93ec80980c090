import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy_core.decision import Answer, DryRun
from policy_core.model import AttributeTests, Clauses, Decision, EntityClauses, Erasure, LogRules
from policy_core.redacting import LogRulesError, Parts, Redactor
from policy_core.request import canonical, normalise

REQUEST: dict[str, Any] = {
    "subject": {"type": "user", "id": "ana", "properties": {"email": "ana@example.com", "roles": ["sre"]}},
    "action": {"name": "service.restart"},
    "resource": {"type": "service", "id": "db-1"},
    "context": {"tenant": "eu-1", "job": {"steps": [{"token": "t1", "n": 1}, {"n": 2}, {"token": "t3"}]}},
}
ALLOW = Answer(decision=Decision.ALLOW, allowed=True, reason_code="matched_rule")


def redact(*erase: Erasure, request: dict[str, Any] = REQUEST) -> tuple[Parts, tuple[str, ...]]:
    redactor = Redactor(LogRules(erase=erase), {})
    return redactor.redact(canonical(request), normalise(request, now=0.0, host={}))


def leaves_out(*entries: Clauses, answer: Answer = ALLOW, request: dict[str, Any] = REQUEST) -> bool:
    redactor = Redactor(LogRules(leave_out=entries), {})
    return redactor.leaves_out(normalise(request, now=0.0, host={}), answer)


def test_what_is_erased_is_gone_and_named() -> None:
    (subject, _, _, _), erased = redact(Erasure("subject.properties.email"))

    assert subject["properties"] == {"roles": ["sre"]}
    assert erased == ("subject.properties.email",)


def test_a_star_is_every_element_and_every_name() -> None:
    (_, _, _, context), erased = redact(Erasure("context.job.steps.*.token"))

    assert context["job"] == {"steps": [{"n": 1}, {"n": 2}, {}]}
    assert erased == ("context.job.steps.*.token",)

    (_, _, _, context), _ = redact(Erasure("context.*.steps"))

    assert context["job"] == {}
    assert context["tenant"] == "eu-1"


def test_a_caller_who_sends_a_list_in_place_of_an_object_evades_nothing() -> None:
    (_, _, _, context), erased = redact(Erasure("context.job.steps.token"))

    assert context["job"] == {"steps": [{"n": 1}, {"n": 2}, {}]}
    assert erased == ("context.job.steps.token",)


def test_a_caller_who_nests_without_end_loses_that_attribute_and_no_other() -> None:
    nested: Any = {"token": "t"}
    for _ in range(900):
        nested = [nested]

    (subject, _, _, context), erased = redact(
        Erasure("context.prompt.token"), request=REQUEST | {"context": {"prompt": nested, "n": 1}}
    )

    assert (context, subject["id"], erased) == ({"n": 1}, "ana", ("context.prompt.token",))


def test_what_is_not_there_is_not_named() -> None:
    parts, erased = redact(Erasure("context.prompt"), Erasure("context.job.n"), Erasure("context.tenant.name"))

    assert parts == canonical(REQUEST)
    assert erased == ()


def test_the_request_itself_stays_as_it_is() -> None:
    before = copy.deepcopy(REQUEST)

    redact(Erasure("context.job.steps.*.token"), Erasure("subject.id"), Erasure("context.*"))

    assert before == REQUEST


def test_a_scope_says_where_it_is_erased() -> None:
    inside = Erasure("subject.id", Clauses(tenants=("eu-*",)))
    outside = Erasure("subject.id", Clauses(tenants=("us-*",)))

    assert redact(inside)[1] == ("subject.id",)
    assert redact(outside)[1] == ()


def test_where_the_scope_cannot_be_told_it_is_erased() -> None:
    unknown = Erasure("subject.id", Clauses(attributes={"context.region": AttributeTests(eq="eu")}))

    assert redact(unknown)[1] == ("subject.id",)


def test_a_plain_allow_in_scope_is_left_out() -> None:
    assert leaves_out(Clauses(actions=("service.*",)))
    assert not leaves_out(Clauses(actions=("health.*",)))
    assert not leaves_out(Clauses(actions=("service.*",), subject=EntityClauses(types=("agent",))))


@pytest.mark.parametrize("word", [word for word in Decision if word is not Decision.ALLOW])
def test_no_other_decision_is_ever_left_out(word: Decision) -> None:
    answer = Answer(decision=word, allowed=False, reason_code="matched_rule")

    assert not leaves_out(Clauses(actions=("*",)), answer=answer)


@pytest.mark.parametrize(
    "answer",
    [
        Answer(decision=Decision.ALLOW, allowed=True, reason_code="matched_rule", exception="e-1"),
        Answer(decision=Decision.ALLOW, allowed=True, reason_code="approved"),
        Answer(decision=Decision.ALLOW, allowed=True, reason_code="matched_rule", dry_run=DryRun(Decision.DENY)),
    ],
    ids=["exception", "approval", "dry run"],
)
def test_an_allow_that_somebody_answers_for_is_never_left_out(answer: Answer) -> None:
    assert not leaves_out(Clauses(actions=("*",)), answer=answer)


def test_an_allow_that_dry_runs_agree_with_is_left_out() -> None:
    answer = Answer(decision=Decision.ALLOW, allowed=True, reason_code="matched_rule", dry_run=DryRun(Decision.ALLOW))

    assert leaves_out(Clauses(actions=("*",)), answer=answer)


def test_where_the_scope_cannot_be_told_nothing_is_left_out() -> None:
    unknown = Clauses(attributes={"context.region": AttributeTests(eq="eu")})

    assert not leaves_out(unknown)
    assert leaves_out(unknown, request=REQUEST | {"context": {"region": "eu"}})


@pytest.mark.parametrize(
    "rules",
    [
        LogRules(leave_out=(Clauses(),)), LogRules(erase=(Erasure("context"),)), LogRules(erase=(Erasure("nobody.x"),)),
        LogRules(erase=(Erasure("context.a*"),)), LogRules(erase=(Erasure("context..a"),)),
        LogRules(erase=(Erasure("*.a"),)), LogRules(erase=(Erasure("context.grants"),)),
        LogRules(erase=(Erasure("context.grants.*"),)),
        LogRules(erase=(Erasure("context.a", Clauses(attributes={"context.a": AttributeTests(regex=("(",))})),)),
    ],
)  # fmt: skip
def test_rules_no_builder_writes_are_refused(rules: LogRules) -> None:
    with pytest.raises(LogRulesError):
        Redactor(rules, {})


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=12,
)
paths = st.lists(st.sampled_from(["a", "b", "c", "*"]), min_size=1, max_size=4)


def reached(value: Any, names: list[str]) -> bool:
    """Tell, in the plainest way, whether a path leads to anything."""
    if not names:
        return True
    name, *rest = names
    if isinstance(value, list):
        return any(reached(each, rest if name == "*" else names) for each in value)
    if isinstance(value, dict):
        return any(reached(value[key], rest) for key in (value if name == "*" else [name]) if key in value)
    return False


@given(st.dictionaries(st.sampled_from("abc"), values, max_size=3), paths)
def test_afterwards_the_path_leads_nowhere(context: dict[str, Any], names: list[str]) -> None:
    request = REQUEST | {"context": context}
    path = ".".join(["context", *names])

    (_, _, _, kept), erased = redact(Erasure(path), request=request)

    assert not reached(kept, names)
    assert bool(erased) == reached(canonical(request)[3], names)
