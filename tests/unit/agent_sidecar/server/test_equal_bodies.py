"""The same bytes again: whatever has changed between two equal bodies, the second is answered as if it came first.

Each is asked several times, so that it is known and its answer would be remembered, if anything of it may be.
"""

import gc
import json
import weakref
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from asking import Asking
from granting import ASKING, PROVISIONS, asking_request, grant_for
from host_in_process import BODY, OFTEN, REQUEST, Host, activation

from agent_sidecar.access.binding import Bind, Binds
from agent_sidecar.activation import Activation, Unavailable
from agent_sidecar.asked import MAX_ANSWER_BYTES
from agent_sidecar.decision_log.records import spell
from agent_sidecar.host_clock import HostClock
from agent_sidecar.memory import Elsewhere, HostMemory
from agent_sidecar.recording import RecordByPolicy
from agent_sidecar.server.caller import Caller, CallerKind
from policy_core.decision import Answer
from policy_core.matcher.tightening import Overlay, tighten
from policy_core.model import (
    Classification,
    Clauses,
    Decision,
    Erasure,
    LogRules,
    PolicyException,
    Rate,
    Rule,
    TimeWindow,
)
from policy_core.redacting import Redactor

ALLOW, DENY = Rule("p", "allow", Decision.ALLOW), Rule("p", "deny", Decision.DENY)
HOUR = 3600.0


@pytest.fixture
def remembering(tmp_path: Path) -> Callable[..., Host]:
    """Return what makes a host that remembers rates and grants itself."""

    def make(*rules: Rule, **more: Any) -> Host:
        hosts: list[Host] = []
        clock = HostClock(clock=lambda: hosts[0].now if hosts else 0.0)
        hosts.append(Host(*rules, memory=HostMemory(tmp_path, host_id="host-1", clock=clock, fleet=None), **more))
        return hosts[0]

    return make


def body_of(**changes: Any) -> bytes:
    return json.dumps({**REQUEST, **changes}).encode()


def test_what_nothing_can_change_is_worked_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(ALLOW)
    host.warm()
    monkeypatch.setattr(Activation, "answer", None)
    monkeypatch.setattr("agent_sidecar.bodies.decode_request", None)

    assert host.warm() == "allow"


def test_each_of_them_is_a_decision_of_its_own() -> None:
    host = Host(ALLOW)
    answers = []
    for host.now in map(float, range(OFTEN)):
        answers.append(host.ask())

    decided = host.log.decided
    assert len({each["decision_id"] for each in answers}) == OFTEN
    assert [each.answer.decision_id for each in decided] == [each["decision_id"] for each in answers]
    assert [each.now for each in decided] == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert [each.cache_hit for each in decided] == [False, False, False, True, True]
    assert host.decisions.decisions == OFTEN
    assert sum(host.decisions.tally.decisions.values()) == OFTEN
    assert len({json.dumps({**each, "decision_id": ""}) for each in answers}) == 1


def test_their_records_are_the_same() -> None:
    host = Host(ALLOW)
    host.warm(body_of(context={"b": 1, "a": {"d": "é\n", "c": 1e300}}))

    spelt = []
    for each in host.log.decided:
        each.answer.decision_id, each.eval_us, each.cache_hit = "", 0, False
        spelt.append(spell(each, Asking(), {}))
        assert json.loads(b"{" + (spell(each, Asking(), {"env": "prod"}) or b"")[1:] + b"}")["host"]

    assert len(set(spelt)) == 1


@pytest.mark.parametrize(
    "rule",
    [
        Rule("p", "late", Decision.DENY, match=Clauses(time=TimeWindow(after=1000))),
        Rule("p", "late", Decision.DENY, unless=Clauses(time=TimeWindow(before=1000))),
        Rule("p", "late", Decision.DENY, match=Clauses(none_of=Clauses(time=TimeWindow(before=1000)))),
        Rule("p", "late", Decision.DENY, when=[">=", ["var", "now"], ["timestamp", 1000_000_000]]),
        Rule("p", "late", Decision.DENY, match=Clauses(time=TimeWindow(after=1000)), dry_run=True),
    ],
    ids=["match", "unless", "none_of", "when", "dry run"],
)
def test_a_time_comes_between(rule: Rule) -> None:
    host = Host(ALLOW, rule)
    before = host.ask()
    host.warm()
    host.now = 1000.0
    after = host.ask()

    assert (before["decision"], "deny" in (after["decision"], after.get("dry_run", {}).get("decision"))) == (
        "allow",
        True,
    )
    assert "dry_run" not in before or before["dry_run"]["decision"] == "allow"


