"""What a running sidecar lets others see: metrics of all its processes, and spans at a real collector."""

import http.client
import json
import re
import socket
from collections.abc import Iterator

import pytest
from otlp_collector import running_collector
from sidecar_bench import PATIENCE_S, REQUEST, Bench, Process, new_bench, until
from signed_store import bundle, rules

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.fixture
def bench() -> Iterator[Bench]:
    with new_bench() as made:
        made.store.publish(bundle(rules("allow", "deny"), number=1))
        yield made


def ask(sidecar: Process, method: str, path: str, body: str = "", **headers: str) -> bytes:
    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(sidecar.socket))
    connection.request(method, path, body, headers)
    reply = connection.getresponse().read()
    connection.close()
    return reply


def metrics(sidecar: Process) -> dict[str, float]:
    text = ask(sidecar, "GET", "/metrics").decode()
    return {name: float(value) for name, value in re.findall(r"^([a-z][^ ]*) (\S+)$", text, re.MULTILINE)}


@pytest.mark.parametrize("workers", [1, 2])
def test_metrics_count_what_all_processes_did(bench: Bench, workers: int) -> None:
    sidecar = bench.start("--workers", str(workers)).wait_for(1)
    other = {**REQUEST, "action": {"name": "act.1"}}

    for body in [REQUEST] * 5 + [other] * 3:
        ask(sidecar, "POST", "/access/v1/evaluation", json.dumps(body))

    def settled() -> dict[str, float] | None:
        found = metrics(sidecar)
        return found if found['writ_decisions_total{decision="deny"}'] == 3 else None

    found = until(settled, "counts of all processes")
    assert found['writ_decisions_total{decision="allow"}'] == 5
    assert found["writ_decision_duration_seconds_count"] == 8
    assert 0 < found["writ_decision_duration_seconds_sum"] < 1
    assert found["writ_http_requests_total"] >= 8
    assert (found["writ_release"], found["writ_rules"]) == (1, 2)
    assert found['writ_history_events_total{event="activated"}'] == 1
    assert found['writ_polls_total{outcome="activated"}'] == 1
    assert found["process_resident_memory_bytes"] > 10e6
    assert ("writ_workers_ready" in found) == (workers > 1)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_decision_is_a_span_of_the_callers_trace_if_that_is_recorded(bench: Bench, workers: int) -> None:
    with running_collector() as collector:
        file = bench.folder / "s.toml"
        file.write_text(f'[traces]\nendpoint = "{collector.endpoint}"\n')
        sidecar = bench.start("--config", str(file), "--workers", str(workers)).wait_for(1)
        replies = {
            flags: json.loads(
                ask(
                    sidecar, "POST", "/access/v1/evaluation", json.dumps(REQUEST),
                    traceparent=f"00-{TRACE}-{PARENT}-{flags}",
                )
            )
            for flags in ("00", "01", "zz")
        }  # fmt: skip

        assert collector.came.acquire(timeout=PATIENCE_S)
        assert sidecar.stop() == 0

    (span,) = collector.spans
    facts = {each["key"]: next(iter(each["value"].values())) for each in span["attributes"]}
    assert (span["traceId"], span["parentSpanId"]) == (TRACE, PARENT)
    assert int(span["endTimeUnixNano"]) >= int(span["startTimeUnixNano"]) > 0
    assert facts["writ.decision_id"] == replies["01"]["context"]["decision_id"]
    assert (facts["writ.decision"], facts["writ.protocol"]) == ("allow", "authzen")


def test_a_collector_that_is_away_is_no_reason_to_wait_or_to_deny(bench: Bench) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:  # connects, and never answers
        file = bench.folder / "s.toml"
        file.write_text(f'[traces]\nendpoint = "http://127.0.0.1:{deaf.getsockname()[1]}/v1/traces"\n')
        sidecar = bench.start("--config", str(file)).wait_for(1)

        for _ in range(3):
            reply = json.loads(
                ask(
                    sidecar, "POST", "/access/v1/evaluation", json.dumps(REQUEST),
                    traceparent=f"00-{TRACE}-{PARENT}-01",
                )
            )  # fmt: skip
            assert reply["decision"] is True
        assert "writ_trace_spans_exported_total" in metrics(sidecar)
        assert sidecar.stop() == 0
