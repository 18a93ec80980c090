"""Documents of any size are what one call decodes, and leave nothing behind."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy_core import large
from policy_core.large import decode_in_pieces, free_in_pieces

_scalars = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=5)
_documents = st.recursive(
    _scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4)
)


@given(st.dictionaries(st.text(max_size=5), _documents), st.integers(0, 40))
def test_pieces_are_what_one_call_decodes(document: dict[str, Any], piece: int) -> None:
    content = msgspec.json.encode({key: value for key, value in document.items() if _is_finite(value)})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(large, "PIECE", piece)
        assert decode_in_pieces(content) == msgspec.json.decode(content)


@pytest.mark.parametrize(
    "content", [b'{"a":[1,2', b'{"a":{"b":nope}}', b'{"a":1}]', b" " * 100 + b"{", b'{"a":"\xff"}', b""]
)
def test_what_one_call_refuses_is_refused(content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large, "PIECE", 2)

    for decode in (msgspec.json.decode, decode_in_pieces):
        with pytest.raises((msgspec.DecodeError, UnicodeDecodeError)):
            decode(content)


def test_nesting_without_end_is_refused() -> None:
    with pytest.raises((msgspec.DecodeError, RecursionError)):
        decode_in_pieces(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}")


@given(st.dictionaries(st.text(max_size=5), _documents))
def test_what_is_freed_is_empty(document: dict[str, Any]) -> None:
    for _ in free_in_pieces(document):
        pass

    assert document == {}


def test_no_step_of_freeing_is_long() -> None:
    document = {str(n): {"roles": ["a", "b"], "of": {str(m): [m] for m in range(3)}} for n in range(2_000)}
    sizes, before = [], len(document)

    for _ in free_in_pieces(document):
        sizes.append(before - len(document))
        before = len(document)

    assert max(sizes) <= 256


def test_what_lies_below_a_single_key_is_freed_in_pieces_too() -> None:
    users = {str(number): {} for number in range(1_000)}
    document = {"directory": {"subjects": [{"user": users}]}}

    held = [len(users) for _ in free_in_pieces(document)]

    assert held[-1] == 0
    assert len([count for count in held if 0 < count < 1_000]) >= 3


def _is_finite(value: Any) -> bool:
    try:
        msgspec.json.encode(value)
    except (ValueError, OverflowError):
        return False
    return True