def test_an_exception_ends_between() -> None:
    lifted = PolicyException("e", ("p/deny",), Clauses(), starts=0, expires=1000)
    host = Host(ALLOW, DENY, exceptions=(lifted,))

    assert host.warm() == "allow"
    host.now = 1000.0
    assert host.warm() == "deny"


def test_a_rate_is_used_up_by_them(remembering: Callable[..., Host]) -> None:
    host = remembering(
        ALLOW, Rule("p", "slow", Decision.THROTTLE, rate=Rate(limit=3, window_s=60, key=("subject.id",)))
    )

    assert [host.decide() for _ in range(OFTEN)] == ["allow"] * 3 + ["throttle"] * 2
    host.now = 61.0
    assert [host.decide() for _ in range(OFTEN)] == ["allow"] * 3 + ["throttle"] * 2


def test_a_grant_is_spent_by_the_first(remembering: Callable[..., Host], monkeypatch: pytest.MonkeyPatch) -> None:
    host = remembering(ASKING, approvers=PROVISIONS.approvers)
    import time

    host.now = time.time()
    plain = json.dumps(asking_request()).encode()
    asked = [host.ask(plain)["approval"] for _ in range(OFTEN)]
    body = json.dumps(asking_request(grant_for(asked[0]))).encode()

    assert {each["audience"] for each in asked} == {"host-1"}
    assert [host.ask(body)["reason_code"] for _ in range(OFTEN)] == ["approved"] + ["grant_replayed"] * 4


def test_an_emergency_comes_and_goes_between() -> None:
    host = Host(ALLOW)
    published = host.active
    assert isinstance(published, Activation)

    assert host.warm() == "allow"
    overlay = Overlay(denies=(Rule("emergency", "e", Decision.DENY),))
    host.active = replace(published, matcher=tighten(published.matcher, overlay))
    assert host.warm() == "deny"
    host.active = replace(published)
    assert host.warm() == "allow"


def test_an_emergency_that_reads_the_time_is_asked_each_time() -> None:
    host = Host(ALLOW)
    published = host.active
    assert isinstance(published, Activation)
    late = Rule("emergency", "e", Decision.DENY, match=Clauses(time=TimeWindow(after=1000)))
    host.active = replace(published, matcher=tighten(published.matcher, Overlay(denies=(late,))))

    assert host.warm() == "allow"
    host.now = 1000.0
    assert host.warm() == "deny"


def test_the_policy_is_swapped_and_rolled_back_between() -> None:
    host = Host(ALLOW)
    old = host.active

    assert host.warm() == "allow"
    host.active = activation(DENY)
    assert host.decide() == "deny"
    assert host.warm() == "deny"
    host.active = old
    assert host.decide() == "allow"
    host.active = Unavailable("none")
    assert host.warm() == "deny"


def test_host_labels_change_between() -> None:
    host = Host(ALLOW, Rule("p", "prod", Decision.DENY, when=["==", ["var", "host", "env"], "prod"]))
    assert isinstance(host.active, Activation)
    host.active = replace(host.active, host={"env": "dev"})

    assert host.warm() == "allow"
    host.active = replace(host.active, host={"env": "prod"})
    assert host.warm() == "deny"


def test_the_policy_becomes_stale_between() -> None:
    host = Host(ALLOW)
    assert isinstance(host.active, Activation)
    host.active = replace(host.active, deny_after=1000.0)

    assert host.warm() == "allow"
    host.now = 1000.0
    assert {host.ask()["reason_code"] for _ in range(OFTEN)} == {"policy_stale"}


