"""Spans reach a real collector over HTTP; one that is away, slow or hostile costs spans and nothing else."""

import time
from collections.abc import Iterator

import pytest
from otlp_collector import Collector, running_collector

from agent_sidecar.traces import exporting
from agent_sidecar.traces.exporting import MAX_BATCH, MAX_QUEUED, SpanExporter
from agent_sidecar.traces.settings import trace_settings
from agent_sidecar.traces.spans import Span
from agent_sidecar.tracing import Trace
from policy_core.decision import Answer, Decision, PolicyRef

PATIENCE_S = 20.0
TRACE = Trace("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", True)
POLICY = PolicyRef(bundle="sha256:" + "a" * 64, revision="b" * 40, channel="prod", release=7)
ANSWER = Answer(
    decision=Decision.DENY, allowed=False, reason_code="matched_rule", matched_rule="p/r", decision_id="d-1",
    policy=POLICY,
)  # fmt: skip
SPAN = Span(TRACE, ANSWER, "authzen", end_ns=1_700_000_000_000_000_500, took_ns=500)


@pytest.fixture
def collector() -> Iterator[Collector]:
    with running_collector() as server:
        yield server


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "INTERVAL_S", 0.02)


def started(endpoint: str) -> SpanExporter:
    exporter = SpanExporter(endpoint, host_id="host-1", channel="prod")
    exporter.start()
    return exporter


def test_a_span_arrives_as_otlp_has_it(collector: Collector) -> None:
    exporter = started(collector.endpoint)

    exporter.add(SPAN)

    assert collector.came.acquire(timeout=PATIENCE_S)
    exporter.stop(timeout_s=PATIENCE_S)
    (span,) = collector.spans
    assert (span["traceId"], span["parentSpanId"]) == (TRACE.trace_id, TRACE.span_id)
    assert len(bytes.fromhex(span["spanId"])) == 8
    assert (span["startTimeUnixNano"], span["endTimeUnixNano"]) == ("1700000000000000000", "1700000000000000500")
    assert {each["key"]: next(iter(each["value"].values())) for each in span["attributes"]} == {
        "writ.decision": "deny", "writ.decision_id": "d-1", "writ.reason_code": "matched_rule",
        "writ.matched_rule": "p/r", "writ.protocol": "authzen", "writ.bundle": POLICY.bundle, "writ.release": "7",
    }  # fmt: skip
    resource = collector.bodies[0]["resourceSpans"][0]["resource"]["attributes"]
    assert {"key": "host.name", "value": {"stringValue": "host-1"}} in resource
    assert (exporter.exported, exporter.dropped) == (1, 0)


def test_many_go_in_batches_and_the_end_waits_for_them(collector: Collector) -> None:
    exporter = started(collector.endpoint)

    for _ in range(2 * MAX_BATCH + 3):
        exporter.add(SPAN)
    exporter.stop(timeout_s=PATIENCE_S)

    assert len(collector.spans) == exporter.exported == 2 * MAX_BATCH + 3
    assert max(len(part["resourceSpans"][0]["scopeSpans"][0]["spans"]) for part in collector.bodies) <= MAX_BATCH


def test_a_full_queue_drops_and_counts() -> None:
    exporter = SpanExporter("http://127.0.0.1:1/v1/traces", host_id="h", channel="prod")

    for _ in range(MAX_QUEUED + 5):
        exporter.add(SPAN)

    assert exporter.dropped == 5


@pytest.mark.parametrize("status", [307, 400, 503])
def test_what_a_collector_refuses_is_dropped_and_said_once(
    collector: Collector, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "agent_sidecar")
    collector.status = status
    exporter = started(collector.endpoint)

    for _ in range(3):
        exporter.add(SPAN)
        assert collector.came.acquire(timeout=PATIENCE_S)
    collector.status = 200
    exporter.add(SPAN)
    assert collector.came.acquire(timeout=PATIENCE_S)
    exporter.stop(timeout_s=PATIENCE_S)

    assert (exporter.exported, exporter.dropped) == (1, 3)
    assert [record.getMessage() for record in caplog.records] == ["traces_failed", "traces_resumed"]


def test_a_collector_that_is_away_holds_nobody_up() -> None:
    exporter = started("http://127.0.0.1:1/v1/traces")
    began = time.monotonic()

    for _ in range(10_000):
        exporter.add(SPAN)

    assert time.monotonic() - began < 1.0
    exporter.stop(timeout_s=PATIENCE_S)
    assert (exporter.exported, exporter.dropped) == (0, 10_000)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:4318/v1/traces", "https://otel.example.com/v1/traces", "http://[::1]:1"]
)
def test_an_endpoint_is_a_url_of_http(url: str) -> None:
    assert trace_settings({"endpoint": url}).endpoint == url


@pytest.mark.parametrize(
    "table",
    [
        {}, {"endpoint": ""}, {"endpoint": "127.0.0.1:4318"}, {"endpoint": "ftp://h/"}, {"endpoint": "http://u:p@h/"},
        {"endpoint": "http://h/?token=x"}, {"endpoint": "http://h/#x"}, {"endpoint": "http://h:x/"},
        {"endpoint": "http://h/ x"}, {"endpoint": "http:///x"}, {"endpoint": 3}, {"url": "http://h/"}, "http://h/",
    ],
)  # fmt: skip
def test_anything_else_is_a_mistake(table: object) -> None:
    with pytest.raises(ValueError, match=r"endpoint|is not a"):
        trace_settings(table)
