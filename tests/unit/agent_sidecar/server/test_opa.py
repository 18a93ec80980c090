"""OPA's forms without a socket: documents, inputs, what is undefined, what is refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from asking import Asking, Failing

from agent_sidecar.decision_log.log import NoLog
from agent_sidecar.freshness import FreshnessState
from agent_sidecar.host_clock import HostClock
from agent_sidecar.memory import HostMemory
from agent_sidecar.server.decisions import DecisionApi
from agent_sidecar.server.opa import OpaApi
from agent_sidecar.status import Health
from policy_core.decision import Answer
from policy_core.model import Decision
from policy_core.request import normalise

INPUT = {"subject": {"type": "user", "id": "a"}, "action": {"name": "x"}, "resource": {"type": "t", "id": "i"}}
JOB = {"tenant_id": "acme", "job": {"topic": "x"}}
Ask = Callable[..., tuple[int, Any]]


class Deciding:
    """Gives the same decision to every request, and counts them."""

    recording = None
    cache_hits = 0
    deny_after = 0.0  # nothing lasts

    def __init__(self, decision: Decision = Decision.ALLOW, **more: Any) -> None:
        self.decision = decision
        self.more = more
        self.asked = 0

    def answer(self, raw: object, *, now: float, decision_id: str, memory: object) -> Answer:
        normalise(raw, now=now, host={})
        self.asked += 1
        is_allowed = self.decision in (Decision.ALLOW, Decision.ALLOW_WITH_CONSTRAINTS)
        return Answer(
            decision=self.decision, allowed=is_allowed, reason_code="matched_rule", decision_id=decision_id, **self.more
        )


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Ask]:
    """Return what makes an API over something in force, and returns what asks it."""

    def made(in_force: Any, *, default: str = "writ/allow", ready: bool = True) -> Ask:
        def health() -> Health:
            return Health(ready=ready, state=FreshnessState.STALE)

        decisions = DecisionApi(
            in_force=lambda: in_force,
            clock=lambda: 5.0,
            memory=HostMemory(tmp_path, host_id="host-1", clock=HostClock(), fleet=None),
            status=lambda: None,
            health=health,
            metrics=lambda: b"",
            log=NoLog(),
        )
        routes = OpaApi(decisions, default=default, status=lambda: None, health=health).routes  # type: ignore[arg-type, return-value]

        def ask(method: str, target: str, body: Any = b"") -> tuple[int, Any]:
            path = target.partition("?")[0].encode()
            handler = (routes.get(path) or routes[path[: path.find(b"/", 1) + 1]])[1]
            peer: Any = Asking(method=method.encode(), target=target.encode())
            status, reply = handler(body if isinstance(body, bytes) else json.dumps(body).encode(), peer)  # type: ignore[misc]
            return status, msgspec.json.decode(reply)

        return ask

    return made


@pytest.mark.parametrize("given", [INPUT, JOB], ids=["authzen", "job"])
def test_allow_is_a_boolean_with_the_id_of_its_decision(make: Callable[..., Ask], given: object) -> None:
    status, reply = make(Deciding())("POST", "/v1/data/writ/allow", {"input": given})

    assert (status, reply["result"], reply.keys()) == (200, True, {"result", "decision_id"})


@pytest.mark.parametrize("decision", [each for each in Decision if each not in (Decision.ALLOW, Decision.CONSTRAIN)])
def test_allow_is_true_for_nothing_but_a_plain_allow(make: Callable[..., Ask], decision: Decision) -> None:
    ask = make(Deciding(decision, constraints={"max_targets": 1}))

    assert ask("POST", "/v1/data/writ/allow", {"input": INPUT})[1]["result"] is False
    assert ask("POST", "/v0/data/writ/allow", INPUT) == (200, False)
    assert ask("POST", "/", INPUT) == (200, False)
    assert ask("POST", "/v1/data", {"input": INPUT})[1]["result"]["writ"]["allow"] is False


def test_the_answer_is_complete_and_its_fields_have_paths(make: Callable[..., Ask]) -> None:
    ask = make(Deciding(Decision.ALLOW_WITH_CONSTRAINTS, constraints={"max_targets": 1}))

    answer = ask("POST", "/v1/data/writ/answer", {"input": INPUT})[1]["result"]

    assert (answer["decision"], answer["constraints"]) == ("allow_with_constraints", {"max_targets": 1})
    assert ask("POST", "/v1/data/writ/answer/constraints/max_targets", {"input": INPUT})[1]["result"] == 1
    assert ask("POST", "/v1/data/writ", {"input": INPUT})[1]["result"]["answer"]["decision"] == answer["decision"]


@pytest.mark.parametrize(
    "path", ["httpapi/authz/allow", "writ/no", "writ/allow/x", "allow", "writ%2Fallow", "Writ/allow"]
)
def test_another_document_is_undefined_and_nothing_is_decided(make: Callable[..., Ask], path: str) -> None:
    deciding = Deciding()
    ask = make(deciding)

    assert ask("POST", f"/v1/data/{path}", {"input": INPUT}) == (200, {})
    assert ask("POST", f"/v0/data/{path}", INPUT)[0] == 404
    assert deciding.asked == 0


def test_a_field_that_an_answer_has_not_is_undefined(make: Callable[..., Ask]) -> None:
    ask = make(Deciding())

    assert ask("POST", "/v1/data/writ/answer/constraints", {"input": INPUT})[1].keys() == {"decision_id"}
    assert ask("POST", "/v0/data/writ/answer/constraints", INPUT)[1]["code"] == "undefined_document"


@pytest.mark.parametrize("body", [b"", b"{}", b'{"subject":{},"Input":{}}', json.dumps(INPUT).encode()])
def test_without_input_everything_is_undefined_with_a_warning(make: Callable[..., Ask], body: bytes) -> None:
    status, reply = make(Deciding())("POST", "/v1/data/writ/allow", body)

    assert (status, reply.keys(), reply["warning"]["code"]) == (200, {"warning"}, "api_usage_warning")


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b"\xff", b'{"input":1}', b'{"input":null}', b'{"input":{}}', b'{"input":{"a":1,"a":2}}']
)
def test_an_input_that_is_no_request_gets_an_error_of_opas_form(make: Callable[..., Ask], body: bytes) -> None:
    status, reply = make(Deciding())("POST", "/v1/data/writ/allow", body)

    assert (status, reply.keys(), reply["code"]) == (400, {"code", "message"}, "invalid_parameter")


def test_a_get_reads_its_input_from_the_query(make: Callable[..., Ask]) -> None:
    ask, given = make(Deciding()), quote(json.dumps(INPUT))

    assert ask("GET", f"/v1/data/writ/allow?input={given}")[1]["result"] is True
    assert ask("GET", "/v1/data/writ/allow")[1].keys() == {"warning"}
    assert ask("GET", f"/v1/data/writ/allow?input={given}&input={given}")[0] == 400
    assert ask("GET", "/v1/data/writ/allow?input=%ff")[0] == 400


def test_pretty_changes_nothing_but_the_layout(make: Callable[..., Ask]) -> None:
    ask = make(Deciding())

    for query in ("pretty", "pretty=true&metrics=true&explain=full", "pretty=false"):
        assert ask("POST", f"/v1/data/writ/allow?{query}", {"input": INPUT})[1]["result"] is True


def test_the_default_document_is_the_configured_one(make: Callable[..., Ask]) -> None:
    assert make(Deciding())("POST", "/", INPUT) == (200, True)
    assert make(Deciding(), default="writ/answer")("POST", "/", INPUT)[1]["decision"] == "allow"
    assert make(Deciding())("POST", "/", b"{")[0] == 400


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("path", ["/v1/data/writ/allow", "/v1/data", "/v1/policies/a", "/v1/policies", "/v1/status"])
def test_nothing_can_be_written(make: Callable[..., Ask], method: str, path: str) -> None:
    status, reply = make(Deciding())(method, path, {"allow": True})

    assert (status, reply["code"]) == (405, "invalid_operation")


@pytest.mark.parametrize("path", ["/v1/query", "/v1/compile", "/v1/", "/v1/batch/data/writ/allow", "/v1/policies/a"])
def test_what_is_not_served_is_not_found(make: Callable[..., Ask], path: str) -> None:
    status, reply = make(Deciding())("GET", path)

    assert (status, reply["code"]) == (404, "resource_not_found")


def test_there_are_no_rego_modules(make: Callable[..., Ask]) -> None:
    assert make(Deciding())("GET", "/v1/policies/") == (200, {"result": []})


@pytest.mark.parametrize(
    ("query", "status"), [("", 200), ("?bundles", 500), ("?plugins=True", 500), ("?bundles=false", 200)]
)
def test_health_asks_for_a_policy_only_if_it_is_asked_to(make: Callable[..., Ask], query: str, status: int) -> None:
    assert make(Deciding(), ready=False)("GET", f"/health{query}")[0] == status
    assert make(Deciding())("GET", f"/health{query}") == (200, {})


def test_a_failure_of_ours_is_no_permission(make: Callable[..., Ask]) -> None:
    assert make(Failing())("POST", "/v1/data/writ/allow", {"input": INPUT})[1]["result"] is False
    assert make(Failing())("POST", "/", INPUT) == (200, False)
