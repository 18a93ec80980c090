"""What conditions mean, construct by construct: the value, or the error and what it says.

Every claim is checked for the closures and for the naive interpreter.
"""

from typing import Any

import pytest

from builder.language.cel import lower
from policy_core.condition import ConditionError, compile_condition
from policy_core.request import Request
from policy_core.testing.conditions import evaluate_condition

DATA = {"limits": {"max": 3}, "people": ["alice", "bob"], "mixed": [1, "a", True], "big": 2**70}
CONTEXT = {
    "one": 1, "two": 2, "half": 0.5, "yes": True, "no": False, "nothing": None, "text": "café😀", "empty": [],
    "list": [1, 2, 3], "words": ["a", "b"], "odd": [1, "a", None, True, 2.0, [1], {"k": 1}], "map": {"k": 1, "l": [2]},
    "max": 2**63 - 1, "min": -(2**63), "huge": 2**63, "exact": 2**53 + 1, "double": float(2**53), "zero": 0,
    "dzero": 0.0, "same": {"k": 1.0, "l": [2.0]}, "flags": {"k": True, "l": [2]}, "not_a_bool": "true",
}  # fmt: skip


def request(now: float = 1_700_000_000.0, **context: Any) -> Request:
    return Request(
        {"type": "user", "id": "alice", "properties": {"roles": ["sre", "dev"]}},
        {"name": "service.restart", "properties": {}},
        {"type": "service", "id": "db", "properties": {"instances": ["a", "b"], "tier": "gold"}},
        {**CONTEXT, **context},
        now=now,
        host={"env": "prod"},
    )


def value(source: str, **context: Any) -> bool | str:
    """Return what a condition gives, or the text of its error."""
    node, made = lower(source), request(**context)
    try:
        result: bool | str = compile_condition(node, DATA)(made)
    except ConditionError as error:
        with pytest.raises(ConditionError):
            evaluate_condition(node, made, DATA)
        return str(error)
    assert evaluate_condition(node, made, DATA) is result
    return result


