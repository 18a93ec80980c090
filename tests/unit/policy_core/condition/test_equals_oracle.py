"""The closures that hosts run, the naive interpreter and a CEL library say the same of generated conditions."""

from datetime import UTC, datetime
from typing import Any

from cel_expr_python import cel
from effort import examples
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from policy_core.condition import ROOTS, ConditionError, compile_condition, render_condition
from policy_core.request import Request
from policy_core.testing.condition_strategies import (
    attribute_maps,
    condition_requests,
    conditions,
    odd_conditions,
    wide_json_values,
)
from policy_core.testing.conditions import evaluate_condition

ERROR = "error"
GENEROUS: Any = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large]}


def of_closures(node: Any, request: Request, data: dict[str, Any]) -> bool | str:
    try:
        return compile_condition(node, data)(request)
    except ConditionError:
        return ERROR


def of_oracle(node: Any, request: Request, data: dict[str, Any]) -> bool | str:
    try:
        return evaluate_condition(node, request, data)
    except ConditionError:
        return ERROR


def of_library(expression: Any, request: Request, data: dict[str, Any]) -> bool | str:
    variables = {name: getattr(request, name) for name in ("subject", "action", "resource", "context", "host")}
    value = expression.eval(data={**variables, "data": data, "now": datetime.fromtimestamp(request.now, UTC)})
    return bool(value.plain_value()) if value.type() == cel.Type.BOOL else ERROR


def library() -> Any:
    types = cel.Type
    anything = types.Map(types.STRING, types.DYN)
    special = {"host": types.Map(types.STRING, types.STRING), "now": types.TIMESTAMP}
    return cel.NewEnv(variables={name: special.get(name, anything) for name in ROOTS})


LIBRARY = library()


@settings(max_examples=examples(100, nightly=2_000), **GENEROUS)
@given(
    conditions(),
    st.lists(condition_requests(wide_json_values), min_size=2, max_size=2),
    attribute_maps(wide_json_values),
)
def test_closures_equal_the_oracle(node: Any, requests: list[Request], data: dict[str, Any]) -> None:
    for request in requests:
        assert of_closures(node, request, data) == of_oracle(node, request, data)


@settings(max_examples=examples(100, nightly=2_000), **GENEROUS)
@given(odd_conditions(), condition_requests(wide_json_values), attribute_maps(wide_json_values))
def test_closures_equal_the_oracle_on_conditions_without_types(
    node: Any, request: Request, data: dict[str, Any]
) -> None:
    assert of_closures(node, request, data) == of_oracle(node, request, data)


@settings(max_examples=examples(100, nightly=6_400), **GENEROUS)
@given(conditions(), st.lists(condition_requests(), min_size=8, max_size=8), attribute_maps())
def test_closures_equal_a_cel_library(node: Any, requests: list[Request], data: dict[str, Any]) -> None:
    """800 cases in every run, 51 200 in the nightly, but for the few conditions that the library refuses."""
    try:
        expression = LIBRARY.compile(render_condition(node))
    except RuntimeError:
        assume(False)  # a type error that the checker sees, such as a map() of booleans added to a list
        return

    for request in requests:
        assert of_closures(node, request, data) == of_library(expression, request, data)