def test_a_bound_caller_asks_what_another_has_asked() -> None:
    host = Host(ALLOW)
    binds = Binds((Bind(kind=CallerKind.TOKEN, name="bob", subjects=("user/bob",)),))
    bob = Caller(CallerKind.TOKEN, "bob", bounds=binds.of(CallerKind.TOKEN, "bob"))

    assert host.warm() == "allow"
    assert [host.ask(caller=bob)["reason_code"] for _ in range(OFTEN)] == ["caller_not_bound"] * OFTEN
    assert host.warm() == "allow"


def test_a_trial_counts_nothing_and_no_answer_of_it_is_given_to_others(remembering: Callable[..., Host]) -> None:
    host = remembering(
        ALLOW, Rule("p", "slow", Decision.THROTTLE, rate=Rate(limit=1, window_s=60, key=("subject.id",)))
    )
    for _ in range(OFTEN):
        host.decisions.answer(host.decisions.bodies.asked(BODY), lambda answer: answer, Asking(), "job", is_trial=True)  # type: ignore[arg-type]

    assert [host.decide() for _ in range(2)] == ["allow", "throttle"]


def test_an_item_of_a_batch_is_what_was_asked_alone(remembering: Callable[..., Host]) -> None:
    host = remembering(
        ALLOW, Rule("p", "slow", Decision.THROTTLE, rate=Rate(limit=OFTEN + 1, window_s=60, key=("subject.id",)))
    )
    host.warm()

    _, found = host.reply(json.dumps({"evaluations": [REQUEST] * 3}).encode(), b"/access/v1/evaluations")

    assert [each["context"]["decision"] for each in found["evaluations"]] == ["allow", "throttle", "throttle"]


def test_a_batch_is_not_taken_for_its_defaults() -> None:
    other = {**REQUEST, "subject": {"type": "user", "id": "bob"}}
    host = Host(ALLOW, Rule("p", "ann", Decision.DENY, when=["==", ["var", "subject", "id"], "ann"]))
    body = body_of(evaluations=[other])

    assert host.warm(body) == "deny"
    _, found = host.reply(body, b"/access/v1/evaluations")
    assert [each["decision"] for each in found["evaluations"]] == [True]
    assert host.warm(body) == "deny"


def test_protocols_that_read_the_same_bytes_otherwise_are_not_mixed_up() -> None:
    host = Host(ALLOW, Rule("p", "ann", Decision.DENY, when=["==", ["var", "subject", "id"], "ann"]))
    body = body_of(input={**REQUEST, "subject": {"type": "user", "id": "bob"}})

    for _ in range(OFTEN):
        assert host.decide(body) == "deny"
        assert host.reply(body, b"/v1/data/writ/answer")[1]["result"]["decision"] == "allow"
        assert host.reply(body, b"/v0/data/writ/answer")[1]["decision"] == "deny"
        assert host.reply(BODY, b"/v1/data/writ/answer")[1]["warning"]["code"] == "api_usage_warning"


def test_a_key_that_occurs_twice_is_refused_right_after_the_good_body() -> None:
    host = Host(ALLOW)
    twice = BODY.replace(b'"id": "ann"', b'"id": "ann", "id": "ann"')

    assert host.warm() == "allow"
    assert {host.reply(twice)[0] for _ in range(OFTEN)} == {400}
    assert {host.reply(BODY.replace(b"ann", b"\xff"))[0] for _ in range(OFTEN)} == {400}
    assert host.warm() == "allow"


@pytest.mark.parametrize("raw", [5, [], {}, {**REQUEST, "subject": 1}, {**REQUEST, "action": {"name": 7}}])
def test_what_is_no_request_never_becomes_one(raw: object) -> None:
    host = Host(ALLOW)

    assert {host.reply(json.dumps(raw).encode())[0] for _ in range(OFTEN)} == {400}