@pytest.mark.parametrize(
    "source",
    [
        # variables, fields and indices
        'subject.id == "alice" && subject.type == "user" && action.name == "service.restart"',
        'resource.type == "service" && resource.id == "db" && resource.properties.tier == "gold"',
        '"sre" in subject.properties.roles && host.env == "prod" && data.limits.max == 3',
        'context["map"]["k"] == 1 && context.map[context.words[0] == "a" ? "k" : "l"] == 1',
        "context.list[0] == 1 && context.list[context.list[0]] == 2 && context.odd[6].k == 1",
        "context.list[context.dzero] == 1",
        "size(host) == 1 && host.all(label, host[label] == \"prod\")",
        # has() tells absent from null
        "has(context.nothing) && context.nothing == null && !has(context.absent) && !has(context.map.absent)",
        # numbers compare across types, nothing else does
        "context.one == 1.0 && context.half < 1 && context.one in [1.0] && 1.0 in context.list",
        "context.yes != 1 && context.one != true && !(context.yes in [1]) && !(true in context.list)",
        "context.exact != context.double && context.exact > context.double",
        'context.one != "1" && context.nothing != 0 && context.nothing != "" && context.empty != null',
        "context.no < context.yes && context.yes >= context.yes",
        # equality is deep
        "context.map == context.same && context.map != context.flags && context.list == [1.0, 2.0, 3.0]",
        "context.list != [1, 2] && context.map != context.nothing && context.empty == []",
        # NaN equals nothing, not even itself
        "context.dzero / context.dzero != context.dzero / context.dzero",
        "!([context.dzero / 0.0] == [context.dzero / 0.0]) && !(context.dzero / 0.0 in [context.dzero / 0.0])",
        "!(context.dzero / 0.0 < 1.0) && !(context.dzero / 0.0 >= 1.0)",
        # integers truncate, doubles follow IEEE 754
        "-7 / 2 == -3 && -7 % 2 == -1 && 7 / -2 == -3 && 7 % -2 == 1 && context.one - 8 == -7 && 7 / context.two == 3",
        "1.0 / context.dzero > 1e308 && -1.0 / context.dzero < -1e308 && 1.0 / -context.dzero < -1e308",
        "1e308 * (context.half * 40.0) > 1e308 && 0.1 + 0.2 != 0.3 && -context.half == -0.5",
        "context.max + 0 == 9223372036854775807 && context.min == -9223372036854775808",
        # texts count and order by code points
        'size(context.text) == 5 && context.text.size() == 5 && "\\uffff" < "\\U0001F600" && "Z" < "a"',
        'context.text.startsWith("caf") && context.text.endsWith("😀") && context.text.contains("é")',
        '"a" + "b" == "ab"',
        'context.text.contains("") && !context.text.startsWith("CAF")',
        # lists and maps
        '"k" in context.map && !("x" in context.map) && !(1 in context.map) && !(true in context.map)',
        "null in context.odd && [1] in context.odd && [1.0] in context.odd && context.same in [context.map]",
        "[1] + [2, 3] == context.list && size(context.map) == 2 && context.list + [] == context.list",
        # comprehensions
        "context.list.exists(x, x == 3) && context.list.all(x, x > 0) && context.list.exists_one(x, x > 2)",
        "context.list.filter(x, x > 1) == [2, 3] && context.list.map(x, x * 2) == [2, 4, 6]",
        "context.list.map(x, x > 1, x * 2) == [4, 6] && context.empty.all(x, x == 9) && !context.empty.exists(x, true)",
        'context.map.exists(key, key == "l") && context.map.all(key, size(key) == 1)',
        "context.list.exists(x, context.list.exists(y, y == x + 1) && context.list.exists(x, x == 1))",
        # times
        'now > timestamp("2023-11-14T22:13:19Z") && now == timestamp("2023-11-14T23:13:20+01:00")',
        'now - duration("1h30m") + duration("90m") == now && now - timestamp("2023-11-14T22:00:00Z") < duration("1h")',
        'duration("1h") - duration("90m") == duration("-30m") && duration("1s") + now > now',
        # the branch not taken is not evaluated
        "context.yes ? true : context.absent == 1",
    ],
)  # fmt: skip
def test_is_true(source: str) -> None:
    assert value(source) is True


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("context.absent == 1", "context.absent: absent"),
        ("context.map.absent == 1", "context.map.absent: absent"),
        ("subject.properties.team == 1", "subject.properties.team: absent"),
        ("resource.properties.team == 1", "resource.properties.team: absent"),
        ('host.zone == "a"', "host.zone: absent"),
        ("data.absent.x == 1", "data.absent: absent"),
        ("context.one.x == 1", "context.one.x: context.one is of type int, not a map"),
        ("context.nothing.x == 1", "context.nothing.x: context.nothing is of type null, not a map"),
        ("has(context.absent.x)", "context.absent: absent"),
        ("has(context.list.x)", "has(context.list.x): not defined on (list)"),
        ("context.list[3] == 1", "context.list[3]: index 3 is outside a list of 3"),
        ("context.list[-1] == 1", "context.list[-1]: index -1 is outside a list of 3"),
        ("context.list[context.half] == 1", "context.list[context.half]: not defined on (list, double)"),
        ("context.list[context.yes] == 1", "context.list[context.yes]: not defined on (list, bool)"),
        ("context.map[context.one] == 1", "context.map[context.one]: not defined on (map, int)"),
        ("context.map[context.text] == 1", "context.map[context.text]: absent"),
        ("context.text < 1", "context.text < 1: not defined on (string, int)"),
        ("context.yes < 1", "context.yes < 1: not defined on (bool, int)"),
        ("context.nothing < context.nothing", "not defined on (null, null)"),
        ("context.list < context.list", "not defined on (list, list)"),
        ("context.max + context.one == 0", "context.max + context.one: integer overflow"),
        ("context.min - context.one == 0", "context.min - context.one: integer overflow"),
        ("context.max * context.two == 0", "context.max * context.two: integer overflow"),
        ("-context.min == 0", "-context.min: integer overflow"),
        ("context.min / -1 == 0", "context.min / -1: integer overflow"),
        ("context.min % -1 == 0", "context.min % -1: integer overflow"),
        ("context.one / context.zero == 0", "context.one / context.zero: division by zero"),
        ("context.one % context.zero == 0", "context.one % context.zero: modulus by zero"),
        ("context.one + context.half == 1.5", "context.one + context.half: not defined on (int, double)"),
        ("context.half % context.half == 0.0", "not defined on (double, double)"),
        ("context.yes + context.yes == 2", "not defined on (bool, bool)"),
        ("context.text - context.text == 0", "not defined on (string, string)"),
        ("-context.yes == 1", "-context.yes: not defined on (bool)"),
        ("!context.one", "!context.one: not defined on (int)"),
        ("size(context.one) == 1", "size(context.one): not defined on (int)"),
        ("context.one.contains(\"a\")", "context.one.contains(\"a\"): not defined on (int, string)"),
        ('"a" in context.text', '"a" in context.text: not defined on (string, string)'),
        ("null in context.map", "null in context.map: not defined on (null, map)"),
        ("context.nothing in context.nothing", "not defined on (null, null)"),
        ("context.one.exists(x, true)", "context.one.exists(x, true): not defined on (int)"),
        ('context.text.all(x, x == "c")', "not defined on (string)"),
        ("context.not_a_bool ? true : false", "context.not_a_bool ? true : false: needs a bool (found string)"),
        ("context.not_a_bool && true", "needs a bool (found string)"),
        ("(context.yes ? context.one : context.two) || false", "needs a bool (found int)"),
        ("context.list.filter(x, x) == []", "needs a bool (found int)"),
        ("context.huge > 1", "context.huge: integer beyond 64 bits"),
        ("data.big > 1", "data.big: integer beyond 64 bits"),
        ('timestamp("9999-12-31T23:59:59Z") + duration("1s") > now', "timestamp overflow"),
        ('timestamp("0001-01-01T00:00:00Z") - duration("1s") > now', "timestamp overflow"),
        ('now - timestamp("0001-01-01T00:00:00Z") > duration("1s")', "duration overflow"),
        ('duration("9223372036s") + duration("1s") > duration("1s")', "duration overflow"),
    ],
)  # fmt: skip
def test_is_an_error(source: str, message: str) -> None:
    found = value(source)

    assert isinstance(found, str)
    assert message in found


