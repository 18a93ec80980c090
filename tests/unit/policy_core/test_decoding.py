"""Request bodies: whatever two readers could understand differently is refused."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy_core.decoding import decode_request
from policy_core.request import RequestError

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=4)
    ),
    max_leaves=20,
)


@pytest.mark.parametrize(
    "body",
    [
        '{"id":1,"id":1}',
        '{"id":"a","\\u0069d":"b"}',
        '{"a":[{"b":{}},{"c":1,"d":{},"c":2}]}',
        '{"a" : ":", "a" :":"}',
        '{"a":"\\":","a":1}',
        '{"":1,"":{}}',
        '{"a":{"x":1,"y":2},"a":{"x":1,"y":2}}',
    ],
)
def test_a_key_that_occurs_twice_is_refused(body: str) -> None:
    with pytest.raises(RequestError, match="a key occurs twice"):
        decode_request(body.encode())


@given(VALUES, st.booleans())
def test_every_other_json_is_decoded(value: Any, ascii_only: bool) -> None:
    assert decode_request(json.dumps(value, ensure_ascii=ascii_only).encode()) == value


@given(st.dictionaries(st.text(max_size=3), VALUES, min_size=1, max_size=4), VALUES, st.data())
def test_repeating_any_key_is_noticed(value: dict[str, Any], other: Any, data: st.DataObject) -> None:
    key = data.draw(st.sampled_from(sorted(value)))
    inner = json.dumps(value)[:-1] + f", {json.dumps(key)}: {json.dumps(other)}}}"

    with pytest.raises(RequestError, match="a key occurs twice"):
        decode_request(f'{{"outer": [{inner}]}}'.encode())


@pytest.mark.parametrize(
    "body", [b"", b"{", b"NaN", b'{"a":Infinity}', b'{"a":1e999}', b'"\xff"', b'"\\ud800"', b"\xef\xbb\xbf{}", b"{}{}",
             b"[" * 9999, b'{"a":"\0"}', b"9" * 5000]
)  # fmt: skip
def test_what_is_no_json_is_refused(body: bytes) -> None:
    with pytest.raises(RequestError, match="is not JSON"):
        decode_request(body)