def test_bodies_that_came_in_pieces_are_answered_alike() -> None:
    host = Host(ALLOW)

    assert [host.decide(kind(BODY)) for kind in (bytearray, bytes) * OFTEN] == ["allow"] * 2 * OFTEN
    piece = bytearray(BODY)
    host.decide(piece)
    piece[:] = BODY.replace(b"act", b"\xff\xff\xff")
    assert host.reply(piece)[0] == 400


def test_what_takes_the_memory_of_another_process_is_sent_there_each_time() -> None:
    sent: list[object] = []

    async def decide(raw: object, decision_id: str, _is_trial: bool) -> Answer:
        sent.append(raw)
        return Answer(
            decision=Decision.THROTTLE, allowed=False, reason_code="matched_rule", decision_id=decision_id
        )  # fmt: skip

    rated = Rule("p", "slow", Decision.THROTTLE, rate=Rate(limit=9, window_s=60, key=("subject.id",)))
    host = Host(ALLOW, rated, memory=Elsewhere("host-1", decide))

    assert host.warm() == "throttle"
    assert sent == [REQUEST] * OFTEN


def test_classified_requests_last_and_are_classified() -> None:
    tagged = Rule("p", "tagged", Decision.DENY, match=Clauses(risk_tags=("risky",)))
    host = Host(ALLOW, tagged, classifications=(Classification("c", risk_tags=("risky",), actions=("act",)),))

    assert host.warm() == "deny"
    assert host.log.decided[-1].cache_hit


def test_nobody_can_change_the_answer_of_the_next() -> None:
    host = Host(Rule("p", "some", Decision.ALLOW_WITH_CONSTRAINTS, constraints={"max_targets": 1}))

    def spoil(answer: Answer) -> Mapping[str, Any]:
        found = dict(answer.constraints)
        answer.constraints.clear()
        answer.applied_rules.append("spoilt")
        answer.decision = Decision.ALLOW
        return found

    found = [
        host.decisions.answer(host.decisions.bodies.asked(BODY), spoil, Asking(), "job")  # type: ignore[arg-type]
        for _ in range(OFTEN)
    ]

    assert found == [{"max_targets": 1}] * OFTEN
    assert host.ask()["applied_rules"] == ["p/some"]


def test_what_the_policy_erases_is_in_no_record() -> None:
    host = Host(ALLOW)
    assert isinstance(host.active, Activation)
    redactor = Redactor(LogRules(erase=(Erasure("context.prompt"),)), {})
    body = body_of(context={"prompt": "a secret"})
    host.warm(body)
    host.active = replace(host.active, recording=RecordByPolicy(redactor, host.active.matcher, {}))
    del host.log.decided[:]
    host.warm(body)

    spelt = [spell(each, Asking(), {}) or b"" for each in host.log.decided]
    assert len(spelt) == OFTEN
    assert not [each for each in spelt if b"a secret" in each or b"input_digest" in each]


def test_long_answers_are_worked_out_each_time() -> None:
    host = Host(Rule("p", "allow", Decision.ALLOW, reason="x" * MAX_ANSWER_BYTES))

    host.warm()

    assert not any(each.cache_hit for each in host.log.decided)


def test_a_failure_of_ours_is_no_answer_that_lasts(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    host = Host(ALLOW)
    with monkeypatch.context() as patch:
        patch.setattr(Activation, "lasting", lambda *_, **__: 1 / 0)
        assert [host.ask().get("reason_code") for _ in range(4)] == ["matched_rule"] * 2 + ["evaluation_error"] * 2
    assert caplog.records

    assert host.warm() == "allow"


def test_a_failure_after_a_swap_brings_nothing_back(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    host = Host(ALLOW)
    host.warm()
    host.active = activation(DENY)
    with monkeypatch.context() as patch:
        patch.setattr(Activation, "lasting", lambda *_, **__: 1 / 0)
        assert host.warm() == "deny"
    assert caplog.records

    assert host.warm() == "deny"


def test_a_policy_that_is_gone_is_not_kept_in_memory() -> None:
    host = Host(ALLOW)
    host.warm()
    assert isinstance(host.active, Activation)
    gone = weakref.ref(host.active.matcher._index)
    host.active = Unavailable("none")
    gc.collect()

    assert gone() is None
