"""Request bodies: whatever two readers could understand differently is refused."""

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy_core.decoding import MAX_DEPTH, MAX_EXTREMES, decode_request
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


@pytest.mark.parametrize("number", ["1e308", "1E-320", "1.7976931348623157e+308", "10000000000e298"])
def test_numbers_that_take_long_to_read_are_few(number: str) -> None:
    few, many = (f"[{','.join([number] * count)}]".encode() for count in (MAX_EXTREMES, MAX_EXTREMES + 1))

    assert decode_request(few) == [float(number)] * MAX_EXTREMES
    with pytest.raises(RequestError, match="has more than 1000 numbers with exponents of three digits"):
        decode_request(many)


def test_objects_and_lists_are_bounded_and_texts_that_look_like_them_are_texts() -> None:
    most = [[{}] * 24_999, *[[]] * 24_999]

    assert decode_request(json.dumps([most[1:], "[" * 500_000]).encode()) == [most[1:], "[" * 500_000]
    assert decode_request(json.dumps(most).encode()) == most
    with pytest.raises(RequestError, match="has more than 50000 objects and lists"):
        decode_request(json.dumps([*most, []]).encode())


def test_texts_that_look_like_such_numbers_are_texts() -> None:
    digests = [f'{number:04}e308\\"' for number in range(5_000)]

    assert decode_request(json.dumps({"digests": digests}).encode()) == {"digests": digests}


@pytest.mark.parametrize("text", ['"', '\\"', '"e308', '\\"e308', "1e308,", "[1e308", "1e30"])
def test_a_megabyte_of_anything_is_refused_soon(text: str) -> None:
    started = time.process_time()

    with pytest.raises(RequestError):
        decode_request((text * (1 << 20))[: 1 << 20].encode())

    assert time.process_time() - started < 1.0  # 0.1 s, and 20 s where looking takes time in the square of it


@pytest.mark.parametrize(("opened", "closed"), [("[", "]"), ('{"a":', "}"), ('[{"a": ', "}]")])
def test_requests_are_not_nested_deeper_than_everything_that_reads_them_goes(opened: str, closed: str) -> None:
    layers = opened.count("[") + opened.count("{")
    shallow, deep = (
        f"{opened * times}1{closed * times}".encode() for times in (MAX_DEPTH // layers, MAX_DEPTH // layers + 1)
    )

    assert decode_request(shallow) == json.loads(shallow)
    with pytest.raises(RequestError, match="is nested more than 200 deep"):
        decode_request(deep)
    for depth in range(900, 1_010):
        with pytest.raises(RequestError):
            decode_request(f"{opened * depth}1{closed * depth}".encode())


def test_a_broad_request_is_not_deep() -> None:
    assert decode_request(b"[" + b"[[]]," * 1_000 + b"{}]") == [[[]]] * 1_000 + [{}]
    assert decode_request(b"[" + b'"\\"[",' * 1_000 + b"0]") == ['"['] * 1_000 + [0]
