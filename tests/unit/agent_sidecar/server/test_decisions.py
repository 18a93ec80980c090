"""The decision API without a socket: forms, errors, ids."""

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from asking import Asking, Failing

from agent_sidecar.decision_log.log import NoLog
from agent_sidecar.freshness import FreshnessState
from agent_sidecar.host_clock import HostClock
from agent_sidecar.memory import AtOnce, HostMemory, WouldWaitError
from agent_sidecar.server.authzen import AuthZenApi
from agent_sidecar.server.decisions import DecisionApi, job_form
from agent_sidecar.server.replies import encode, message
from agent_sidecar.server.waiting import WaitingRoom
from agent_sidecar.status import Health
from policy_core.decision import Answer, PolicyRef
from policy_core.memory import Memory
from policy_core.model import Decision

PEER: Any = Asking(kept_headers=())
AUTHZEN = b'{"subject":{"type":"user","id":"a"},"action":{"name":"x"},"resource":{"type":"t","id":"i"}}'


class Recording:
    """Allows, and remembers what it was asked."""

    recording = None
    cache_hits = 0
    deny_after = 0.0  # nothing lasts

    def __init__(self) -> None:
        self.asked: list[tuple[object, float]] = []

    def answer(self, raw: object, *, now: float, decision_id: str, memory: Memory) -> Answer:
        from policy_core.request import normalise

        normalise(raw, now=now, host={})
        self.asked.append((raw, now))
        return Answer(
            decision=Decision.ALLOW_WITH_CONSTRAINTS, allowed=True, reason_code="matched_rule",
            constraints={"max_targets": 1}, decision_id=decision_id,
        )  # fmt: skip


@pytest.fixture
def make_api(tmp_path: Path) -> Callable[[Any], DecisionApi]:
    def make(in_force: Any) -> DecisionApi:
        return DecisionApi(
            in_force=lambda: in_force,
            clock=lambda: 5.0,
            memory=HostMemory(tmp_path, host_id="host-1", clock=HostClock(), fleet=None),
            status=lambda: {"state": "fresh"},
            health=lambda: Health(ready=False, state=FreshnessState.STALE),
            metrics=lambda: b"up 1\n",
            log=NoLog(),
        )

    return make


@pytest.fixture
def api(make_api: Callable[[Any], DecisionApi]) -> DecisionApi:
    return make_api(Recording())


def ask(api: DecisionApi, path: bytes, body: bytes = b"") -> tuple[int, Any]:
    routes = {**api.routes, **AuthZenApi(api).routes}
    status, reply = routes[path][1](body, PEER)  # type: ignore[misc]
    return status, msgspec.json.decode(reply)


def test_an_evaluation_gives_the_boolean_and_the_answer_beside_it(api: DecisionApi) -> None:
    status, reply = ask(api, b"/access/v1/evaluation", AUTHZEN)

    assert (status, reply["decision"]) == (200, True)
    assert reply["context"]["decision"] == "allow_with_constraints"
    assert reply["context"]["constraints"] == {"max_targets": 1}


def test_the_job_form_gets_its_decision_in_capitals(api: DecisionApi) -> None:
    status, reply = ask(api, b"/api/v1/policy/evaluate", b'{"job":{"topic":"job.x"}}')

    assert (status, reply["decision"], reply["allowed"]) == (200, "ALLOW_WITH_CONSTRAINTS", True)


@pytest.mark.parametrize("word", Decision)
def test_the_job_form_is_the_answer_but_for_its_decision(api: DecisionApi, word: Decision) -> None:
    answer = Answer(decision=word, allowed=False, reason=str(word), reason_code="matched_rule", retry_after_s=1.5)
    api.answer = lambda _asked, spell, *_: spell(answer)  # type: ignore[assignment, method-assign, misc]

    _, reply = api.job_evaluation(b"{}", PEER)  # type: ignore[misc]

    assert reply == encode(job_form(answer))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[1]",
        b"null",
        b'{"a":"\xff"}',
        b"[" * 5000,
        b'{"subject":{}}',
        b'{"job":{"topic":7}}',
        b"NaN",
        b'{"job":{"topic":"a","topic":"b"}}',
    ],
)
def test_what_is_no_request_gets_400_and_amessage(api: DecisionApi, body: bytes) -> None:
    authzen, message = ask(api, b"/access/v1/evaluation", body)
    job, error = ask(api, b"/api/v1/policy/evaluate", body)

    assert (authzen, job) == (400, 400)
    assert message.startswith("request: ")
    assert error["error"]["message"].startswith("request: ")


def test_a_failure_of_ours_is_a_deny(make_api: Callable[[Any], DecisionApi], caplog: pytest.LogCaptureFixture) -> None:
    status, reply = ask(make_api(Failing()), b"/access/v1/evaluation", AUTHZEN)

    assert (status, reply["decision"], reply["context"]["reason_code"]) == (200, False, "evaluation_error")
    assert caplog.records[0].exc_info


