"""A condition written out as CEL reads back as the same condition."""

from typing import Any

import pytest
from hypothesis import assume, given, settings

from builder.language.cel import CelError, lower
from policy_core.condition import render_condition
from policy_core.testing.condition_strategies import conditions


@settings(max_examples=80, deadline=None)
@given(conditions())
def test_lowering_undoes_rendering(node: Any) -> None:
    try:
        lowered = lower(render_condition(node))
    except CelError:
        assume(False)  # a type error that the checker sees
        return

    assert lowered == node


@pytest.mark.parametrize(
    "source",
    [
        "1 - (2 - 3) == 4 * (5 + 6) % 7",
        "(1 - 2) * 3 < 0 && (true || false) && !(1 in [1])",
        "(context.a ? 1 : 2) == 3 ? context.b == 1 : context.c == 1",
        '(context.a + "x").startsWith("y") || (-context.n).size() == 1',
        "-(5) == - -5 && -(-1.5) < 1.0 && 1 - -2 == 3",
        'context["odd key"].if == 1 || context["in"][0] == "\\u0000\\n\\"\\\\\\u2028"',
        "has(context.a.b) && has(context.`odd-key`)",
        "[context][0].x[1].y == (1.5)",
        'timestamp("2026-03-01T00:00:00.25Z") - duration("-1h0m1.5s") < now && duration("0s") != duration("1000ns")',
    ],
)
def test_parentheses_and_quotes_are_where_they_are_needed(source: str) -> None:
    node = lower(source)

    assert lower(render_condition(node)) == node
