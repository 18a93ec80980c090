"""What lint holds to be certain of clauses is so: held against the evaluation of every clause on generated requests."""

from typing import Any

import msgspec
from effort import examples
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from builder.linting.covering import MAX_COMPARED, CoverIndex
from builder.linting.facets import clause_facets, covers, excluded_facets, implied, rule_facets
from builder.linting.reachability import _excludes_all
from policy_core.attributes import holds
from policy_core.model import Clauses, Decision, EntityClauses, Rule
from policy_core.request import normalise
from policy_core.testing.strategies import MOMENTS, attribute_tests, clauses, requests, rules
from policy_core.trace import Outcome, trace_rule

DATA = {"limits": {"restarts": 3}, "teams": ["sre", "dba"]}
GENEROUS = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large]}
MANY = st.lists(requests, min_size=8, max_size=8)


def asking(rule: Rule) -> Rule:
    """Return a rule with what it asks and nothing else."""
    return Rule("p", "r", Decision.DENY, match=rule.match, unless=rule.unless, when=rule.when)


def narrowed(wide: Clauses, other: Clauses) -> Clauses:
    """Return clauses that ask what the wide ones do, and what the others do where these ask nothing."""
    fields: dict[str, Any] = {}
    for name in wide.__struct_fields__:
        ours, theirs = getattr(wide, name), getattr(other, name)
        if name in ("labels", "attributes"):
            fields[name] = {**theirs, **ours}
        elif name in ("subject", "resource") and ours and theirs:
            parts = {part: getattr(ours, part) or getattr(theirs, part) for part in ("types", "ids", "roles")}
            fields[name] = EntityClauses(**parts, properties={**theirs.properties, **ours.properties})
        else:
            fields[name] = ours or theirs
    return Clauses(**fields)


@st.composite
def nested(draw: st.DrawFn) -> tuple[Rule, Rule]:
    """Draw two rules of which the second often asks all that the first does, and more."""
    wide, other = asking(draw(rules())), asking(draw(rules()))
    if draw(st.booleans()):
        return wide, other
    when = wide.when or other.when
    return wide, msgspec.structs.replace(
        other, match=narrowed(wide.match, other.match), unless=wide.unless or other.unless, when=when
    )


def outcome(rule: Rule, raw: dict[str, Any], now: float) -> Outcome:
    return trace_rule(rule, normalise(raw, now=now, host={}), DATA).outcome


@given(pair=nested(), raw=MANY)
@settings(max_examples=examples(60, nightly=2_000), **GENEROUS)
def test_what_covers_holds_wherever_the_other_does_and_errs_where_it_errs(
    pair: tuple[Rule, Rule], raw: list[dict[str, Any]]
) -> None:
    wide, narrow = pair
    if not covers(rule_facets(wide), rule_facets(narrow)):
        event("nothing to show")
        return

    for request, now in zip(raw, MOMENTS, strict=False):
        inner, outer = outcome(narrow, request, now), outcome(wide, request, now)
        assert inner is not Outcome.TRUE or outer is Outcome.TRUE
        assert inner is Outcome.FALSE or outer is not Outcome.FALSE


@given(pair=nested(), raw=MANY)
@settings(max_examples=examples(60, nightly=2_000), **GENEROUS)
def test_a_rule_whose_unless_covers_its_match_never_holds(pair: tuple[Rule, Rule], raw: list[dict[str, Any]]) -> None:
    wide, narrow = pair
    rule = Rule("p", "r", Decision.DENY, match=narrow.match, unless=wide.match)
    if wide.match == Clauses() or not covers(clause_facets(wide.match), clause_facets(narrow.match)):
        event("nothing to show")
        return

    assert all(outcome(rule, request, now) is not Outcome.TRUE for request, now in zip(raw, MOMENTS, strict=False))


@given(inner=clauses, outer=clauses, raw=MANY)
@settings(max_examples=examples(60, nightly=2_000), **GENEROUS)
def test_a_rule_whose_not_is_implied_by_its_match_never_holds(
    inner: Clauses, outer: Clauses, raw: list[dict[str, Any]]
) -> None:
    flat = msgspec.structs.replace(inner, none_of=None)
    match = msgspec.structs.replace(narrowed(flat, outer), none_of=flat)
    facets = clause_facets(match)
    if not any(implied(key, values, facets) for key, values in excluded_facets(match).items()):
        event("nothing to show")
        return

    rule = Rule("p", "r", Decision.DENY, match=match)
    assert all(outcome(rule, request, now) is not Outcome.TRUE for request, now in zip(raw, MOMENTS, strict=False))


VALUES = st.sampled_from(
    ["prod", "sre", "pre", "10.1.2.3", "fd00::1", "", True, False, 0, 1, 1.0, 2.5, 2, -1, None, [], {}]
)


@given(first=attribute_tests, second=attribute_tests, values=st.lists(VALUES, min_size=10, max_size=10))
@settings(max_examples=examples(200, nightly=2_000), **GENEROUS)
def test_tests_that_exclude_all_values_exclude_each(first: Any, second: Any, values: list[Any]) -> None:
    tests = msgspec.structs.replace(first, **{
        name: getattr(second, name) for name in second.__struct_fields__ if getattr(second, name) not in (None, ())
    })  # fmt: skip
    if tests.exists is False or not _excludes_all("context.a", tests):
        event("nothing to show")
        return

    assert not any(all(holds(name, wanted, v) for name, wanted in tests.operators().items()) for v in values)


@given(drawn=st.lists(nested(), max_size=6))
@settings(max_examples=examples(40, nightly=1_000), **GENEROUS)
def test_the_index_finds_what_comparing_all_finds(drawn: list[tuple[Rule, Rule]]) -> None:
    asked = [rule_facets(rule) for pair in drawn for rule in pair]

    index = CoverIndex([(facets, number) for number, facets in enumerate(asked)])

    for facets in asked:
        assert set(index.covering(facets)) == {number for number, wide in enumerate(asked) if covers(wide, facets)}


def test_the_index_compares_a_bounded_number_of_what_is_alike() -> None:
    index = CoverIndex([({("any", "actions"): frozenset([f"x*{number}*"])}, number) for number in range(10_000)])

    assert list(index.covering({("any", "actions"): frozenset([f"x*{MAX_COMPARED - 1}*"])})) == [MAX_COMPARED - 1]
    assert list(index.covering({("any", "actions"): frozenset([f"x*{MAX_COMPARED}*"])})) == []