def test_decision_ids_are_unique_within_and_between_processes(
    api: DecisionApi, make_api: Callable[[Any], DecisionApi]
) -> None:
    other = make_api(Recording())

    ids = [ask(each, b"/access/v1/evaluation", AUTHZEN)[1]["context"]["decision_id"] for each in (api, api, other)]

    assert len(set(ids)) == 3
    assert len({each.partition("-")[0] for each in ids}) == 2


def test_readiness_is_told_apart_from_being_alive(api: DecisionApi) -> None:
    assert ask(api, b"/health/live") == (200, {"live": True})
    assert ask(api, b"/health/ready") == (503, {"ready": False, "state": "stale"})
    assert ask(api, b"/status") == (200, {"state": "fresh"})


class Knowing(Recording):
    """Answers every second request from its cache."""

    def answer(self, raw: object, *, now: float, decision_id: str, memory: Memory) -> Answer:
        answer = super().answer(raw, now=now, decision_id=decision_id, memory=memory)
        self.cache_hits += len(self.asked) % 2 == 0
        return answer


def test_the_log_is_told_which_answers_came_from_the_cache(
    make_api: Callable[[Any], DecisionApi], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[bool] = []
    monkeypatch.setattr(NoLog, "write", lambda _self, decided, _peer: told.append(decided.cache_hit) or 0)
    api = make_api(Knowing())

    for _ in range(4):
        ask(api, b"/api/v1/policy/evaluate", b'{"job":{"topic":"x"}}')

    assert told == [False, True, False, True]


class Waiting:
    """Needs to wait, and then allows, fails or takes too long."""

    recording = None
    cache_hits = 0
    deny_after = 0.0  # nothing lasts

    def __init__(self, then: Callable[[], Answer]) -> None:
        self._then = then

    def answer(self, raw: object, *, now: float, decision_id: str, memory: Memory) -> Answer:
        if isinstance(memory, AtOnce):
            raise WouldWaitError
        return self._then()


def fail() -> Answer:
    raise ZeroDivisionError


def ask_patiently(api: DecisionApi) -> dict[str, Any]:
    async def run() -> Any:
        reply = AuthZenApi(api).evaluation(AUTHZEN, PEER)
        assert not isinstance(reply, tuple)
        return await reply

    status, body = asyncio.run(run())
    assert status == 200
    reply: dict[str, Any] = msgspec.json.decode(body)
    return reply


def test_a_decision_that_has_to_wait_is_made_in_a_thread(make_api: Callable[[Any], DecisionApi]) -> None:
    allowed = Answer(decision=Decision.ALLOW, allowed=True, reason_code="matched_rule")

    assert ask_patiently(make_api(Waiting(lambda: allowed)))["decision"] is True


def test_a_decision_in_a_thread_that_fails_is_a_deny(
    make_api: Callable[[Any], DecisionApi], caplog: pytest.LogCaptureFixture
) -> None:
    reply = ask_patiently(make_api(Waiting(fail)))

    assert (reply["decision"], reply["context"]["reason_code"]) == (False, "evaluation_error")
    assert caplog.records[0].exc_info


def test_a_decision_in_a_thread_that_takes_too_long_is_a_deny(make_api: Callable[[Any], DecisionApi]) -> None:
    release = threading.Event()

    def decide() -> Answer:
        release.wait()
        return fail()

    api = make_api(Waiting(decide))
    api.waiting_room = WaitingRoom(patience_s=0.01)

    reply = ask_patiently(api)
    release.set()

    assert (reply["decision"], reply["context"]["reason"]) == (False, "the decision took too long")


def test_a_policy_is_not_freed_while_it_decides_what_is_logged_of_a_decision_that_waits(
    make_api: Callable[[Any], DecisionApi],
) -> None:
    release, allowed = threading.Event(), Answer(decision=Decision.ALLOW, allowed=True, reason_code="matched_rule")
    old, new = Waiting(lambda: release.wait() and allowed), Recording()
    old.policy, new.policy = (PolicyRef(bundle=name, revision="") for name in "ab")  # type: ignore[attr-defined]
    api = make_api(old)

    async def run() -> list[bool]:
        body = AuthZenApi(api).routes[b"/access/v1/evaluation"][1](AUTHZEN, PEER)
        waited = [api.wait_for_walks(0.0)]
        api.in_force = lambda: new
        waited.append(api.wait_for_walks(0.0))
        release.set()
        await body  # type: ignore[misc]
        return [*waited, api.wait_for_walks(0.0)]

    assert asyncio.run(run()) == [True, False, True]


def test_metrics_are_text_and_everything_else_is_json(api: DecisionApi) -> None:
    reply = api.routes[b"/metrics"][1](b"", None)  # type: ignore[arg-type]

    assert reply == (200, b"up 1\n")
    assert message(reply, keep_alive=True).startswith(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4")
    assert b"application/json" in message((200, b"{}"), keep_alive=True)
