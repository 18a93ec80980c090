"""Operations on condition values with CEL's exact semantics, where Python's own would differ.

Values are what JSON decodes to (None, bool, int, float, str, list, dict) plus datetime (UTC) and timedelta. Pitfalls
kept out here: ``True == 1``, unbounded integers, floored division, NaN found by identity, division by zero raising.
"""

import math
import operator
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeAlias

from policy_core.condition.grammar import DURATION_MAX_US, INT_MAX, INT_MIN
from policy_core.condition.text import render_condition

MAX_STEPS: Final = 10_000
"""Steps the comprehensions of one evaluation may take together; docs/reference/conditions.md says what costs a step."""
ELEMENTS_PER_STEP: Final = 10
CHARS_PER_ELEMENT: Final = 100
MAX_MESSAGE_CHARS: Final = 300

Value: TypeAlias = Any
NUMBERS: Final = frozenset({int, float})
_ORDERED = frozenset({int, float, str, bool, datetime, timedelta})
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DURATION_MAX = timedelta(microseconds=DURATION_MAX_US)
_TYPE_NAMES = {
    type(None): "null", bool: "bool", int: "int", float: "double", str: "string", list: "list", dict: "map",
    datetime: "timestamp", timedelta: "duration",
}  # fmt: skip


class ConditionError(Exception):
    """A condition could not be evaluated for this request; the message is one line that names the place."""


class _NodeError(ConditionError):
    """The error of one node; its text is only made when somebody reads it, as many errors are absorbed."""

    def __init__(self, node: Value, what: str) -> None:
        super().__init__(what)
        self.node = node
        self.what = what

    def __str__(self) -> str:
        return f"{render_condition(self.node)}: {self.what}"[:MAX_MESSAGE_CHARS]


class LimitError(Exception):
    """An evaluation went beyond a limit: not absorbed by ``&&`` and its like; callers get a ConditionError."""


def type_name(value: Value) -> str:
    """Return the CEL name of a value's type."""
    return _TYPE_NAMES.get(type(value), "unknown")


def fault(node: Value, what: str) -> ConditionError:
    """Return the error of a node, which reads as the node's text and what went wrong."""
    return _NodeError(node, what)


def mismatch(node: Value, *values: Value) -> ConditionError:
    """Return the error of an operation that is not defined on the types of `values`."""
    return _NodeError(node, f"not defined on ({', '.join(map(type_name, values))})")


def beyond_int64(node: Value) -> ConditionError:
    """Return the error of reading a JSON integer that CEL cannot hold."""
    return fault(node, "integer beyond 64 bits")


def in_int64(value: Value, node: Value) -> Value:
    """Return a value read from a map or list; raise ConditionError for a JSON integer that CEL cannot hold."""
    if type(value) is int and not INT_MIN <= value <= INT_MAX:
        raise beyond_int64(node)
    return value


def timestamp(microseconds: int) -> datetime:
    """Return the moment that many microseconds after 1970-01-01T00:00:00Z."""
    return _EPOCH + timedelta(microseconds=microseconds)


def equal(left: Value, right: Value) -> bool:
    """Compare by type and value: ``1 == 1.0`` holds, ``1 == true`` does not, NaN equals nothing; never an error."""
    kind = type(left)
    if kind is not type(right):
        return kind in NUMBERS and type(right) in NUMBERS and bool(left == right)
    if kind is list:
        return len(left) == len(right) and all(map(equal, left, right))
    if kind is dict:
        return len(left) == len(right) and all(key in right and equal(item, right[key]) for key, item in left.items())
    return bool(left == right)


def equals(left: Value, right: Value, _node: Value) -> bool:
    """Evaluate ``==``."""
    return equal(left, right)


def differs(left: Value, right: Value, _node: Value) -> bool:
    """Evaluate ``!=``."""
    return not equal(left, right)


def member(value: Value, container: Value, node: Value) -> bool:
    """Evaluate ``in``: an element of a list, or a key of a map."""
    kind = type(container)
    if kind is list:
        # Whatever is equal in CEL is equal in Python, so a miss of the fast scan is a miss.
        return value in container and (type(value) is str or any(equal(value, item) for item in container))
    if kind is dict:
        if type(value) is str:
            return value in container
        if type(value) in (int, float, bool):
            return False  # keys of JSON objects are strings
    raise mismatch(node, value, container)


def ordering(compare: Callable[[Value, Value], bool]) -> Callable[[Value, Value, Value], bool]:
    """Return the evaluation of ``<``, ``<=``, ``>`` or ``>=``: two numbers, or two values of one ordered type."""

    def evaluate(left: Value, right: Value, node: Value) -> bool:
        kind, other = type(left), type(right)
        if (kind is other and kind in _ORDERED) or (kind in NUMBERS and other in NUMBERS):
            return compare(left, right)
        raise mismatch(node, left, right)

    return evaluate


