"""Conditions of any shape against schemas: never a crash, each variable in its place, no complaint without cause."""

import json
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from builder.language.cel import CelError, lower, variable_offsets
from builder.language.nodes import Report
from builder.schemas.conditions import condition_complaints
from builder.schemas.declarations import Declarations, Scope, read_declarations
from policy_core.condition import ConditionError, compile_condition, render_condition
from policy_core.request import Request
from policy_core.testing.condition_strategies import DOUBLES, INTEGERS, TEXTS, conditions, odd_conditions

KINDS: dict[str, Any] = {
    "b": {"type": "boolean"},
    "n": {"type": "number"},
    "s": {"type": "string"},
    "l": {"type": "array", "items": {"type": "string"}},
    "m": {"type": "object", "properties": {"n": {"type": "integer"}}},
    "e": {"enum": ["sre", "prod", 1, True]},
}
VALUES = {
    "b": st.booleans(),
    "n": st.sampled_from([*INTEGERS, *DOUBLES]),
    "s": st.sampled_from(TEXTS),
    "l": st.lists(st.sampled_from(TEXTS), max_size=3),
    "m": st.fixed_dictionaries({"n": st.sampled_from(INTEGERS)}),
    "e": st.sampled_from(KINDS["e"]["enum"]),
}
SCALARS = st.one_of(
    st.none(), st.booleans(), st.sampled_from(INTEGERS), st.sampled_from(DOUBLES), st.sampled_from(TEXTS)
)


def declarations(properties: dict[str, Any]) -> Declarations:
    report = Report("")
    found = read_declarations([("schemas/context.json", json.dumps({"properties": properties}).encode())], report)
    assert report.problems == []
    return found


DECLARED = declarations(KINDS)


def variables(node: Any) -> list[str]:
    """Return the names of the variables of a condition, in the order of its nodes."""
    if not isinstance(node, list):
        return []
    if node[0] == "var":
        return [node[1]]
    return [name for operand in node[1:] for name in variables(operand)]


@given(st.one_of(conditions(), odd_conditions()))
def test_any_condition_can_be_checked(node: Any) -> None:
    read = len(variables(node))

    assert all(0 <= variable < read for variable, _ in condition_complaints(node, DECLARED, Scope()))


@given(conditions())
def test_every_variable_is_found_where_it_stands(node: Any) -> None:
    text = render_condition(node)
    try:
        names = variables(lower(text))
    except CelError:
        assume(False)

    offsets = variable_offsets(text)

    assert len(offsets) == len(names)
    assert all(text.startswith(name, offset) for name, offset in zip(names, offsets, strict=True))


def complains(node: list[Any]) -> bool:
    return any(condition_complaints(node, DECLARED, Scope()))


def results(node: list[Any], context: dict[str, Any]) -> bool | None:
    request = Request({"type": "a", "id": "a"}, {"name": "a"}, {"type": "a", "id": "a"}, context, now=0.0, host={})
    try:
        return bool(compile_condition(node, {})(request))
    except ConditionError:
        return None


def literal(value: Any) -> Any:
    return ["double", repr(value)] if isinstance(value, float) else value


@given(st.fixed_dictionaries(VALUES), st.sampled_from(list(KINDS)), SCALARS, st.booleans())
def test_what_is_said_to_be_never_equal_never_is(context: dict[str, Any], key: str, value: Any, turned: bool) -> None:
    operands = [["var", "context", key], literal(value)]
    node = ["==", *(reversed(operands) if turned else operands)]

    assume(complains(node))

    assert results(node, context) is not True


@given(st.fixed_dictionaries(VALUES), st.sampled_from(["<", "<=", ">", ">="]), st.sampled_from(list(KINDS)), SCALARS)
def test_what_is_said_to_have_no_order_is_an_error(context: dict[str, Any], name: str, key: str, value: Any) -> None:
    node = [name, ["var", "context", key], literal(value)]

    assume(complains(node))

    assert results(node, context) is None


@given(st.fixed_dictionaries(VALUES), st.sampled_from(["startsWith", "contains", "size", "!", "neg"]), st.data())
def test_what_is_said_to_be_misused_is_an_error(context: dict[str, Any], name: str, data: st.DataObject) -> None:
    path = ["var", "context", data.draw(st.sampled_from(list(KINDS)))]
    node = [name, path, "a"] if name in ("startsWith", "contains") else [name, path]
    whole = ["==", node, 1] if name in ("size", "neg") else node

    assume(complains(whole))

    assert results(whole, context) is None


@pytest.mark.parametrize("key", KINDS)
def test_an_attribute_may_be_compared_with_its_like(key: str) -> None:
    assert not complains(["==", ["var", "context", key], ["var", "context", key]])
