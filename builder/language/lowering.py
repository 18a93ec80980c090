"""From the CEL library's tree to the condition IR, collecting what lies outside the condition profile."""

import math
from typing import Any, Final

from builder.language.cel_messages import name_offset, suggestion, unknown_name
from builder.language.checked_ast import (
    Ast,
    Call,
    Comprehension,
    Constant,
    Expression,
    Ident,
    ListLiteral,
    Select,
)
from builder.language.times import duration_us, timestamp_us
from policy_core.condition import ROOTS
from policy_core.condition.grammar import COMPREHENSIONS

OUTSIDE: Final = "outside the condition profile"
_SEE: Final = "docs/reference/conditions.md lists what a condition may use"
_HINTS = {
    "matches": "regular expressions are left out: use startsWith, endsWith or contains, or a glob in match",
    "dyn": "leave it out",
}
_OPERATORS = {
    "_==_": "==", "_!=_": "!=", "_<_": "<", "_<=_": "<=", "_>_": ">", "_>=_": ">=", "@in": "in",
    "_+_": "+", "_-_": "-", "_*_": "*", "_/_": "/", "_%_": "%", "!_": "!", "-_": "neg", "_?_:_": "?:",
}  # fmt: skip
_CHAINS = {"_&&_": "&&", "_||_": "||"}
_FUNCTIONS = {
    ("startsWith", True, 2): "startsWith",
    ("endsWith", True, 2): "endsWith",
    ("contains", True, 2): "contains",
    ("size", False, 1): "size",
    ("size", True, 1): "size",
}
"""By name, whether it is called as a method, and how many operands it has then."""
_TIMES = {"timestamp": timestamp_us, "duration": duration_us}
_FIELDS = {
    "subject": ("type", "id", "properties"),
    "action": ("name", "properties"),
    "resource": ("type", "id", "properties"),
}
_INVALID: Final = None
"""Stands in for a node that has a problem, so that the walk goes on and finds the next one."""


