"""Records as log records of OpenTelemetry, in OTLP's JSON form (OTLP 1.5): batches of one host. Pure.

A batch is what ``POST /v1/logs`` takes, and a line of what the collector's *otlpjsonfile* receiver reads. No convention
for verdicts of policies is stable yet, so attributes are named ``writ.…``; the body is the whole record.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from builder.logs.parts import part

SERVICE = "writ-sidecar"
SCOPE = "writ.decision-log"
INFO, WARN = (9, "INFO"), (13, "WARN")
MAX_BATCH = 500
MAX_DEPTH = 25
"""Of values in values: a level is up to three messages, and protocol buffers are read to a depth of 100 messages."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ANSWERED = ("decision_id", "decision", "allowed", "reason_code", "matched_rule")
_POLICY = ("bundle", "revision", "channel", "release")


def batches(records: Iterable[tuple[str, Mapping[str, Any]]]) -> Iterator[dict[str, Any]]:
    """Yield batches of at most `MAX_BATCH` records of one host; the pairs of host and record come host by host."""
    host, batch = "", list[Mapping[str, Any]]()
    for name, record in records:
        if batch and (name != host or len(batch) == MAX_BATCH):
            yield _batch(host, batch)
            batch = []
        host = name
        batch.append(record)
    if batch:
        yield _batch(host, batch)


def _batch(host: str, records: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    resource = {"service.name": SERVICE, "host.name": host}
    scope = {"scope": {"name": SCOPE}, "logRecords": [_log_record(record) for record in records]}
    return {"resourceLogs": [{"resource": {"attributes": _attributes(resource)}, "scopeLogs": [scope]}]}


def _log_record(record: Mapping[str, Any]) -> dict[str, Any]:
    number, text = INFO if record["type"] != "decision" or part(record, "answer").get("allowed") else WARN
    ids = {"traceId": record.get("trace_id"), "spanId": record.get("span_id")}
    return {
        "timeUnixNano": str((datetime.fromisoformat(record["ts"]) - _EPOCH) // timedelta(microseconds=1) * 1000),
        "severityNumber": number,
        "severityText": text,
        "eventName": f"writ.{record['type']}",
        "attributes": _attributes(_facts(record)),
        "body": _value(record),
        **{name: value for name, value in ids.items() if value},
    }


def _facts(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is worth searching for."""
    answer, asked = part(record, "answer"), part(record, "input")
    subject, resource = part(asked, "subject"), part(asked, "resource")
    policy = part(answer, "policy")
    facts = {"writ.seq": record["seq"], "writ.caller": record.get("caller")}
    facts |= {f"writ.{name}": answer.get(name) for name in _ANSWERED}
    facts |= {f"writ.policy.{name}": policy.get(name) for name in _POLICY}
    facts |= {
        "writ.subject.type": subject.get("type"),
        "writ.subject.id": subject.get("id"),
        "writ.action": part(asked, "action").get("name"),
        "writ.resource.type": resource.get("type"),
        "writ.resource.id": resource.get("id"),
    }
    return {name: value for name, value in facts.items() if value not in (None, "")}


def _attributes(facts: Mapping[str, Any], depth: int = 0) -> list[dict[str, Any]]:
    return [{"key": name, "value": _value(value, depth)} for name, value in facts.items()]


def _value(value: object, depth: int = 0) -> dict[str, Any]:
    """Return an AnyValue, what lies too deep as JSON text.

    Protocol buffers spell 64-bit integers as texts in JSON, and know no larger ones.
    """
    if value is None:
        return {}
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)} if -(2**63) <= value < 2**63 else {"stringValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, str):
        return {"stringValue": value}
    if depth == MAX_DEPTH:
        return {"stringValue": _text(value)}
    if isinstance(value, dict):
        return {"kvlistValue": {"values": _attributes(value, depth + 1)}}
    if isinstance(value, list):
        return {"arrayValue": {"values": [_value(each, depth + 1) for each in value]}}
    return {"stringValue": str(value)}


def _text(value: object) -> str:
    try:
        return msgspec.json.encode(value).decode()
    except RecursionError:
        return "nested too deeply"
