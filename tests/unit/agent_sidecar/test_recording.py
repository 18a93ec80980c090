"""What records of decisions hold under the rules of a policy."""

import json
from typing import Any

import pytest
from asking import Asking

from agent_sidecar.asked import Asked
from agent_sidecar.decision_log.records import Decided, Spoken, spell
from agent_sidecar.recording import RecordByPolicy, Recording, RecordNothing
from policy_core.decision import CALLER_NOT_BOUND, Answer, Ask, PolicyRef, refusal
from policy_core.grants import Grant, encode_grant
from policy_core.matcher import encode_rules, load
from policy_core.model import Clauses, Decision, Erasure, LogRules, Rule
from policy_core.redacting import Redactor

REQUEST: dict[str, Any] = {
    "subject": {"type": "user", "id": "ana", "properties": {"email": "ana@example.com"}},
    "action": {"name": "service.restart"},
    "resource": {"type": "service", "id": "db-1"},
    "context": {"prompt": "a secret"},
}
ALLOW = Answer(decision=Decision.ALLOW, allowed=True, reason_code="matched_rule", decision_id="d-1")


def by_policy(rules: LogRules) -> Recording:
    content = encode_rules([Rule("p", "r", Decision.ALLOW)])
    return RecordByPolicy(Redactor(rules, {}), load(content, policy=PolicyRef("sha256:1", "r")), {})


def recorded(recording: Recording | None, raw: object = REQUEST, answer: Answer = ALLOW) -> dict[str, Any] | None:
    spelt = spell(Decided(Asked(raw), answer, 5.0, 1, Spoken.JOB, False, recording), Asking(), {})
    return None if spelt is None else json.loads(b"{" + spelt[1:] + b"}")


def test_without_rules_everything_is_recorded() -> None:
    found = recorded(None)

    assert found
    assert found["input"]["context"] == REQUEST["context"]
    assert found["input_digest"]
    assert "erased" not in found


def test_what_the_policy_erases_is_not_recorded_and_cannot_be_guessed() -> None:
    asked = Ask(("p/r",), "sha256:a", "sha256:b", {"sec": 1}, 60)
    answer = Answer(decision=Decision.REQUIRE_APPROVAL, allowed=False, reason_code="matched_rule", approval=asked)
    grant = encode_grant(Grant("ab" * 32, "sha256:a", "sha256:b", "any", 1, 2, "cd" * 16), lambda _: b"signed")
    request = REQUEST | {"context": {"prompt": "a secret", "grants": [grant]}}

    found = recorded(by_policy(LogRules(erase=(Erasure("context.prompt"),))), request, answer)

    assert found
    assert found["input"]["context"] == {}
    assert found["erased"] == ["context.prompt"]
    text = json.dumps(found)
    assert "a secret" not in text
    assert "input_digest" not in found
    assert "sha256:b" not in text


def test_what_a_bound_caller_claimed_does_not_come_back_in_the_reason() -> None:
    answer = refusal(CALLER_NOT_BOUND, "uid 7 may not speak as 'user/ana'", decision_id="d-1")

    found = recorded(by_policy(LogRules(erase=(Erasure("subject.id"),))), answer=answer)

    assert found
    assert found["answer"]["reason_code"] == CALLER_NOT_BOUND
    assert "ana" not in json.dumps(found["answer"])
    kept = recorded(by_policy(LogRules(erase=(Erasure("context.token"),))), answer=answer)
    assert kept
    assert "ana" in kept["answer"]["reason"]


@pytest.mark.parametrize("recording", [RecordNothing(), by_policy(LogRules(erase=(Erasure("context.prompt"),)))])
def test_what_was_sent_as_a_grant_and_is_none_leaves_no_digest(recording: Recording) -> None:
    found = recorded(recording, REQUEST | {"context": {"prompt": "a secret", "grants": ["a pin of four digits"]}})

    assert found
    assert "sha256" not in json.dumps(found)


def test_while_nothing_of_the_request_is_recorded_its_grants_are_not_either() -> None:
    grant = encode_grant(Grant("ab" * 32, "sha256:a", "sha256:b", "a secret", 1, 2, "cd" * 16), lambda _: b"signed")

    found = recorded(RecordNothing(), REQUEST | {"context": {"grants": [grant]}})

    assert found
    assert "grants" not in found


def test_where_nothing_was_erased_the_digest_stays() -> None:
    found = recorded(by_policy(LogRules(erase=(Erasure("context.token"),))))

    assert found
    assert found["input_digest"]
    assert "erased" not in found


def test_a_decision_the_policy_leaves_out_has_no_record() -> None:
    assert recorded(by_policy(LogRules(leave_out=(Clauses(actions=("service.*",)),)))) is None


def test_rules_that_fail_lose_no_record(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Redactor, "redact", broken)
    found = recorded(by_policy(LogRules(erase=(Erasure("context.prompt"),))))

    assert found
    assert found["erased"] == ["*"]
    assert found["answer"]["decision"] == "allow"
    assert "ana" not in json.dumps(found)


@pytest.mark.parametrize("raw", [REQUEST, {"prompt": "a secret"}, 7])
def test_while_no_policy_says_what_may_be_recorded_nothing_of_the_request_is(raw: object) -> None:
    found = recorded(RecordNothing(), raw)

    assert found
    assert found["erased"] == ["*"]
    assert found.get("input") is None
    assert "secret" not in json.dumps(found)
    assert found["caller"] == "uid 7"


def test_what_is_no_request_is_not_recorded_under_rules() -> None:
    found = recorded(by_policy(LogRules(erase=(Erasure("context.prompt"),))), {"prompt": "a secret"})

    assert found
    assert "secret" not in json.dumps(found)
