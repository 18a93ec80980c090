"""Closures of operators: plain ones for every shape, special ones for the shapes policies are full of."""

import operator
from collections.abc import Callable, Iterable
from typing import Any

from policy_core.condition.code import VARIES, Code, Frame, Run
from policy_core.condition.grammar import EQUALITIES, ORDERINGS, TEXT_TESTS
from policy_core.condition.values import (
    BINARY_OPERATIONS,
    NUMBERS,
    UNARY_OPERATIONS,
    ConditionError,
    Value,
    fault,
    in_int64,
    mismatch,
    type_name,
)
from policy_core.request import Request

_TEXT_TESTS: dict[str, Callable[[str, str], bool]] = {
    "startsWith": str.startswith,
    "endsWith": str.endswith,
    "contains": str.__contains__,
}
_COMPARE = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


def unary(name: str, operand: Run, node: Value) -> Run:
    """Return the closure of ``!``, unary minus or size."""
    operation = UNARY_OPERATIONS[name]
    if name == "!":
        return lambda r, f: not value if type(value := operand(r, f)) is bool else operation(value, node)
    return lambda r, f: operation(operand(r, f), node)


def binary(name: str, left: Code, right: Code, node: Value) -> Run:
    """Return the closure of an operator with two operands, which evaluates the left one first."""
    special = None
    if name in EQUALITIES:
        if right.constant is not VARIES:
            special = _equality_with(right.constant, left.run, negated=name == "!=")
        elif left.constant is not VARIES:
            special = _equality_with(left.constant, right.run, negated=name == "!=")
    elif name in ORDERINGS and type(right.constant) in NUMBERS:
        special = _ordering_with(name, left.run, right.constant, node)
    elif name == "in" and type(left.constant) is str:
        special = _has_member(left.constant, right.run, node)
    elif name == "in" and type(right.constant) is list and all(type(item) is str for item in right.constant):
        special = _among_texts(left.run, frozenset(right.constant))
    elif name in TEXT_TESTS and type(right.constant) is str:
        special = _text_test_with(name, left.run, right.constant, node)
    return special or _plain(name, left.run, right.run, node)


def _plain(name: str, left: Run, right: Run, node: Value) -> Run:
    operation = BINARY_OPERATIONS[name]
    return lambda r, f: operation(left(r, f), right(r, f), node)


def _equality_with(constant: Value, operand: Run, *, negated: bool) -> Run | None:
    """Return the closure comparing with a scalar constant, or None for other constants."""
    kind = type(constant)
    if kind is str:  # nothing but an equal text equals a text, in Python too
        if negated:
            return lambda r, f: operand(r, f) != constant
        return lambda r, f: operand(r, f) == constant
    if constant is None or kind is bool:
        if negated:
            return lambda r, f: operand(r, f) is not constant
        return lambda r, f: operand(r, f) is constant
    if kind in NUMBERS:

        def run(r: Request, f: Frame) -> bool:
            value = operand(r, f)
            return (type(value) in NUMBERS and value == constant) is not negated

        return run
    return None


def _ordering_with(name: str, operand: Run, constant: float, node: Value) -> Run:
    compare = _COMPARE[name]

    def run(r: Request, f: Frame) -> bool:
        value = operand(r, f)
        if type(value) in NUMBERS:
            return bool(compare(value, constant))
        raise mismatch(node, value, constant)

    return run


def _text_test_with(name: str, operand: Run, constant: str, node: Value) -> Run:
    test = _TEXT_TESTS[name]

    def run(r: Request, f: Frame) -> bool:
        value = operand(r, f)
        if type(value) is str:
            return test(value, constant)
        raise mismatch(node, value, constant)

    return run


def _has_member(text: str, container: Run, node: Value) -> Run:
    def run(r: Request, f: Frame) -> bool:
        value = container(r, f)
        if type(value) is list or type(value) is dict:
            return text in value
        raise mismatch(node, text, value)

    return run