@pytest.mark.parametrize("error", ["context.absent == 1", "context.not_a_bool", "1 / context.zero == 1"])
def test_false_wins_over_an_error_in_a_conjunction_and_true_in_a_disjunction(error: str) -> None:
    assert value(f"{error} && context.no") is False
    assert value(f"context.no && {error}") is False
    assert value(f"context.yes && {error} && context.no") is False
    assert value(f"{error} || context.yes") is True
    assert value(f"context.yes || {error}") is True
    assert value(f"context.no || {error} || context.yes") is True
    for undecided in (
        f"{error} && context.yes",
        f"context.yes && {error}",
        f"{error} || context.no",
        f"{error} && {error}",
    ):
        assert isinstance(value(f"({undecided}) || false"), str)


def test_exists_and_all_absorb_errors_and_the_other_macros_do_not() -> None:
    assert value("context.odd.exists(x, x > 1)") is True
    assert value("context.odd.all(x, x > 1)") is False
    assert isinstance(value("context.odd.exists(x, x > 5)"), str)
    assert isinstance(value("context.odd.all(x, x > 0)"), str)
    assert isinstance(value("context.odd.exists_one(x, x > 1)"), str)
    assert isinstance(value("context.odd.filter(x, x > 1) == [2.0]"), str)
    assert isinstance(value("context.odd.map(x, x + 1) == []"), str)


def test_a_name_that_hides_another_is_a_variable_of_its_own() -> None:
    nested = {"rows": [{"cells": [{"n": 1, "marks": [{"n": 2}]}]}]}

    def holds(comparison: str) -> bool | str:
        return value(f"context.rows.exists(x, x.cells.exists(x, x.marks.exists(y, {comparison})))", **nested)

    assert holds("y == x") is False
    assert holds("x.n == 1 && y.n == 2") is True
    assert value("context.list.exists(x, context.list.exists(x, x == 3) && x == 1)") is True


def test_an_integer_beyond_64_bits_is_an_error_where_it_is_read_and_only_there() -> None:
    assert value("context.numbers.exists(x, x == 1)", numbers=[2**63, 1]) is True
    assert isinstance(value("context.numbers.exists(x, x == 2)", numbers=[2**63, 1]), str)
    assert isinstance(value("context.numbers[0] == 1", numbers=[2**63, 1]), str)
    assert value("1 in context.numbers && size(context.numbers) == 2", numbers=[2**63, 1]) is True


