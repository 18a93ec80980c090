"""What a record says of a decision, and what it does not."""

import json
from typing import Any

import msgspec
import pytest
from asking import UID_7, Asking
from granting import asking_request, grant_for

from agent_sidecar.asked import Asked
from agent_sidecar.decision_log.records import Decided, Moments, Spoken, spell
from agent_sidecar.history import moment
from policy_core.decision import Answer, PolicyRef
from policy_core.grants import request_digest
from policy_core.model import Decision
from policy_core.request import normalise

REQUEST = {"subject": {"type": "user", "id": "a"}, "action": {"name": "x"}, "resource": {"type": "t", "id": "i"}}
JOB = {"job": {"topic": "job.x", "actor_type": "agent", "actor_id": "a-1", "risk_tags": ["prod"]}, "tenant_id": "acme"}
ANSWER = Answer(
    decision=Decision.ALLOW, allowed=True, reason_code="matched_rule", matched_rule="p/r", decision_id="d-1",
    policy=PolicyRef("sha256:ab", "1" * 40, "prod", 7),
)  # fmt: skip


def record(raw: object, *, host: dict[str, str] | None = None, is_trial: bool = False, **asking: Any) -> dict[str, Any]:
    decided = Decided(Asked(raw), ANSWER, 5.0, 12, Spoken.AUTHZEN, is_trial)
    spelt = spell(decided, Asking(**asking), host or {})
    assert spelt
    assert spelt.startswith(b",")
    found: dict[str, Any] = json.loads(b"{" + spelt[1:] + b"}")
    return found


def test_it_has_who_asked_what_was_asked_and_the_whole_answer() -> None:
    found = record(REQUEST)

    assert found == {
        "protocol": "authzen",
        "caller": "uid 7",
        "caller_kind": "unix",
        "input": {
            "subject": {"type": "user", "id": "a", "properties": {}},
            "action": {"name": "x", "properties": {}},
            "resource": {"type": "t", "id": "i", "properties": {}},
            "context": {},
        },
        "input_digest": request_digest(normalise(REQUEST, now=0.0, host={})),
        "answer": msgspec.to_builtins(ANSWER),
        "eval_us": 12,
    }


def test_a_usual_record_is_spelled_as_any_other() -> None:
    usual, unusual = record(REQUEST), record(REQUEST, request_id=b"r-1")

    assert list(unusual.items()) == [*list(usual.items())[:3], ("correlation_id", "r-1"), *list(usual.items())[3:]]


@pytest.mark.parametrize("request_id", [b"", b"r-1"])
def test_an_answer_from_the_cache_says_so_and_nothing_else_changes(request_id: bytes) -> None:
    worked_out, known = (
        spell(
            Decided(Asked(REQUEST), ANSWER, 5.0, 12, Spoken.JOB, False, cache_hit=hit),
            Asking(request_id=request_id),
            {},
        )
        for hit in (False, True)
    )

    assert worked_out
    assert known == worked_out + b',"cache_hit":true'


@pytest.mark.parametrize("raw", [REQUEST, JOB, {"input": JOB}, {"input": REQUEST, "more": 1}])
def test_what_it_has_of_a_request_is_decided_as_the_request_was(raw: object) -> None:
    found = record(raw)
    again, was = normalise(found["input"], now=0.0, host={}), normalise(raw, now=0.0, host={})

    assert found["input_digest"] == request_digest(was) == request_digest(again)
    assert (again.subject, again.action, again.resource, again.context) == (
        was.subject, was.action, was.resource, was.context,
    )  # fmt: skip


def test_it_has_the_request_id_the_trace_and_the_labels_of_the_host() -> None:
    trace = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    found = record(
        REQUEST, request_id=b"r-1", kept_headers=((b"traceparent", trace),), host={"env": "prod"}, is_trial=True
    )

    assert found["correlation_id"] == "r-1"
    assert (found["trace_id"], found["span_id"]) == ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")
    assert found["host"] == {"env": "prod"}
    assert found["trial"] is True


def test_nobody_can_use_a_grant_that_is_in_a_log() -> None:
    digests = {"rules_digest": "sha256:ab", "request_digest": "sha256:cd", "audience": "host-1"}
    token = grant_for(digests)
    found = record(asking_request(token, "no grant at all"))
    text = json.dumps(found)

    assert "grants" not in found["input"]["context"]
    assert token.split(".")[2] not in text
    assert "no grant at all" not in text
    assert found["grants"][0]["request_digest"] == "sha256:cd"
    assert len(found["grants"][0]["nonce"]) == 32
    assert found["grants"][1].keys() == {"sha256"}


@pytest.mark.parametrize("raw", [None, 5, [], {}, {"subject": 1}, {**REQUEST, "context": 5}, {"job": {"topic": None}}])
def test_what_is_no_request_is_recorded_as_it_came(raw: object) -> None:
    found = record(raw)

    assert found.get("input") == raw or "input" in found
    assert found["caller"] == UID_7.name


def test_line_breaks_of_a_request_do_not_end_its_record() -> None:
    decided = Decided(
        Asked({**REQUEST, "context": {"a\nb": "c\nd\u2028"}}), ANSWER, 5.0, 12, Spoken.JOB, is_trial=False
    )

    spelt = spell(decided, Asking(), {})

    assert spelt
    assert b"\n" not in spelt


@pytest.mark.parametrize("seconds", [0.0, 1_772_366_400.0, 1_772_366_400.999, 1_772_366_401.0015, 5.5])
def test_moments_are_those_of_the_history(seconds: float) -> None:
    spell_moment = Moments()

    assert [spell_moment(seconds), spell_moment(seconds)] == [moment(seconds)] * 2
