"""Records in the forms of other systems: those that a sidecar writes, and hostile ones."""

import json
from typing import Any

import pytest
from asking import Asking
from hypothesis import given
from hypothesis import strategies as st

from agent_sidecar.asked import Asked
from agent_sidecar.decision_log.records import Decided, Spoken, spell
from builder.logs.ocsf import to_ocsf
from builder.logs.otlp import MAX_BATCH, MAX_DEPTH, batches
from policy_core.decision import Answer, PolicyRef
from policy_core.model import Decision

TRACE = ((b"traceparent", b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01"),)
REQUEST = {
    "subject": {"type": "agent", "id": "agent-7"},
    "action": {"name": "service.restart"},
    "resource": {"type": "service", "id": "db-1"},
    "context": {"tenant": "acme", "count": 2**70, "ratio": 0.5, "none": None},
}
ENVELOPE = {"seq": 12, "ts": "2026-03-01T12:00:00.250Z", "record_hash": "ab" * 32}
ACTIVATED = {
    "type": "activated", **ENVELOPE, "bundle_digest": "sha256:1", "revision": "r", "channel": "prod", "release": 4,
}  # fmt: skip
REQUIRED = {
    "activity_id", "actor", "category_uid", "class_uid", "metadata", "severity_id", "src_endpoint", "time", "type_uid"
}  # fmt: skip


def decided(word: Decision = Decision.ALLOW, *, code: str = "matched_rule", trial: bool = False) -> dict[str, Any]:
    answer = Answer(
        decision=word, allowed=word.startswith("allow"), reason_code=code, matched_rule="p/r", decision_id="d-1",
        policy=PolicyRef("sha256:1", "r", "prod", 4),
    )  # fmt: skip
    spelt = spell(
        Decided(Asked(REQUEST), answer, 5.0, 1, Spoken.JOB, trial), Asking(kept_headers=TRACE), {"env": "prod"}
    )
    assert spelt
    return {"type": "decision", **ENVELOPE, **json.loads(b"{" + spelt[1:] + b"}")}


def test_a_decision_is_an_api_activity() -> None:
    event = to_ocsf("web-1", decided())

    assert event.keys() >= REQUIRED | {"api"}
    assert (event["class_uid"], event["category_uid"], event["type_uid"]) == (6003, 6, 600399)
    assert (event["action_id"], event["disposition_id"], event["status_id"]) == (1, 1, 1)
    assert event["time"] == 1_772_366_400_250
    assert event["api"]["operation"] == "service.restart"
    assert event["actor"]["user"]["uid"] == "agent-7"
    assert event["resources"] == [{"uid": "db-1", "type": "service"}]
    assert event["policy"]["name"] == "p/r"
    assert event["policy"]["data"] == {"release": 4}
    assert event["metadata"]["sequence"] == 12
    assert event["src_endpoint"] == {"name": "web-1"}


@pytest.mark.parametrize(
    ("word", "code", "action", "disposition"),
    [
        (Decision.ALLOW_WITH_CONSTRAINTS, "matched_rule", 4, 1),
        (Decision.ALLOW, "approved", 1, 8),
        (Decision.DENY, "matched_rule", 2, 2),
        (Decision.DENY, "evaluation_error", 2, 27),
        (Decision.THROTTLE, "matched_rule", 2, 14),
        (Decision.REQUIRE_APPROVAL, "matched_rule", 2, 23),
    ],
)
def test_each_decision_has_its_action_and_disposition(word: Decision, code: str, action: int, disposition: int) -> None:
    event = to_ocsf("web-1", decided(word, code=code))

    assert (event["action_id"], event["disposition_id"]) == (action, disposition)


def test_a_trial_was_only_observed() -> None:
    assert to_ocsf("web-1", decided(trial=True))["action_id"] == 3


def test_the_strictest_constraint_is_not_taken_for_none() -> None:
    record = decided(Decision.ALLOW_WITH_CONSTRAINTS)
    record["answer"]["constraints"] = {"network_allowlist": [], "max_targets": 0, "x_note": ""}

    assert to_ocsf("web-1", record)["unmapped"]["constraints"] == record["answer"]["constraints"]


def test_an_activation_is_in_the_life_of_an_application() -> None:
    event = to_ocsf("web-1", ACTIVATED)

    assert event.keys() >= REQUIRED | {"app"}
    assert (event["class_uid"], event["activity_id"], event["type_uid"]) == (6002, 8, 600208)
    assert event["app"] == {"name": "policy of channel prod", "uid": "sha256:1", "version": "4"}


def test_an_end_is_one() -> None:
    assert to_ocsf("web-1", {"type": "stopped", **ENVELOPE})["type_uid"] == 600204


def test_a_rejection_is_more_than_information() -> None:
    rejected = ACTIVATED | {"type": "rejected", "reason": "bundle: needs rules.v9"}

    assert to_ocsf("web-1", rejected)["severity_id"] == 3


def test_a_batch_is_a_request_for_logs() -> None:
    (batch,) = batches([("web-1", decided(Decision.DENY)), ("web-1", ACTIVATED)])
    (found,) = batch["resourceLogs"]
    first, second = found["scopeLogs"][0]["logRecords"]
    attributes = {each["key"]: each["value"] for each in first["attributes"]}

    assert {"key": "host.name", "value": {"stringValue": "web-1"}} in found["resource"]["attributes"]
    assert first["timeUnixNano"] == "1772366400250000000"
    assert (first["traceId"], first["spanId"]) == ("a" * 32, "b" * 16)
    assert (first["severityText"], second["severityText"]) == ("WARN", "INFO")
    assert (first["eventName"], second["eventName"]) == ("writ.decision", "writ.activated")
    assert attributes["writ.decision"] == {"stringValue": "deny"}
    assert attributes["writ.seq"] == {"intValue": "12"}
    assert attributes["writ.allowed"] == {"boolValue": False}


def test_a_batch_is_of_one_host_and_not_too_large() -> None:
    records = [("a", ACTIVATED)] * (MAX_BATCH + 1) + [("b", ACTIVATED)]

    sizes = [len(each["resourceLogs"][0]["scopeLogs"][0]["logRecords"]) for each in batches(records)]

    assert sizes == [MAX_BATCH, 1, 1]


def test_numbers_are_what_protocol_buffers_can_hold() -> None:
    text = json.dumps(list(batches([("a", decided())])))

    assert f'{{"stringValue": "{2**70}"}}' in text
    assert '{"doubleValue": 0.5}' in text
    assert '{"key": "none", "value": {}}' in text


def test_values_lie_no_deeper_than_a_collector_reads() -> None:
    deep: Any = "bottom"
    for _ in range(400):
        deep = {"a": [deep]}

    (batch,) = batches([("h", ACTIVATED | {"deep": deep})])

    text = json.dumps(batch)
    assert text.count("arrayValue") + text.count("kvlistValue") <= MAX_DEPTH + 1
    assert "bottom" in text


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=10,
)
NAMES = ["input", "answer", "caller", "trial", "erased", "reason", "release", "channel", "trace_id", "by"]


@given(st.dictionaries(st.sampled_from(NAMES), anything), st.sampled_from(["decision", "activated", "unheard_of"]))
def test_no_record_is_too_odd_to_be_exported(members: dict[str, Any], kind: str) -> None:
    record = {"type": kind, **ENVELOPE, **members}

    assert to_ocsf("h", record)["class_uid"] in (6002, 6003)
    assert json.dumps(list(batches([("h", record)])))
