"""The decoder of the CEL library's tree reads what it knows and refuses the rest, whatever the bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.language.cel import _environment
from builder.language.checked_ast import MAX_AST_DEPTH, Ast, AstFormatError, Call, Constant, Ident, Select

SOURCE = "context.a.exists(x, x == -1.5 || has(x.b)) && size([true, null, 'é', 7]) > 0"


def serialized(source: str, *, disable_check: bool = False) -> bytes:
    return bytes(_environment().compile(source, disable_check=disable_check).serialize())


def field(number: int, content: bytes) -> bytes:
    length, prefix = len(content), b""
    while length >= 0x80:
        prefix += bytes([length & 0x7F | 0x80])
        length >>= 7
    return bytes([number << 3 | 2]) + prefix + bytes([length]) + content


def parsed_expression(expression: bytes) -> bytes:
    return field(1, b"type.googleapis.com/cel.expr.ParsedExpr") + field(2, field(2, expression))


def test_nodes_carry_names_values_and_places() -> None:
    ast = Ast(serialized("context.a == -9223372036854775808"))

    match ast.root:
        case Call(
            id=call, function="_==_", arguments=(Select(operand=Ident(name="context"), field="a"), Constant() as low)
        ):
            assert low.value == -(2**63)
            assert ast.positions()[call] == 10
        case other:
            pytest.fail(f"unexpected tree {other}")


def test_the_checked_and_the_parsed_form_give_the_same_tree() -> None:
    assert Ast(serialized(SOURCE)).root == Ast(serialized(SOURCE, disable_check=True)).root


@given(st.data())
def test_truncated_or_changed_bytes_are_refused_or_read_but_nothing_else(data: st.DataObject) -> None:
    content = bytearray(serialized(SOURCE))
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(content)))

    try:
        Ast(bytes(content[:cut]))
    except AstFormatError:
        return


@given(st.binary(max_size=80))
def test_any_bytes_are_refused(content: bytes) -> None:
    with pytest.raises(AstFormatError):
        Ast(content)


def test_depth_is_bounded() -> None:
    expression = field(4, field(1, b"x"))
    for _ in range(MAX_AST_DEPTH):
        expression = field(5, field(1, expression) + field(2, b"f"))

    with pytest.raises(AstFormatError, match="nested too deeply"):
        Ast(parsed_expression(expression))


def test_an_unknown_kind_of_expression_is_refused() -> None:
    with pytest.raises(AstFormatError, match="expression of kind 12"):
        Ast(parsed_expression(field(12, b"")))


def test_an_unknown_message_is_refused() -> None:
    with pytest.raises(AstFormatError):
        Ast(field(1, b"type.googleapis.com/cel.expr.Other") + field(2, b""))
