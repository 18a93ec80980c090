"""Decisions as spans: the messages of OTLP/JSON (OpenTelemetry protocol 1.x over HTTP). Pure."""

import secrets
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import msgspec

from agent_sidecar.tracing import Trace
from policy_core import __version__
from policy_core.decision import Answer

NAME = "writ decide"
_SERVER = 2  # SpanKind: it answers somebody else's request


class Span(NamedTuple):
    """A decision in a trace: its end in nanoseconds since the epoch, and how long it took."""

    trace: Trace
    answer: Answer
    protocol: str
    end_ns: int
    took_ns: int


def encode_spans(spans: Iterable[Span], *, host_id: str, channel: str) -> bytes:
    """Return the body of one export."""
    resource = _attributes(
        {
            "service.name": "writ-sidecar", "service.version": __version__, "host.name": host_id,
            "writ.channel": channel,
        }
    )  # fmt: skip
    scope = {"scope": {"name": "writ", "version": __version__}, "spans": [_span(each) for each in spans]}
    return msgspec.json.encode({"resourceSpans": [{"resource": {"attributes": resource}, "scopeSpans": [scope]}]})


def _span(span: Span) -> dict[str, Any]:
    answer, policy = span.answer, span.answer.policy
    facts: dict[str, str | int | None] = {
        "writ.decision": answer.decision,
        "writ.decision_id": answer.decision_id,
        "writ.reason_code": answer.reason_code,
        "writ.matched_rule": answer.matched_rule,
        "writ.protocol": span.protocol,
        "writ.bundle": policy.bundle if policy else None,
        "writ.release": policy.release if policy else None,
    }
    return {
        "traceId": span.trace.trace_id,
        "spanId": secrets.token_hex(8),
        "parentSpanId": span.trace.span_id,
        "name": NAME,
        "kind": _SERVER,
        "startTimeUnixNano": str(span.end_ns - span.took_ns),
        "endTimeUnixNano": str(span.end_ns),
        "attributes": _attributes(facts),
    }


def _attributes(facts: Mapping[str, str | int | None]) -> list[dict[str, Any]]:
    return [
        {"key": key, "value": {"intValue": str(value)} if isinstance(value, int) else {"stringValue": value}}
        for key, value in facts.items()
        if value
    ]
