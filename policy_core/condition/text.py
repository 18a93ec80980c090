"""A condition as CEL text again: for messages, traces and tests. ``lower(render_condition(node)) == node``."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

from policy_core.condition.grammar import CHAINS, COMPREHENSIONS, TEXT_TESTS

_PRECEDENCE = {
    "?:": 1, "||": 2, "&&": 3,
    "==": 4, "!=": 4, "<": 4, "<=": 4, ">": 4, ">=": 4, "in": 4,
    "+": 5, "-": 5, "*": 6, "/": 6, "%": 6, "neg": 7, "!": 7,
}  # fmt: skip
_UNARY, _MEMBER = 7, 8
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_KEYWORDS = frozenset({"true", "false", "null", "in"})
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def render_condition(node: Any) -> str:
    """Return the CEL text of a checked condition, with no more parentheses than it needs."""
    return _render(node)[0]


def render_path(name: str, fields: tuple[str, ...]) -> str:
    """Return ``name.field["odd field"]``."""
    return name + "".join(_field(field) for field in fields)


def _render(node: Any) -> tuple[str, int]:
    """Return the text of a node and how tightly it binds."""
    if type(node) is not list:
        return _constant(node)
    name, *rest = node
    if name in _PRECEDENCE:
        return _operator(name, rest), _PRECEDENCE[name]
    if name == "double":
        return rest[0], _UNARY if rest[0].startswith("-") else _MEMBER
    return _call(name, rest), _MEMBER


def _call(name: str, rest: list[Any]) -> str:
    if name == "var":
        return render_path(rest[0], tuple(rest[1:]))
    if name == "select":
        return _within(rest[0], _MEMBER) + _field(rest[1])
    if name == "index":
        return f"{_within(rest[0], _MEMBER)}[{render_condition(rest[1])}]"
    if name == "has":
        return f"has({_within(rest[0], _MEMBER)}{_field(rest[1], bracket=False)})"
    if name == "list":
        return "[" + ", ".join(map(render_condition, rest)) + "]"
    if name == "timestamp":
        moment = (_EPOCH + timedelta(microseconds=rest[0])).isoformat()
        return f'timestamp("{moment.removesuffix("+00:00")}Z")'
    if name == "duration":
        return f'duration("{_duration(rest[0])}")'
    if name in COMPREHENSIONS:
        return f"{_within(rest[0], _MEMBER)}.{name}({rest[1]}, {render_condition(rest[2])})"
    if name in TEXT_TESTS:
        return f"{_within(rest[0], _MEMBER)}.{name}({render_condition(rest[1])})"
    return f"{name}({render_condition(rest[0])})"


def _operator(name: str, rest: list[Any]) -> str:
    binds = _PRECEDENCE[name]
    if name == "?:":
        return f"{_within(rest[0], binds + 1)} ? {_within(rest[1], binds + 1)} : {_within(rest[2], binds)}"
    if name == "!":
        return "!" + _within(rest[0], _MEMBER)
    if name == "neg":  # the minus of "-5" belongs to the constant, "-(5)" is an operation
        text, tight = _render(rest[0])
        return f"-({text})" if tight < _MEMBER or not _IDENTIFIER.match(text) else f"-{text}"
    if name in CHAINS:
        return f" {name} ".join(_within(operand, binds + 1) for operand in rest)
    return f"{_within(rest[0], binds)} {name} {_within(rest[1], binds + 1)}"


def _within(node: Any, least: int) -> str:
    text, binds = _render(node)
    return text if binds >= least else f"({text})"


def _constant(value: object) -> tuple[str, int]:
    if value is None:
        return "null", _MEMBER
    if value is True or value is False:
        return "true" if value else "false", _MEMBER
    if type(value) is str:
        return _quote(value), _MEMBER
    return str(value), _UNARY if type(value) is int and value < 0 else _MEMBER


def _field(field: str, *, bracket: bool = True) -> str:
    plain = _IDENTIFIER.fullmatch(field) and field not in _KEYWORDS
    return f".{field}" if plain else f"[{_quote(field)}]" if bracket else f".`{field}`"


def _quote(text: str) -> str:
    return '"' + "".join(_ESCAPES.get(char) or _printable(char) for char in text) + '"'


def _printable(char: str) -> str:
    if char.isprintable():
        return char
    return f"\\u{ord(char):04x}" if ord(char) < 0x10000 else f"\\U{ord(char):08x}"


def _duration(microseconds: int) -> str:
    sign, rest = "-" if microseconds < 0 else "", abs(microseconds)
    parts = []
    for unit, length in (("h", 3_600_000_000), ("m", 60_000_000), ("s", 1_000_000), ("us", 1)):
        count, rest = divmod(rest, length)
        if count:
            parts.append(f"{count}{unit}")
    return sign + ("".join(parts) or "0s")
