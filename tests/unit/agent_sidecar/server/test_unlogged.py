"""While the log cannot be written nothing is allowed, whatever is asked in whatever form, and whatever was decided."""

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest
from asking import Asking

from agent_sidecar.decision_log.batch import Batch
from agent_sidecar.decision_log.errors import SpoolError
from agent_sidecar.decision_log.log import NoLog
from agent_sidecar.decision_log.records import Asker, Decided
from agent_sidecar.ext_authz import TrustedHeaders
from agent_sidecar.freshness import FreshnessState
from agent_sidecar.host_clock import HostClock
from agent_sidecar.memory import AtOnce, HostMemory, WouldWaitError
from agent_sidecar.server import together
from agent_sidecar.server.authzen import AuthZenApi
from agent_sidecar.server.decisions import DecisionApi
from agent_sidecar.server.envoy import EnvoyApi
from agent_sidecar.server.kubernetes import KubernetesApi
from agent_sidecar.server.opa import OpaApi
from agent_sidecar.server.waiting import WaitingRoom
from agent_sidecar.status import Health
from policy_core.decision import Answer
from policy_core.memory import Memory
from policy_core.model import Decision

REQUEST = {"subject": {"type": "user", "id": "a"}, "action": {"name": "x"}, "resource": {"type": "t", "id": "i"}}
REVIEW = {
    "apiVersion": "admission.k8s.io/v1",
    "kind": "AdmissionReview",
    "request": {
        "uid": "u-1", "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "resource": {"group": "", "version": "v1", "resource": "pods"}, "name": "web", "operation": "CREATE",
        "userInfo": {"username": "ann", "groups": []}, "object": {"metadata": {"name": "web"}}, "dryRun": False,
    },
}  # fmt: skip


