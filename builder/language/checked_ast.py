"""Reads the expression tree out of the CEL library's serialized `cel.expr.CheckedExpr` or `ParsedExpr`.

The library's only view of its tree is that protobuf message inside a `google.protobuf.Any`. The few messages in it are
decoded by hand, by the field numbers of cel-spec's ``checked.proto`` and ``syntax.proto``: no protobuf runtime needed.
Types and references are skipped, as the library has already checked them; positions are read only when asked for.
"""

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple, TypeAlias

MAX_AST_DEPTH: Final = 200
"""Levels of the decoded tree: one source level gives at most a few (a comprehension brings its own expressions)."""

# Any{type_url = 1, value = 2}; the message in it holds expression and source_info in fields that depend on its type
_MESSAGE = 2
_FIELDS_OF = {
    b"type.googleapis.com/cel.expr.CheckedExpr": (4, 5),
    b"type.googleapis.com/cel.expr.ParsedExpr": (2, 3),
}
# Expr{id = 2, and one of …}
_ID, _CONST, _IDENT, _SELECT, _CALL, _LIST, _STRUCT, _COMPREHENSION = 2, 3, 4, 5, 6, 7, 8, 9
_CONSTANT_KINDS = {1: "null", 2: "bool", 3: "int", 4: "uint", 5: "double", 6: "string", 7: "bytes"}


class AstFormatError(Exception):
    """The bytes are not the messages this module knows: the CEL library changed its format."""


class Constant(NamedTuple):
    """A literal; `value` is None, bool, int, float, str or bytes."""

    id: int
    kind: str
    value: bool | int | float | str | bytes | None


class Ident(NamedTuple):
    """A name standing by itself."""

    id: int
    name: str


class Select(NamedTuple):
    """``operand.field``, or ``has(operand.field)`` if `test_only`."""

    id: int
    operand: "Expression"
    field: str
    test_only: bool


class Call(NamedTuple):
    """A function or operator (``_+_``); `target` is what a method is called on."""

    id: int
    function: str
    target: "Expression | None"
    arguments: tuple["Expression", ...]


class ListLiteral(NamedTuple):
    """``[a, b]``; `optional` where an element has a question mark."""

    id: int
    elements: tuple["Expression", ...]
    optional: bool


class StructLiteral(NamedTuple):
    """A map or message literal; its entries are of no interest here."""

    id: int


class Comprehension(NamedTuple):
    """The loop a macro such as ``exists`` expands to."""

    id: int
    variable: str
    second_variable: str
    operand: "Expression"
    accumulator: str
    start: "Expression"
    condition: "Expression"
    step: "Expression"
    result: "Expression"


Expression: TypeAlias = Constant | Ident | Select | Call | ListLiteral | StructLiteral | Comprehension
_Value: TypeAlias = int | bytes


class Ast:
    """The tree of one expression and, on demand, where its nodes stand in the source."""

    def __init__(self, serialized: bytes) -> None:
        """Decode what `Expression.serialize()` of the library returns; raises AstFormatError."""
        try:
            outer = dict(_fields(serialized))
            of_expression, self._of_positions = _FIELDS_OF[_bytes(outer[1])]
            self._message = dict(_fields(_bytes(outer[_MESSAGE])))  # repeated: other fields than these two
            self.root = _expression(_bytes(self._message[of_expression]), MAX_AST_DEPTH)
        except (KeyError, IndexError, ValueError, struct.error) as error:
            raise AstFormatError(f"unknown form of expression ({type(error).__name__}: {error})") from error

    def positions(self) -> dict[int, int]:
        """Return the offset (code points) of each node id; SourceInfo{positions = 4: map entries}."""
        found = {}
        for number, value in _fields(_bytes(self._message[self._of_positions])):
            if number == 4:
                entry = dict(_fields(_bytes(value)))
                found[_int(entry[1])] = _int(entry.get(2, 0))
        return found