def add(left: Value, right: Value, node: Value) -> Value:
    """Evaluate ``+``: numbers of one type, texts, lists, durations, timestamp and duration."""
    kind, other = type(left), type(right)
    if kind is other:
        if kind is int:
            return _int64(left + right, node)
        if kind is float or kind is str or kind is list:
            return left + right
        if kind is timedelta:
            return _in_range(left + right, node)
    elif (kind is datetime and other is timedelta) or (kind is timedelta and other is datetime):
        return _moved(operator.add, left, right, node)
    raise mismatch(node, left, right)


def subtract(left: Value, right: Value, node: Value) -> Value:
    """Evaluate ``-``: numbers of one type, durations, two timestamps, timestamp and duration."""
    kind, other = type(left), type(right)
    if kind is other:
        if kind is int:
            return _int64(left - right, node)
        if kind is float:
            return left - right
        if kind is timedelta or kind is datetime:
            return _in_range(left - right, node)
    elif kind is datetime and other is timedelta:
        return _moved(operator.sub, left, right, node)
    raise mismatch(node, left, right)


def multiply(left: Value, right: Value, node: Value) -> Value:
    """Evaluate ``*`` on two numbers of one type."""
    if type(left) is int is type(right):
        return _int64(left * right, node)
    if type(left) is float is type(right):
        return left * right
    raise mismatch(node, left, right)


def divide(left: Value, right: Value, node: Value) -> Value:
    """Evaluate ``/``: integers truncate towards zero and refuse a zero divisor, doubles follow IEEE 754."""
    if type(left) is int is type(right):
        if right == 0:
            raise fault(node, "division by zero")
        quotient = abs(left) // abs(right)
        return _int64(quotient if (left < 0) == (right < 0) else -quotient, node)
    if type(left) is float is type(right):
        if right != 0.0:
            return left / right
        if left == 0.0 or math.isnan(left):
            return math.nan
        return math.copysign(math.inf, left) * math.copysign(1.0, right)
    raise mismatch(node, left, right)


def remainder(left: Value, right: Value, node: Value) -> Value:
    """Evaluate ``%`` on two integers; the result has the sign of the dividend."""
    if type(left) is int is type(right):
        if right == 0:
            raise fault(node, "modulus by zero")
        if right == -1 and left == INT_MIN:
            raise fault(node, "integer overflow")  # as the quotient beside it would
        rest = abs(left) % abs(right)
        return -rest if left < 0 else rest
    raise mismatch(node, left, right)


def negate(value: Value, node: Value) -> Value:
    """Evaluate unary minus."""
    if type(value) is int:
        return _int64(-value, node)
    if type(value) is float:
        return -value
    raise mismatch(node, value)


def invert(value: Value, node: Value) -> bool:
    """Evaluate ``!``."""
    if value is True:
        return False
    if value is False:
        return True
    raise mismatch(node, value)


def size(value: Value, node: Value) -> int:
    """Evaluate ``size``: code points of a text, elements of a list, keys of a map."""
    if type(value) in (str, list, dict):
        return len(value)
    raise mismatch(node, value)


def text_test(test: Callable[[str, str], bool]) -> Callable[[Value, Value, Value], bool]:
    """Return the evaluation of a test on two texts."""

    def evaluate(left: Value, right: Value, node: Value) -> bool:
        if type(left) is str is type(right):
            return test(left, right)
        raise mismatch(node, left, right)

    return evaluate


def elements(value: Value) -> int:
    """Return how much work touching a value may be: its elements at any depth, and one for each 100 characters."""
    kind = type(value)
    if kind is str:
        return len(value) // CHARS_PER_ELEMENT
    if kind is list:
        return len(value) + sum(map(elements, value))
    if kind is dict:
        return len(value) + sum(map(elements, value.values()))
    return 0


BINARY_OPERATIONS: Final[dict[str, Callable[[Value, Value, Value], Value]]] = {
    "==": equals,
    "!=": differs,
    "<": ordering(operator.lt),
    "<=": ordering(operator.le),
    ">": ordering(operator.gt),
    ">=": ordering(operator.ge),
    "in": member,
    "+": add,
    "-": subtract,
    "*": multiply,
    "/": divide,
    "%": remainder,
    "startsWith": text_test(str.startswith),
    "endsWith": text_test(str.endswith),
    "contains": text_test(operator.contains),
}
UNARY_OPERATIONS: Final[dict[str, Callable[[Value, Value], Value]]] = {"!": invert, "neg": negate, "size": size}


def _int64(value: int, node: Value) -> int:
    if INT_MIN <= value <= INT_MAX:
        return value
    raise fault(node, "integer overflow")


def _in_range(value: timedelta, node: Value) -> timedelta:
    if -_DURATION_MAX <= value <= _DURATION_MAX:
        return value
    raise fault(node, "duration overflow")


def _moved(move: Callable[[Value, Value], datetime], left: Value, right: Value, node: Value) -> datetime:
    try:
        return move(left, right)
    except OverflowError as error:
        raise fault(node, "timestamp overflow") from error