class Log(NoLog):
    """Keeps what it is given, or fails."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.written: list[tuple[Decided, Asker]] = []

    def write(self, decided: Decided, peer: Asker) -> None:
        if self.error:
            raise self.error
        self.written.append((decided, peer))


class Allowing:
    """Allows everything: at once, or in a thread after some time."""

    recording = None
    cache_hits = 0
    deny_after = 0.0  # nothing lasts

    def __init__(self, *, waits_s: float | None = None) -> None:
        self.waits_s = waits_s

    def answer(self, raw: object, *, now: float, decision_id: str, memory: Memory) -> Answer:
        if self.waits_s is not None:
            if isinstance(memory, AtOnce):
                raise WouldWaitError
            time.sleep(self.waits_s)
        return Answer(decision=Decision.ALLOW, allowed=True, reason_code="matched_rule", decision_id=decision_id)


def new_api(tmp_path: Path, log: Log, in_force: Any = None) -> DecisionApi:
    active = in_force or Allowing()
    return DecisionApi(
        in_force=lambda: active, clock=lambda: 5.0, status=lambda: None, metrics=lambda: b"", log=log,
        memory=HostMemory(tmp_path, host_id="host-1", clock=HostClock(), fleet=None),
        health=lambda: Health(ready=True, state=FreshnessState.FRESH),
    )  # fmt: skip


def peer(method: bytes = b"POST", target: bytes = b"/", **more: Any) -> Any:
    return Asking(method=method, target=target, **more)


def ask_all(api: DecisionApi) -> dict[str, bool]:
    """Ask in every form, and return whether that was allowed."""
    authzen, envoy = AuthZenApi(api), EnvoyApi(api, TrustedHeaders("x-user"))
    opa = OpaApi(api, default="writ/allow", status=lambda: None, health=lambda: None)  # type: ignore[arg-type, return-value]
    body, batch = json.dumps(REQUEST).encode(), json.dumps({**REQUEST, "evaluations": [{}, {}]}).encode()
    asked = peer(b"GET", b"/envoy/a", kept_headers=((b"host", b"web"), (b"x-user", b"ann")))

    async def batched() -> Any:
        return await authzen.evaluations(batch, peer())  # type: ignore[misc]

    def reply(found: Any) -> Any:
        return json.loads(found[1])

    evaluations = reply(asyncio.run(batched()))["evaluations"]
    assert len({each["decision"] for each in evaluations}) == 1
    return {
        "job": reply(api.job_evaluation(b'{"job":{"topic":"x"}}', peer()))["allowed"],
        "evaluation": reply(authzen.evaluation(body, peer()))["decision"],
        "batch": evaluations[0]["decision"],
        "opa": reply(opa.handle(json.dumps({"input": REQUEST}).encode(), peer(target=b"/v1/data/writ/allow")))[
            "result"
        ],
        "opa default": reply(opa.default(body, peer())),
        "kubernetes": reply(KubernetesApi(api).admission(json.dumps(REVIEW).encode(), peer()))["response"]["allowed"],
        "envoy": envoy.check(b"", asked)[0] == 200,  # type: ignore[index]
    }


def test_every_form_is_logged_with_the_answer_that_leaves(tmp_path: Path) -> None:
    log = Log()

    assert set(ask_all(new_api(tmp_path, log)).values()) == {True}

    assert [decided.protocol.value for decided, _ in log.written] == [
        "authzen", "authzen", "job", "authzen", "opa", "opa", "kubernetes", "envoy",
    ]  # fmt: skip
    assert all(decided.answer.allowed for decided, _ in log.written)


@pytest.mark.parametrize("error", [SpoolError("full"), ZeroDivisionError()], ids=["full", "a bug"])
def test_nothing_is_allowed_unlogged_in_any_form(tmp_path: Path, error: Exception) -> None:
    assert set(ask_all(new_api(tmp_path, Log(error))).values()) == {False}


def test_the_denial_says_why(tmp_path: Path) -> None:
    api = new_api(tmp_path, Log(SpoolError("full")))

    status, body = api.job_evaluation(b'{"job":{"topic":"x"}}', peer())  # type: ignore[misc]
    told = json.loads(body)

    assert (status, told["decision"], told["reason_code"]) == (200, "DENY", "log_unavailable")
    assert told["decision_id"]


@pytest.mark.parametrize("error", [None, SpoolError("full")])
def test_decisions_made_aside_are_logged_before_they_leave_too(tmp_path: Path, error: Exception | None) -> None:
    log = Log(error)
    api = new_api(tmp_path, log, Allowing(waits_s=0.0))

    async def ask() -> Any:
        asked = peer(request_id=b"r-1")
        answering = api.job_evaluation(b'{"job":{"topic":"x"}}', asked)
        asked.request_id = b"another request by now"
        return await answering  # type: ignore[misc]

    told = json.loads(asyncio.run(ask())[1])

    assert told["allowed"] is (error is None)
    if error is None:
        ((decided, asker),) = log.written
        assert (decided.answer.decision_id, asker.request_id) == (told["decision_id"], b"r-1")


def test_a_decision_that_took_too_long_is_logged_as_the_denial_it_was(tmp_path: Path) -> None:
    log = Log()
    api = new_api(tmp_path, log, Allowing(waits_s=0.2))
    api.waiting_room = WaitingRoom(patience_s=0.01)

    async def ask() -> Any:
        return await api.job_evaluation(b'{"job":{"topic":"x"}}', peer())  # type: ignore[misc]

    told = json.loads(asyncio.run(ask())[1])

    assert (told["allowed"], told["reason_code"]) == (False, "evaluation_error")
    assert [decided.answer.allowed for decided, _ in log.written] == [False]


def test_what_is_no_request_is_no_decision(tmp_path: Path) -> None:
    log = Log()
    api = new_api(tmp_path, log)

    assert api.job_evaluation(b"{", peer())[0] == 400  # type: ignore[index]

    assert log.written == []


class Later(NoLog):
    """Says of each record when a test asks it to whether it was written."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []

    def write(self, decided: Decided, peer: Asker) -> Batch:  # type: ignore[override]
        self.batches.append(Batch())
        return self.batches[-1]


def test_a_batch_does_not_wait_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(together, "LOGGED_S", 0.01)
    api = AuthZenApi(new_api(tmp_path, Later()))  # type: ignore[arg-type]

    async def asked() -> Any:
        return await api.evaluations(json.dumps({**REQUEST, "evaluations": [{}]}).encode(), peer())  # type: ignore[arg-type, misc]

    assert asyncio.run(asked()) == (503, b'"not answered: the decision log is not on the disk yet"')


def test_a_batch_leaves_once_all_of_it_is_logged_and_what_is_not_is_denied_alone(tmp_path: Path) -> None:
    log = Later()
    api = AuthZenApi(new_api(tmp_path, log))  # type: ignore[arg-type]

    async def asked() -> Any:
        body = json.dumps({**REQUEST, "evaluations": [{}, {}, {}]}).encode()
        replying = asyncio.ensure_future(api.evaluations(body, peer()))  # type: ignore[arg-type]
        while len(log.batches) < 3:
            await asyncio.sleep(0)
        log.batches[0].settle(is_durable=True)
        log.batches[2].settle(is_durable=True)
        await asyncio.sleep(0.01)
        assert not replying.done()
        log.batches[1].settle(is_durable=False)
        return await replying

    status, body = asyncio.run(asked())

    assert status == 200
    assert [each["context"]["reason_code"] for each in json.loads(body)["evaluations"]] == [
        "matched_rule", "log_unavailable", "matched_rule",
    ]  # fmt: skip
