"""traceparent is read as W3C Trace Context has it, and nothing else is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_sidecar.tracing import Trace, parse_traceparent, trace_of

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def test_a_header_names_trace_caller_and_whether_it_is_recorded() -> None:
    assert parse_traceparent(f"00-{TRACE}-{PARENT}-01".encode()) == Trace(TRACE, PARENT, True)
    assert parse_traceparent(f"00-{TRACE}-{PARENT}-00".encode()) == Trace(TRACE, PARENT, False)
    assert parse_traceparent(f"00-{TRACE}-{PARENT}-03".encode()) == Trace(TRACE, PARENT, True)  # random-trace-id
    assert parse_traceparent(f"00-{TRACE}-{PARENT}-fe".encode()) == Trace(TRACE, PARENT, False)


def test_a_later_version_may_have_more_at_its_end() -> None:
    assert parse_traceparent(f"cc-{TRACE}-{PARENT}-01-what-the-future-will-be-like".encode())
    assert parse_traceparent(f"cc-{TRACE}-{PARENT}-01".encode())
    assert parse_traceparent(f"cc-{TRACE}-{PARENT}-01.what".encode()) is None


@pytest.mark.parametrize(
    "value",
    [
        "", "00", f"00-{TRACE}-{PARENT}", f"00-{TRACE}-{PARENT}-01-x", f"00-{TRACE}-{PARENT}-01-",
        f"ff-{TRACE}-{PARENT}-01", f"00-{'0' * 32}-{PARENT}-01", f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{PARENT}-01", f"00-{TRACE[1:]}-{PARENT}-01", f"00-{TRACE}-{PARENT}-1",
        f"00-{TRACE}-{PARENT}-0g", f" 00-{TRACE}-{PARENT}-01", f"00-{TRACE}-{PARENT}-01\n", f"0-{TRACE}-{PARENT}-01",
        f"00_{TRACE}_{PARENT}_01", f"00-{TRACE}-{PARENT}-01 ",
    ],
)  # fmt: skip
def test_anything_else_is_no_trace(value: str) -> None:
    assert parse_traceparent(value.encode()) is None


def test_two_headers_are_none() -> None:
    one = (b"traceparent", f"00-{TRACE}-{PARENT}-01".encode())

    assert trace_of([(b"host", b"x"), one]) == Trace(TRACE, PARENT, True)
    assert trace_of([one, one]) is None
    assert trace_of([]) is None


@given(st.binary(max_size=80))
def test_no_bytes_break_it(value: bytes) -> None:
    found = parse_traceparent(value)

    assert found is None or value[3:35] == found.trace_id.encode()


@pytest.mark.parametrize("blanks", [b" ", b"\t", b" \t "])
def test_blanks_around_a_header_are_not_part_of_it(blanks: bytes) -> None:
    value = b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01"

    assert trace_of([(b"traceparent", blanks + value + blanks)]) == parse_traceparent(value) is not None
    assert parse_traceparent(value + blanks) is None
