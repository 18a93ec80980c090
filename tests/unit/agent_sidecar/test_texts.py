"""Texts for people show control characters instead of sending them to a terminal."""

from agent_sidecar.texts import answer_text, event_text
from policy_core.decision import Answer

POLICY = {"policy": {"bundle": "sha256:" + "a" * 64, "revision": "b" * 40, "release": 4}}


ASK = {
    "rules": ["p/r"],
    "rules_digest": "sha256:1",
    "request_digest": "sha256:2",
    "from": {"ops": 1},
    "expires_in_s": 60,
}


def test_an_approval_is_told_in_lines() -> None:
    refused = {"grant": 0, "reason_code": "grant_replayed", "message": "this grant was used already"}

    text = answer_text(
        {"decision": "require_approval", "approval": ASK | {"missing": {"ops": 1}, "refused": [refused]}}
    )

    assert text.splitlines()[1:4] == [
        "  approval      takes 1 of ops; a grant is good for 60 s at most",
        "                grant 1 is refused, grant_replayed: this grant was used already",
        "                still missing: 1 of ops",
    ]


def test_a_wait_is_told_to_the_tenth_of_a_second() -> None:
    assert answer_text({"decision": "throttle", "retry_after_s": 59.68176341056824}).endswith("retry_after_s 59.7")


def test_an_answer_begins_with_its_decision_and_names_what_it_rests_on() -> None:
    answer = {
        "decision": "allow_with_constraints",
        "matched_rule": "p/r",
        "reason": "ok",
        "constraints": {"max_targets": 1, "network_allowlist": ["a", "b"]},
    } | POLICY

    text = answer_text(answer)

    assert text.splitlines()[0] == "allow_with_constraints"
    assert "max_targets=1, network_allowlist=a, b" in text
    assert "release 4, sha256:aaaaaaaaaaaa, revision bbbbbbbbbbbb" in text


def test_an_answer_shows_every_part_of_it_that_a_person_may_need() -> None:
    """Only the id of the decision is left to the JSON form."""
    parts = {field: {"x": 1} for field in Answer.__struct_fields__} | {"decision": "deny", "approval": ASK}

    shown = answer_text(parts | POLICY)

    assert [field for field in Answer.__struct_fields__ if field not in shown and field != "decision"] == [
        "allowed",  # the decision says it
        "decision_id",
    ]


def test_control_characters_are_escaped() -> None:
    event = {"at": "2026", "event": "rollback", "reason": "\x1b[2J\nforged  activated"}

    assert event_text(event) == "2026  rollback    \\x1b[2J\\nforged  activated"
    assert "\x1b" not in answer_text({"decision": "deny", "reason": "\x1b[31m"})
