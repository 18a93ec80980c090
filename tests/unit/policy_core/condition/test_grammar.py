"""Conditions from a bundle: what is not in the grammar, or beyond a limit, is refused before it is compiled."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy_core.condition import (
    MAX_DEPTH,
    MAX_NODES,
    MAX_TEXT_CHARS,
    ConditionFormatError,
    check_condition,
    compile_condition,
)
from policy_core.testing.condition_strategies import conditions, json_values, odd_conditions

X = ["var", "context", "x"]


def nested(levels: int) -> Any:
    node: Any = True
    for _ in range(levels - 1):
        node = ["!", node]
    return node


@given(st.one_of(conditions(), odd_conditions()))
def test_what_the_grammar_generates_passes_and_survives_json(node: Any) -> None:
    check_condition(node)

    again = json.loads(json.dumps(node))
    assert again == node
    check_condition(again)


@pytest.mark.parametrize(
    "node",
    [
        [],
        [1],
        [["=="], 1, 1],
        ["nothing", 1],
        ["==", 1],
        ["==", 1, 2, 3],
        ["matches", "a", "b"],
        ["!", True, True],
        ["?:", True, True],
        ["&&", True],
        ["&&", True, ["&&", True, True]],
        ["||", ["||", True, True], False],
        {"==": [1, 1]},
        1.5,
        ["==", 1.0, 1],
        ["double", 1.5],
        ["double", "1.50"],
        ["double", "nan"],
        ["double", "inf"],
        ["double", "1e400"],
        ["double", "one"],
        ["double", "1_0.0"],
        2**63,
        -(2**63) - 1,
        ["timestamp", "2026-01-01T00:00:00Z"],
        ["timestamp", True],
        ["timestamp", 10**18],
        ["duration", 10**16],
        ["duration", 1.5],
        ["var"],
        ["var", "nobody"],
        ["var", "x"],
        ["var", "context", 1],
        ["var", ["context"]],
        ["select", ["var", "context"], "x"],
        ["select", X, "y"],
        ["select", ["index", X, 0], 1],
        ["index", X, "y"],
        ["has", ["var", "context"]],
        ["has", ["var", "context"], X],
        ["exists", X, "now", True],
        ["exists", X, "1x", True],
        ["exists", X, "@result", True],
        ["exists", X, 1, True],
        ["exists", X, "v"],
        ["exists", ["var", "v"], "v", True],
        ["&&", ["exists", X, "v", True], ["var", "v"]],
        "lone \ud800 surrogate",
        ["var", "context", "\udfff"],
    ],
    ids=str,
)
def test_everything_else_is_refused(node: Any) -> None:
    with pytest.raises(ConditionFormatError):
        check_condition(node)
    with pytest.raises(ConditionFormatError):
        compile_condition(node, {})


def test_a_message_names_what_is_wrong() -> None:
    with pytest.raises(ConditionFormatError) as caught:
        check_condition(["matches", "a", "b"])

    assert caught.value.message == "condition: unknown node 'matches'"
    assert caught.value.exit_code == 3


def test_depth_is_bounded() -> None:
    check_condition(nested(MAX_DEPTH))

    with pytest.raises(ConditionFormatError, match=f"deeper than {MAX_DEPTH}"):
        check_condition(nested(MAX_DEPTH + 1))
    with pytest.raises(ConditionFormatError, match=f"deeper than {MAX_DEPTH}"):
        check_condition(nested(100_000))


def test_nodes_are_bounded() -> None:
    check_condition(["list", *[1] * (MAX_NODES - 1)])

    with pytest.raises(ConditionFormatError, match=f"more than {MAX_NODES}"):
        check_condition(["list", *[1] * MAX_NODES])
    with pytest.raises(ConditionFormatError, match=f"more than {MAX_NODES}"):
        check_condition(["var", "context", *["a"] * MAX_NODES])


@pytest.mark.parametrize("wrap", [lambda text: text, lambda text: ["var", "context", text]])
def test_texts_are_bounded(wrap: Any) -> None:
    check_condition(wrap("a" * MAX_TEXT_CHARS))

    with pytest.raises(ConditionFormatError, match=f"longer than {MAX_TEXT_CHARS}"):
        check_condition(wrap("a" * (MAX_TEXT_CHARS + 1)))


@given(st.one_of(json_values, st.recursive(st.sampled_from(["==", "var", "has", "context", 1, 1.5, None]), st.lists)))
def test_any_json_is_checked_without_another_error(value: Any) -> None:
    try:
        check_condition(value)
    except ConditionFormatError:
        return

    compile_condition(value, {})