def _expression(message: bytes, depth: int) -> Expression:
    if depth == 0:
        raise ValueError("nested too deeply")
    node = 0
    kind, body = 0, b""
    for number, value in _fields(message):
        if number == _ID:
            node = _int(value)
        else:
            kind, body = number, _bytes(value)
    if kind == _SELECT:
        parts = dict(_fields(body))  # operand = 1, field = 2, test_only = 3
        return Select(node, _expression(_bytes(parts[1]), depth - 1), _text(parts[2]), 3 in parts)
    if kind == _IDENT:
        return Ident(node, _text(dict(_fields(body))[1]))
    if kind == _CONST:
        return _constant(node, body)
    if kind == _CALL:
        return _call(node, body, depth)
    if kind == _LIST:  # elements = 1, optional_indices = 2
        fields = list(_fields(body))
        elements = tuple(_expression(_bytes(value), depth - 1) for number, value in fields if number == 1)
        return ListLiteral(node, elements, any(number == 2 for number, _ in fields))
    if kind == _STRUCT:
        return StructLiteral(node)
    if kind == _COMPREHENSION:
        return _comprehension(node, body, depth)
    raise ValueError(f"expression of kind {kind}")


def _call(node: int, body: bytes, depth: int) -> Call:
    target, function = None, ""
    arguments = []
    for number, value in _fields(body):  # target = 1, function = 2, args = 3
        if number == 2:
            function = _text(value)
        elif number == 3:
            arguments.append(_expression(_bytes(value), depth - 1))
        elif number == 1:
            target = _expression(_bytes(value), depth - 1)
    return Call(node, function, target, tuple(arguments))


def _comprehension(node: int, body: bytes, depth: int) -> Comprehension:
    # iter_var = 1, iter_range = 2, accu_var = 3, accu_init = 4, loop_condition = 5, loop_step = 6, result = 7,
    # iter_var2 = 8
    parts = dict(_fields(body))
    operand, start, condition, step, result = (_expression(_bytes(parts[n]), depth - 1) for n in (2, 4, 5, 6, 7))
    second = _text(parts.get(8, b""))
    return Comprehension(node, _text(parts[1]), second, operand, _text(parts[3]), start, condition, step, result)


def _constant(node: int, body: bytes) -> Constant:
    ((number, value),) = _fields(body)
    kind = _CONSTANT_KINDS.get(number, "unknown")
    if kind == "string":
        return Constant(node, kind, _text(value))
    if kind == "int":
        unsigned = _int(value)
        return Constant(node, kind, unsigned - 2**64 if unsigned >= 2**63 else unsigned)
    if kind == "double":
        (double,) = struct.unpack("<d", _bytes(value))
        return Constant(node, kind, double)
    if kind == "bool":
        return Constant(node, kind, bool(value))
    return Constant(node, kind, None if kind == "null" else value)


def _fields(message: bytes) -> Iterator[tuple[int, _Value]]:
    """Yield number and value of each field: an int for varints, bytes for everything else."""
    at, end = 0, len(message)
    while at < end:
        key = message[at]
        at += 1
        if key >= 0x80:
            key, at = _varint(message, at - 1)
        wire = key & 7
        if wire == 2:
            length = message[at]
            at += 1
            if length >= 0x80:
                length, at = _varint(message, at - 1)
            value: _Value = message[at : at + length]
            at += length
        elif wire == 0:
            value = message[at]
            at += 1
            if value >= 0x80:
                value, at = _varint(message, at - 1)
        elif wire == 1:
            value = message[at : at + 8]
            at += 8
        else:
            raise ValueError(f"wire type {wire}")
        if at > end:
            raise ValueError("truncated message")
        yield key >> 3, value


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """Return a number of at most ten bytes, and where it ends."""
    number = 0
    for shift in range(0, 70, 7):
        byte = message[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
    raise ValueError("number of more than ten bytes")


def _bytes(value: _Value) -> bytes:
    if type(value) is bytes:
        return value
    raise ValueError("a number where a message belongs")


def _int(value: _Value) -> int:
    if type(value) is int:
        return value
    raise ValueError("a message where a number belongs")


def _text(value: _Value) -> str:
    return _bytes(value).decode()