def test_a_time_no_calendar_has_is_an_error() -> None:
    for now in (float("nan"), float("inf"), 1e300, -1e12):
        holds = compile_condition(lower('now > timestamp("2026-01-01T00:00:00Z")'), {})
        with pytest.raises(ConditionError, match=r"now: .* is no time"):
            holds(request(now))


def test_time_is_read_to_the_microsecond() -> None:
    holds = compile_condition(lower('now == timestamp("2023-11-14T22:13:20.123457Z")'), {})

    assert holds(request(1_700_000_000.123457)) is True


class TestSteps:
    """The work a request can cause is bounded, whatever the lists in it."""

    def test_a_comprehension_takes_a_step_for_each_element(self) -> None:
        assert value("context.long.all(x, x == 1)", long=[1] * 10_000) is True
        assert value("context.long.all(x, x == 1)", long=[1] * 10_001) == "more than 10000 steps in comprehensions"

    def test_nested_comprehensions_share_the_steps(self) -> None:
        nested = "context.long.all(x, context.long.all(y, x == y))"

        assert value(nested, long=[1] * 99) is True
        assert "steps" in str(value(nested, long=[1] * 100))

    def test_ending_early_or_an_absorbing_operator_does_not_hide_the_limit(self) -> None:
        assert "steps" in str(value("context.long.exists(x, x == 1)", long=[1] * 10_001))
        assert "steps" in str(value("context.long.exists(x, x == 1) || true", long=[1] * 10_001))
        assert "steps" in str(value("[1].exists(x, context.long.exists(y, y == x)) || context.yes", long=[1] * 10_001))

    def test_what_is_never_reached_takes_no_steps(self) -> None:
        assert value("true || context.long.exists(x, x == 1)", long=[1] * 10_001) is True

    @pytest.mark.parametrize(
        "body",
        [
            "x in context.big",
            "context.big == context.other",
            "[context.big] == [context.other]",
            "context.big + context.big != []",
            'context.long_text.contains("b") == false',
            'context.long_text + "x" != "x"',
        ],
    )
    def test_large_operands_inside_a_comprehension_take_steps_too(self, body: str) -> None:
        large = {"big": [1] * 1000, "other": [1] * 1000, "long_text": "a" * 100_000}

        assert value(f"context.few.all(x, {body})", few=[1] * 10, **large) is True
        assert "steps" in str(value(f"context.few.all(x, {body})", few=[1] * 200, **large))

    def test_what_the_policy_brings_itself_is_free(self) -> None:
        holds = compile_condition(lower("context.few.all(x, x in data.known)"), {"known": ["a"] * 5000})

        assert holds(request(few=["a"] * 5000)) is True

    def test_evaluations_do_not_share_steps(self) -> None:
        holds = compile_condition(lower("context.long.all(x, x == 1)"), {})

        assert [holds(request(long=[1] * 6000)) for _ in range(3)] == [True] * 3


def test_lists_too_deep_to_compare_are_an_error() -> None:
    deep: list[Any] = []
    other: list[Any] = []
    for _ in range(100_000):
        deep, other = [deep], [other]
    holds = compile_condition(lower("context.deep == context.other"), {})

    with pytest.raises(ConditionError, match="nested too deeply"):
        holds(request(deep=deep, other=other))


def test_a_long_condition_gives_a_short_message() -> None:
    found = value(f'context.text + "{"a" * 1000}" < context.one')

    assert isinstance(found, str)
    assert len(found) == 300


def test_reference_data_is_fixed_when_compiled() -> None:
    data = {"limit": 1}
    holds = compile_condition(lower("context.one == data.limit"), data)
    data["limit"] = 2

    assert holds(request()) is True


@pytest.mark.parametrize("node", [True, ["var", "context", "yes"], ["?:", True, ["var", "context", "yes"], False]])
def test_a_condition_of_a_bundle_may_be_any_node_that_turns_out_boolean(node: Any) -> None:
    assert compile_condition(node, {})(request()) is True


@pytest.mark.parametrize("node", [None, 1, "true", ["list"], ["var", "context"], ["double", "1.0"], ["timestamp", 0]])
def test_a_condition_of_a_bundle_that_is_no_boolean_is_an_error(node: Any) -> None:
    with pytest.raises(ConditionError, match="needs a bool"):
        compile_condition(node, {})(request())
    with pytest.raises(ConditionError):
        evaluate_condition(node, request(), {})