class Lowering:
    """One walk over a tree; `problems` (offset in code points, message, hint) tell what is outside the profile."""

    def __init__(self, source: str, ast: Ast) -> None:
        self.problems: list[tuple[int, str, str]] = []
        self._source = source
        self._ast = ast
        self._positions: dict[int, int] | None = None
        self._variables: list[int] = []

    def condition(self) -> Any:
        """Return the IR of the whole tree; meaningless if there are problems afterwards."""
        return self._node(self._ast.root, frozenset())

    def variable_offsets(self) -> list[int]:
        """Return where each variable is read (code points), in the order of the IR; call it after `condition`."""
        return [self._offset(node) for node in self._variables]

    def _node(self, expression: Expression, bound: frozenset[str]) -> Any:
        if isinstance(expression, Select):
            return self._select(expression, bound)
        if isinstance(expression, Call):
            return self._call(expression, bound)
        if isinstance(expression, Ident):
            return self._variable(expression, bound)
        if isinstance(expression, Constant):
            return self._constant(expression)
        if isinstance(expression, ListLiteral):
            return ["list", *(self._node(element, bound) for element in expression.elements)]
        if isinstance(expression, Comprehension):
            return self._comprehension(expression, bound)
        return self._outside(expression.id, "a map or message literal", "put the table into data/ and look it up there")

    def _variable(self, ident: Ident, bound: frozenset[str]) -> Any:
        if ident.name in bound or ident.name in ROOTS:
            self._variables.append(ident.id)
            return ["var", ident.name]
        return self._problem(ident.id, *unknown_name(ident.name))

    def _constant(self, constant: Constant) -> Any:
        if isinstance(constant.value, float):
            if not math.isfinite(constant.value):
                return self._problem(constant.id, "a double beyond its range", "")
            return ["double", repr(constant.value)]
        if constant.kind in ("null", "bool", "int", "string"):
            return constant.value
        return self._outside(constant.id, f"a literal of type {constant.kind}")

    def _select(self, select: Select, bound: frozenset[str]) -> Any:
        operand = self._node(select.operand, bound)
        if type(operand) is list and operand[0] == "var":
            if len(operand) == 2 and operand[1] in _FIELDS:
                self._check_field(operand[1], select)
            return ["has", operand, select.field] if select.test_only else [*operand, select.field]
        return ["has" if select.test_only else "select", operand, select.field]

    def _check_field(self, name: str, select: Select) -> None:
        """Refuse a field that a request never has: reading it could only ever be an error."""
        known = _FIELDS[name]
        if select.field not in known:
            near = suggestion(select.field, known)
            hint = near or f"did you mean {name}.properties.{select.field}? {name} has {', '.join(known)}"
            at = self._source.find(select.field, self._offset(select.operand.id) + len(name))
            self.problems.append((max(at, 0), f"unknown field {name}.{select.field}", hint))

    def _call(self, call: Call, bound: frozenset[str]) -> Any:
        function = call.function
        if function in _CHAINS:
            return self._chain(_CHAINS[function], call, bound)
        if function == "_[_]":
            return self._index(call, bound)
        if function in _TIMES and call.target is None and len(call.arguments) == 1:
            return self._time(call)
        if function in COMPREHENSIONS:  # not expanded, so it has the wrong number of arguments
            return self._outside(call.id, f"this form of {function}", f"write a.{function}(x, …)", named=function)
        operands = call.arguments if call.target is None else (call.target, *call.arguments)
        name = _OPERATORS.get(function) or _FUNCTIONS.get((function, call.target is not None, len(operands)))
        nodes = [self._node(operand, bound) for operand in operands]
        if name is None:
            return self._outside(call.id, function, _HINTS.get(function, _SEE), named=function)
        return [name, *nodes]

    def _chain(self, name: str, call: Call, bound: frozenset[str]) -> Any:
        """Flatten a chain, which the library hands over as a balanced tree."""
        operands: list[Any] = []
        for argument in call.arguments:
            node = self._node(argument, bound)
            if type(node) is list and node[0] == name:
                operands += node[1:]
            else:
                operands.append(node)
        return [name, *operands]

    def _index(self, call: Call, bound: frozenset[str]) -> Any:
        operand, key = call.arguments
        if isinstance(key, Constant) and isinstance(key.value, str):
            return self._select(Select(call.id, operand, key.value, test_only=False), bound)
        return ["index", self._node(operand, bound), self._node(key, bound)]

    def _time(self, call: Call) -> Any:
        function, argument = call.function, call.arguments[0]
        if not isinstance(argument, Constant) or not isinstance(argument.value, str):
            return self._outside(call.id, f"{function}() of anything but a string literal", named=function)
        try:
            return [function, _TIMES[function](argument.value)]
        except ValueError as error:
            return self._problem(argument.id, f"{function}: {argument.value!r} {error}", "")

    def _comprehension(self, loop: Comprehension, bound: frozenset[str]) -> Any:
        recognised = recognise(loop)
        if recognised is None:
            return self._outside(loop.id, "this macro")
        name, predicate, body = recognised
        if loop.variable in ROOTS:
            self._problem(loop.id, f"{name}: {loop.variable} is a variable of every condition", "choose another name")
        inner = bound | {loop.variable}
        operand = self._node(loop.operand, bound)
        if predicate is not None:
            operand = ["filter", operand, loop.variable, self._node(predicate, inner)]
        return [name, operand, loop.variable, self._node(body, inner)]

    def _outside(self, node: int, what: str, hint: str = _SEE, *, named: str = "") -> Any:
        return self._problem(node, f"{what} is {OUTSIDE}", hint, named=named)

    def _problem(self, node: int, message: str, hint: str, *, named: str = "") -> Any:
        self.problems.append((name_offset(self._source, self._offset(node), named), message, hint))
        return _INVALID

    def _offset(self, node: int) -> int:
        if self._positions is None:
            self._positions = self._ast.positions()
        return self._positions.get(node, 0)


def recognise(loop: Comprehension) -> tuple[str, Expression | None, Expression] | None:
    """Return name, predicate (only of a three-argument map) and body of the macro a loop was made from, if it is ours.

    Each macro has one shape; a condition cannot name the accumulator, so nothing else looks like it.
    """

    def is_accumulator(expression: Expression) -> bool:
        return isinstance(expression, Ident) and expression.name == loop.accumulator

    def appended(expression: Expression) -> Expression | None:
        """Return x of ``accumulator + [x]``."""
        match expression:
            case Call(function="_+_", arguments=(so_far, ListLiteral(elements=(item,)))) if is_accumulator(so_far):
                return item
        return None

    match loop:
        case Comprehension(second_variable=str(second)) if second:
            return None
        case Comprehension(
            start=Constant(kind="bool", value=bool(start)),
            step=Call(function="_||_" | "_&&_" as operator, arguments=(so_far, body)),
            result=result,
        ) if start == (operator == "_&&_") and is_accumulator(so_far) and is_accumulator(result):
            return "all" if start else "exists", None, body
        case Comprehension(
            start=Constant(kind="int", value=0),
            step=Call(function="_?_:_", arguments=(body, Call(function="_+_", arguments=(count, one)), unchanged)),
            result=Call(function="_==_", arguments=(total, Constant(kind="int", value=1))),
        ) if one[1:] == ("int", 1) and all(map(is_accumulator, (count, unchanged, total))):
            return "exists_one", None, body
        case Comprehension(start=ListLiteral(elements=()), step=step, result=result) if is_accumulator(result):
            if (item := appended(step)) is not None:
                return "map", None, item
            match step:
                case Call(function="_?_:_", arguments=(predicate, then, unchanged)) if is_accumulator(unchanged):
                    item = appended(then)
                    if isinstance(item, Ident) and item.name == loop.variable:
                        return "filter", None, predicate
                    if item is not None:
                        return "map", predicate, item
    return None
