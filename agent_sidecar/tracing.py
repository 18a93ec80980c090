"""Reads the header ``traceparent`` (W3C Trace Context, level 2): to which trace a request belongs. Pure.

Strict, as the recommendation asks: what is not exactly of the form is no trace, and never half of one.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

HEADER = b"traceparent"
_SAMPLED = 1
_VERSION_0 = b"00"
_FORM = re.compile(
    rb"(?P<version>(?!ff)[0-9a-f]{2})-(?P<trace>(?!0{32})[0-9a-f]{32})-(?P<parent>(?!0{16})[0-9a-f]{16})"
    rb"-(?P<flags>[0-9a-f]{2})(?P<more>-.*)?"
)


class Trace(NamedTuple):
    """A trace, the span of the caller in it (both in lower-case hex), and whether the caller records it."""

    trace_id: str
    span_id: str
    is_sampled: bool


def parse_traceparent(value: bytes) -> Trace | None:
    """Return the trace a header names, None if it names none; later versions may have more at its end."""
    found = _FORM.fullmatch(value)
    if not found or (found["more"] is not None and found["version"] == _VERSION_0):
        return None
    return Trace(found["trace"].decode(), found["parent"].decode(), bool(int(found["flags"], 16) & _SAMPLED))


def trace_of(headers: Sequence[tuple[bytes, bytes]]) -> Trace | None:
    """Return the trace of a request by its headers (lower-case names); two that claim it are none.

    Blanks around a value are not part of it (RFC 9110 5.5).
    """
    if not headers:  # the usual case, in the path of every decision
        return None
    values = [value for name, value in headers if name == HEADER]
    return parse_traceparent(values[0].strip(b" \t")) if len(values) == 1 else None