def _among_texts(operand: Run, texts: frozenset[str]) -> Run:
    def run(r: Request, f: Frame) -> bool:
        value = operand(r, f)
        return type(value) is str and value in texts

    return run


def conjunction(left: Run, right: Run, node: Value) -> Run:
    """Return the closure of ``&&`` of two: false on either side wins over an error on the other."""

    def run(r: Request, f: Frame) -> bool:
        try:
            first = left(r, f)
        except ConditionError:
            if right(r, f) is False:
                return False
            raise
        if first is False:
            return False
        second = right(r, f)
        if second is False or (second is True and first is True):
            return bool(second)
        raise not_boolean(node, first, second)

    return run


def chain(name: str, operands: list[Run], node: Value) -> Run:
    """Return the closure of a chain of ``&&`` or ``||``: the dominant value wins over errors anywhere in it."""
    dominant = name == "||"
    if len(operands) == 2 and not dominant:
        return conjunction(operands[0], operands[1], node)

    def run(r: Request, f: Frame) -> bool:
        rest = iter(operands)
        try:
            for operand in rest:
                value = operand(r, f)
                if value is dominant:
                    return bool(value)
                if type(value) is not bool:
                    raise not_boolean(node, value)
        except ConditionError:
            if _any_is(dominant, rest, r, f):
                return dominant
            raise
        return not dominant

    return run


def _any_is(dominant: bool, operands: Iterable[Run], r: Request, f: Frame) -> bool:
    """Tell whether one of the operands gives the value that wins over an error; their own errors do not matter."""
    for operand in operands:
        try:
            if operand(r, f) is dominant:
                return True
        except ConditionError:
            continue
    return False


def conditional(test: Run, then: Run, otherwise: Run, node: Value) -> Run:
    """Return the closure of ``c ? a : b``; the branch not taken is not evaluated."""

    def run(r: Request, f: Frame) -> Value:
        value = test(r, f)
        if value is True:
            return then(r, f)
        if value is False:
            return otherwise(r, f)
        raise not_boolean(node, value)

    return run


def boolean(operand: Run, node: Value) -> Run:
    """Return a closure that raises ConditionError unless `operand` gives a boolean."""

    def run(r: Request, f: Frame) -> bool:
        value = operand(r, f)
        if value is True or value is False:
            return bool(value)
        raise not_boolean(node, value)

    return run


def list_literal(items: list[Run]) -> Run:
    """Return the closure of ``[a, b]``."""
    return lambda r, f: [item(r, f) for item in items]


def select(operand: Run, field: str, node: Value) -> Run:
    """Return the closure of a field of anything but a variable."""

    def run(r: Request, f: Frame) -> Value:
        value = operand(r, f)
        if type(value) is not dict:
            raise mismatch(node, value)
        if field not in value:
            raise fault(node, "absent")
        return in_int64(value[field], node)

    return run


def has(operand: Run, field: str, node: Value) -> Run:
    """Return the closure of ``has(a.field)``."""

    def run(r: Request, f: Frame) -> bool:
        value = operand(r, f)
        if type(value) is not dict:
            raise mismatch(node, value)
        return field in value

    return run


def index(operand: Run, key: Run, node: Value) -> Run:
    """Return the closure of ``a[b]``: an integral index of a list, or a text key of a map."""

    def run(r: Request, f: Frame) -> Value:
        value, at = operand(r, f), key(r, f)
        if type(value) is list:
            if type(at) is float and at.is_integer():
                at = int(at)
            if type(at) is not int:
                raise mismatch(node, value, at)
            if not 0 <= at < len(value):
                raise fault(node, f"index {at} is outside a list of {len(value)}")
        elif type(value) is not dict or type(at) is not str:
            raise mismatch(node, value, at)
        elif at not in value:
            raise fault(node, "absent")
        return in_int64(value[at], node)

    return run


def not_boolean(node: Value, *values: Any) -> ConditionError:
    """Return the error of a condition that is no boolean."""
    wrong = next(value for value in values if type(value) is not bool)
    return fault(node, f"needs a bool (found {type_name(wrong)})")
