"""The naive interpreter of conditions: the test oracle, written from the specification without the closures' code.

It walks the IR for every request and knows no special case; docs/reference/conditions.md is what it follows.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

from policy_core.condition import MAX_STEPS, ConditionError
from policy_core.condition.grammar import BINARY, UNARY
from policy_core.request import Request

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_OPERATIONS = BINARY | UNARY | {"double", "timestamp", "duration", "select", "index", "has", "list"}


class _OverLimitError(Exception):
    """Beyond the steps of one evaluation; nothing absorbs it."""


def evaluate_condition(node: Any, request: Request, data: Mapping[str, Any]) -> bool:
    """Return what a checked condition says of a request; raise ConditionError where that is an error."""
    try:
        value = _Evaluation(request, data).value(node, {})
    except _OverLimitError as error:
        raise ConditionError("too many steps") from error
    if not isinstance(value, bool):
        raise ConditionError("the condition is no boolean")
    return value


class _Evaluation:
    def __init__(self, request: Request, data: Mapping[str, Any]) -> None:
        self.variables = {
            "subject": request.subject,
            "action": request.action,
            "resource": request.resource,
            "context": request.context,
            "host": dict(request.host),
            "data": dict(data),
        }
        self.now = request.now
        self.steps = 0

    def pay(self, steps: int) -> None:
        self.steps += steps
        if self.steps > MAX_STEPS:
            raise _OverLimitError

    def value(self, node: Any, bound: dict[str, Any]) -> Any:
        if not isinstance(node, list):
            return node
        match node:
            case ["double" | "timestamp" | "duration" as name, written]:
                return _literal(name, written)
            case ["var", name, *fields]:
                value = self.variable(name, bound)
                for field in fields:
                    value = _field(value, field)
                return _readable(value)
            case ["select", operand, field]:
                return _readable(_field(self.value(operand, bound), field))
            case ["has", operand, field]:
                value = self.value(operand, bound)
                _require(isinstance(value, dict), "has() of something that is no map")
                return field in value
            case ["index", operand, key]:
                return _readable(_item(self.value(operand, bound), self.value(key, bound)))
            case ["list", *items]:
                return [self.value(item, bound) for item in items]
            case [name, left, right] if name in BINARY:
                return self.binary(name, left, right, bound)
            case [name, operand] if name in UNARY:
                return _unary(name, self.value(operand, bound))
        return self.control(node, bound)

    def control(self, node: Any, bound: dict[str, Any]) -> Any:
        """Evaluate the nodes that do not always evaluate all their operands, or do so more than once."""
        match node:
            case ["&&" | "||" as name, *operands]:
                return self.logic(name == "||", [(operand, bound) for operand in operands])
            case ["?:", test, then, otherwise]:
                chosen = self.value(test, bound)
                _require(isinstance(chosen, bool), "the test of ?: is no boolean")
                return self.value(then if chosen else otherwise, bound)
            case ["exists" | "all" | "exists_one" | "filter" | "map", *_]:
                return self.comprehension(node, bound)
        raise AssertionError(f"not a checked condition: {node!r}")

    def variable(self, name: str, bound: dict[str, Any]) -> Any:
        if name in bound:
            return bound[name]
        if name != "now":
            return self.variables[name]
        try:
            return datetime.fromtimestamp(self.now, UTC)
        except (ValueError, OverflowError, OSError) as error:
            raise ConditionError("now is no time") from error

    def logic(self, dominant: bool, operands: list[tuple[Any, dict[str, Any]]]) -> bool:
        """Kleene's AND or OR: one dominant operand decides; otherwise one error is an error."""
        failed = False
        for node, bound in operands:
            try:
                value = self.value(node, bound)
            except ConditionError:
                failed = True
                continue
            if value is dominant:
                return bool(value)
            if not isinstance(value, bool):
                failed = True
        _require(not failed, "an operand has no boolean value")
        return not dominant

    def comprehension(self, node: Any, bound: dict[str, Any]) -> Any:
        name, operand, variable, body = node
        items = self.value(operand, bound)
        _require(_kind(items) in ("list", "map"), "a comprehension over something that is no collection")
        self.pay(len(items))
        scopes = [{**bound, variable: item} for item in items]
        if name in ("exists", "all"):
            return self.logic(name == "exists", [(body, scope) for scope in scopes])
        if name == "map":
            return [self.value(body, scope) for scope in scopes]
        kept = []
        for scope in scopes:
            holds = self.value(body, scope)
            _require(isinstance(holds, bool), "the predicate is no boolean")
            if holds:
                kept.append(scope[variable])
        return kept if name == "filter" else len(kept) == 1

    def binary(self, name: str, left_node: Any, right_node: Any, bound: dict[str, Any]) -> Any:
        operands = []
        for node in (left_node, right_node):
            value = self.value(node, bound)
            if bound and not _comes_with_policy(node):
                self.pay(_elements(value) // 10)
            operands.append(value)
        left, right = operands
        if name in ("==", "!="):
            return _same(left, right) == (name == "==")
        if name in ("<", "<=", ">", ">="):
            return _compare(name, left, right)
        if name == "in":
            return _contains(right, left)
        if name in ("startsWith", "endsWith", "contains"):
            _require(_kind(left) == _kind(right) == "string", f"{name} of something that is no text")
            if name == "contains":
                return bool(left.find(right) >= 0)
            return bool(right == (left[: len(right)] if name == "startsWith" else left[len(left) - len(right) :]))
        return _in_range(_calculate(name, left, right))


def _literal(name: str, written: Any) -> Any:
    if name == "double":
        return float(written)
    length = timedelta(microseconds=written)
    return length if name == "duration" else _EPOCH + length


def _unary(name: str, value: Any) -> Any:
    if name == "!":
        _require(isinstance(value, bool), "! of something that is no boolean")
        return not value
    if name == "size":
        _require(_kind(value) in ("string", "list", "map"), "size of something that has none")
        return len(value)
    _require(_kind(value) in ("int", "double"), "minus of something that is no number")
    return _in_range(-value)


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ConditionError(otherwise)


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    for kind, name in (
        (bool, "bool"), (int, "int"), (float, "double"), (str, "string"), (list, "list"), (dict, "map"),
        (datetime, "timestamp"), (timedelta, "duration"),
    ):  # fmt: skip
        if isinstance(value, kind):
            return name
    raise AssertionError(f"not a condition value: {value!r}")


def _readable(value: Any) -> Any:
    _require(_kind(value) != "int" or -(2**63) <= value < 2**63, "an integer beyond 64 bits")
    return value


def _field(value: Any, field: str) -> Any:
    _require(isinstance(value, dict) and field in value, f"no field {field}")
    return value[field]


def _item(value: Any, key: Any) -> Any:
    if isinstance(value, dict):
        _require(isinstance(key, str) and key in value, "no such key")
        return value[key]
    _require(_kind(value) == "list" and _kind(key) in ("int", "double"), "not to be indexed")
    for position, item in enumerate(value):
        if position == key:
            return item
    raise ConditionError("no such element")


def _same(left: Any, right: Any) -> bool:
    kinds = {_kind(left), _kind(right)}
    if kinds <= {"int", "double"}:
        return bool(left == right)
    if len(kinds) == 2:
        return False
    if kinds == {"list"}:
        return len(left) == len(right) and all(_same(a, b) for a, b in zip(left, right, strict=True))
    if kinds == {"map"}:
        return set(left) == set(right) and all(_same(left[key], right[key]) for key in left)
    return bool(left == right)


def _compare(name: str, left: Any, right: Any) -> bool:
    kinds = {_kind(left), _kind(right)}
    comparable = kinds <= {"int", "double"} or (
        len(kinds) == 1 and kinds <= {"string", "bool", "timestamp", "duration"}
    )
    _require(comparable, "not to be ordered")
    if kinds == {"string"}:
        left, right = [ord(char) for char in left], [ord(char) for char in right]
    if name in ("<=", ">=") and left == right:
        return True
    return bool(left < right if name in ("<", "<=") else left > right)


def _contains(container: Any, value: Any) -> bool:
    if _kind(container) == "list":
        return any(_same(value, item) for item in container)
    _require(_kind(container) == "map", "in something that is no collection")
    _require(_kind(value) in ("string", "int", "double", "bool"), "no key of a map")
    return any(_same(value, key) for key in container)


def _calculate(name: str, left: Any, right: Any) -> Any:
    kinds = (_kind(left), _kind(right))
    if kinds == ("int", "int"):
        if name in ("/", "%"):
            _require(right != 0, "division by zero")
            whole = int(Fraction(left, right))  # towards zero
            _readable(whole)
            return whole if name == "/" else left - right * whole
        return {"+": left + right, "-": left - right, "*": left * right}[name]
    if kinds == ("double", "double") and name != "%":
        if name == "/" and right == 0:
            if left == 0 or left != left:
                return float("nan")
            return float("inf") if (left > 0) == str(right).startswith("0") else float("-inf")
        return left / right if name == "/" else {"+": left + right, "-": left - right, "*": left * right}[name]
    allowed = (
        (name == "+" and kinds in {("string", "string"), ("list", "list"), ("duration", "timestamp")})
        or (name in ("+", "-") and kinds in {("duration", "duration"), ("timestamp", "duration")})
        or (name == "-" and kinds == ("timestamp", "timestamp"))
    )
    _require(allowed, f"{name} of {kinds[0]} and {kinds[1]}")
    try:
        return left + right if name == "+" else left - right
    except OverflowError as error:
        raise ConditionError("no time of the years 1 to 9999") from error


def _in_range(value: Any) -> Any:
    if isinstance(value, timedelta):
        nanoseconds = (value.days * 86_400_000_000 + value.seconds * 1_000_000 + value.microseconds) * 1000
        _require(abs(nanoseconds) < 2**63, "a duration beyond 64 bits of nanoseconds")
    return _readable(value)


def _comes_with_policy(node: Any) -> bool:
    """Tell whether operations alone make the value from constants and `data`: such an operand costs no steps."""
    if not isinstance(node, list):
        return True
    if node[0] == "var":
        return bool(node[1] == "data")
    if node[0] not in _OPERATIONS:
        return False
    operands = node[1:2] if node[0] in ("select", "has") else node[1:]
    return all(_comes_with_policy(operand) for operand in operands)


def _elements(value: Any) -> int:
    if isinstance(value, str):
        return len(value) // 100
    if isinstance(value, list):
        return len(value) + sum(_elements(item) for item in value)
    if isinstance(value, dict):
        return len(value) + sum(_elements(item) for item in value.values())
    return 0
