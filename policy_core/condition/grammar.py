"""The grammar of the condition IR and its limits: what a bundle may carry, checked before anything is compiled."""

import math
import re
from typing import Any, Final

from policy_core.errors import InvalidError

MAX_DEPTH: Final = 32
"""Nodes from the root of a condition to its deepest leaf."""
MAX_NODES: Final = 4096
"""Nodes and selected fields of one condition; a source of 4 KiB cannot give more."""
MAX_TEXT_CHARS: Final = 4096
"""Characters of one string constant or field name."""

INT_MIN: Final = -(2**63)
INT_MAX: Final = 2**63 - 1
TIMESTAMP_MIN_US: Final = -62_135_596_800_000_000
"""0001-01-01T00:00:00Z"""
TIMESTAMP_MAX_US: Final = 253_402_300_799_999_999
"""9999-12-31T23:59:59.999999Z"""
DURATION_MAX_US: Final = (2**63 - 1) // 1000
"""CEL libraries hold durations as 64-bit nanoseconds: some 292 years."""

ROOTS: Final = ("subject", "action", "resource", "context", "data", "host", "now")
"""The variables of every condition."""

EQUALITIES: Final = frozenset({"==", "!="})
ORDERINGS: Final = frozenset({"<", "<=", ">", ">="})
ARITHMETIC: Final = frozenset({"+", "-", "*", "/", "%"})
TEXT_TESTS: Final = frozenset({"startsWith", "endsWith", "contains"})
BINARY: Final = EQUALITIES | ORDERINGS | ARITHMETIC | TEXT_TESTS | {"in"}
UNARY: Final = frozenset({"!", "neg", "size"})
CHAINS: Final = frozenset({"&&", "||"})
COMPREHENSIONS: Final = frozenset({"exists", "all", "exists_one", "filter", "map"})
ALWAYS_BOOLEAN: Final = EQUALITIES | ORDERINGS | TEXT_TESTS | CHAINS | {"in", "!", "has", "exists", "all", "exists_one"}
"""Nodes that give a boolean or an error, never another value."""

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_TIMES = {"timestamp": (TIMESTAMP_MIN_US, TIMESTAMP_MAX_US), "duration": (-DURATION_MAX_US, DURATION_MAX_US)}


class ConditionFormatError(InvalidError):
    """A condition of a bundle lies outside the IR grammar or its limits."""

    default_hint = "rebuild the bundle with a builder of the same release"


def check_condition(node: object) -> None:
    """Check a decoded condition against the grammar; raise ConditionFormatError at the first thing outside it."""
    _Checker().node(node, 1, frozenset())


class _Checker:
    def __init__(self) -> None:
        self.nodes_left = MAX_NODES

    def node(self, node: object, depth: int, bound: frozenset[str]) -> None:
        if depth > MAX_DEPTH:
            raise ConditionFormatError(f"condition: nested deeper than {MAX_DEPTH}")
        self.count(1)
        if type(node) is not list:
            _check_constant(node)
            return
        if not node or type(node[0]) is not str:
            raise ConditionFormatError("condition: a node does not start with its name")
        name, rest = node[0], node[1:]
        if name == "var":
            self.variable(rest, bound)
        elif name in COMPREHENSIONS:
            _expect(name, rest, 3)
            if type(rest[1]) is not str or not _IDENTIFIER.fullmatch(rest[1]) or rest[1] in ROOTS:
                raise ConditionFormatError(f"condition: {name} binds no usable name")
            _check_text(rest[1])
            self.node(rest[0], depth + 1, bound)
            self.node(rest[2], depth + 1, bound | {rest[1]})
        elif name in ("double", "timestamp", "duration"):
            _expect(name, rest, 1)
            _check_literal(name, rest[0])
        else:
            for operand in _operands(name, rest):
                self.node(operand, depth + 1, bound)

    def variable(self, rest: list[object], bound: frozenset[str]) -> None:
        self.count(len(rest))
        for part in rest:
            _check_text(part)
        if not rest or (rest[0] not in ROOTS and rest[0] not in bound):
            raise ConditionFormatError(f"condition: unknown variable {_short(rest[0] if rest else None)}")

    def count(self, nodes: int) -> None:
        self.nodes_left -= nodes
        if self.nodes_left < 0:
            raise ConditionFormatError(f"condition: more than {MAX_NODES} nodes")


def _operands(name: str, rest: list[Any]) -> list[Any]:
    """Return the operands of a node that is neither variable, comprehension nor literal, its own form checked."""
    if name in BINARY:
        _expect(name, rest, 2)
    elif name in CHAINS:
        if len(rest) < 2 or any(type(operand) is list and operand[:1] == [name] for operand in rest):
            raise ConditionFormatError(f"condition: {name} is no flat chain")
    elif name in UNARY:
        _expect(name, rest, 1)
    elif name == "?:":
        _expect(name, rest, 3)
    elif name == "index":
        _expect(name, rest, 2)
        if type(rest[1]) is str:
            raise ConditionFormatError("condition: index by a string constant (expected a select)")
    elif name in ("has", "select"):
        _expect(name, rest, 2)
        _check_text(rest[1])
        if name == "select" and type(rest[0]) is list and rest[0][:1] == ["var"]:
            raise ConditionFormatError("condition: select from a variable (expected one var node)")
        return rest[:1]
    elif name != "list":
        raise ConditionFormatError(f"condition: unknown node {_short(name)}")
    return rest


def _check_constant(value: object) -> None:
    if type(value) is str:
        _check_text(value)
    elif type(value) is int:
        if not INT_MIN <= value <= INT_MAX:
            raise ConditionFormatError("condition: an integer beyond 64 bits")
    elif value is not None and type(value) is not bool:
        raise ConditionFormatError(f"condition: unknown constant of type {type(value).__name__}")


def _check_literal(name: str, value: object) -> None:
    if name == "double":
        _check_text(value)
        try:
            number = float(str(value))
        except ValueError:
            number = math.nan
        if not math.isfinite(number) or repr(number) != value:
            raise ConditionFormatError(f"condition: {_short(value)} is no double in its canonical form")
        return
    low, high = _TIMES[name]
    if type(value) is not int or not low <= value <= high:
        raise ConditionFormatError(f"condition: {name} out of range")


def _check_text(value: object) -> None:
    if type(value) is not str:
        raise ConditionFormatError(f"condition: a name of type {type(value).__name__} (expected a string)")
    if len(value) > MAX_TEXT_CHARS:
        raise ConditionFormatError(f"condition: a string longer than {MAX_TEXT_CHARS} characters")
    if not value.isascii() and any("\ud800" <= char <= "\udfff" for char in value):
        raise ConditionFormatError("condition: a string with a lone surrogate")


def _expect(name: str, rest: list[Any], count: int) -> None:
    if len(rest) != count:
        raise ConditionFormatError(f"condition: {name} with {len(rest)} operands (expected {count})")


def _short(value: object) -> str:
    return repr(value)[:40]
