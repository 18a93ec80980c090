"""Orders on the admin API, against a real state directory."""

import asyncio
from concurrent.futures import Future
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from asking import Asking
from signed_store import SignedStore, bundle, rules

from agent_sidecar.freshness import FreshnessState
from agent_sidecar.server import administration
from agent_sidecar.server.administration import AdminApi
from agent_sidecar.server.decisions import DecisionApi
from agent_sidecar.status import Health
from agent_sidecar.updating import Outcome
from policy_core.errors import ConflictError, UsageError
from policy_core.model import Decision, Rate, Rule
from policy_core.request import RequestError

REQUEST = {
    "subject": {"type": "user", "id": "ann"},
    "action": {"name": "act.0"},
    "resource": {"type": "service", "id": "web"},
}
PEER: Any = Asking()


@pytest.fixture
def host(store: SignedStore, host: Any) -> Any:
    for number, word in enumerate(("allow", "deny"), start=1):
        store.publish(bundle(rules(word), number=number))
        host.poll()
    return host


def make_api(host: Any, poller: Any = None) -> AdminApi:
    return AdminApi(
        enforcement=host.enforcement,
        clock=host.clock,
        memory=host.new_memory(),
        poller=poller,
        history=host.history,
        status=lambda: {"release": host.release},
    )


def order(api: AdminApi, path: bytes, body: bytes = b"") -> tuple[int, Any]:
    async def run() -> Any:
        reply = api.routes[path][1](body, PEER)
        return reply if isinstance(reply, tuple) else await reply

    status, reply = asyncio.run(run())
    return status, msgspec.json.decode(reply)


def test_rollback_and_resume_reply_with_the_new_status(host: Any) -> None:
    api = make_api(host)

    assert order(api, b"/rollback", b'{"reason":"why"}') == (200, {"release": 1})
    assert order(api, b"/resume") == (200, {"release": 2})

    (event,) = host.events("rollback")
    assert (event.by, event.reason) == ("uid 7", "why")


def test_a_second_rollback_is_a_conflict(host: Any) -> None:
    api = make_api(host)
    order(api, b"/rollback", b'{"reason":"why"}')

    with pytest.raises(ConflictError):
        order(api, b"/rollback", b'{"reason":"why"}')


@pytest.mark.parametrize("body", [b"", b"{}", b"{", b"\xff", b'{"reason":3}', b'{"reason":"x","force":true}'])
def test_a_bad_order_changes_nothing(host: Any, body: bytes) -> None:
    with pytest.raises(UsageError):
        order(make_api(host), b"/rollback", body)

    assert host.release == 2


def test_refresh_replies_with_the_outcome_of_the_poll(host: Any) -> None:
    done: Future[Outcome] = Future()
    done.set_result(Outcome.ACTIVATED)

    status, reply = order(make_api(host, SimpleNamespace(refresh=lambda: done)), b"/refresh")

    assert (status, reply["outcome"]) == (200, "activated")


def test_a_poll_that_takes_too_long_is_told(host: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(administration, "REFRESH_PATIENCE_S", 0.01)
    never: Future[Outcome] = Future()

    status, _ = order(make_api(host, SimpleNamespace(refresh=lambda: never)), b"/refresh")

    assert status == 504


def test_the_history_is_given_oldest_first(host: Any) -> None:
    status, reply = order(make_api(host), b"/history")

    assert (status, [event["release"] for event in reply]) == (200, [1, 2])


def test_an_explanation_says_why_from_the_policy_in_force(host: Any) -> None:
    status, reply = order(make_api(host), b"/api/v1/policy/explain", msgspec.json.encode(REQUEST))

    assert (status, reply["answer"]["decision"], reply["answer"]["policy"]["release"]) == (200, "deny", 2)
    assert reply["rules"][0]["outcome"] == "true"


def test_an_explanation_after_a_rollback_is_of_the_previous_policy(host: Any) -> None:
    api = make_api(host)
    order(api, b"/rollback", b'{"reason":"why"}')

    _, reply = order(api, b"/api/v1/policy/explain", msgspec.json.encode(REQUEST))

    assert (reply["answer"]["decision"], reply["answer"]["policy"]["release"]) == ("allow", 1)


def test_an_explanation_sees_what_this_host_has_counted_and_counts_nothing(store: SignedStore, host: Any) -> None:
    throttle = Rule("p", "t", Decision.THROTTLE, rate=Rate(1, 3600, ("resource.id",)))
    store.publish(bundle([*rules("allow"), throttle], number=3))
    host.poll()
    api, memory = make_api(host), host.new_memory()
    api._memory = memory
    explained = []

    for _ in range(2):
        for _ in range(2):
            _, reply = order(api, b"/api/v1/policy/explain", msgspec.json.encode(REQUEST))
            explained.append(reply["answer"]["decision"])
        host.enforcement.active.answer(REQUEST, now=host.clock(), decision_id="", memory=memory)

    assert explained == ["allow", "allow", "throttle", "throttle"]


def test_a_policy_too_stale_to_answer_from_explains_nothing(host: Any) -> None:
    host.enforcement.active = replace(host.enforcement.active, deny_after=0.0)

    _, reply = order(make_api(host), b"/api/v1/policy/explain", msgspec.json.encode(REQUEST))

    assert (reply["answer"]["reason_code"], reply["rules"], reply["suggestions"]) == ("policy_stale", [], [])


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"subject":{}}', b'{"job":{},"job":{}}'])
def test_what_is_no_request_is_not_explained(host: Any, body: bytes) -> None:
    with pytest.raises(RequestError):
        order(make_api(host), b"/api/v1/policy/explain", body)


def test_a_policy_is_known_to_be_in_use_while_it_is_explained(host: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    api = make_api(host)
    seen = []
    monkeypatch.setattr(administration, "_let_others_run", lambda **_: seen.append(api.explaining))

    order(api, b"/api/v1/policy/explain", msgspec.json.encode(REQUEST))

    assert set(seen) == {1}
    assert api.explaining == 0


def test_an_explanation_that_takes_too_long_is_told(host: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(administration, "EXPLAIN_PATIENCE_S", -1.0)
    api = make_api(host)

    status, reply = order(api, b"/api/v1/policy/explain", msgspec.json.encode(REQUEST))

    assert (status, reply["error"]["code"], api.explaining) == (504, "timeout", 0)


def test_only_the_admin_api_explains(host: Any) -> None:
    api = DecisionApi(
        in_force=lambda: host.enforcement.active,
        clock=host.clock,
        memory=host.new_memory(),
        status=lambda: None,
        health=lambda: Health(True, FreshnessState.FRESH),
        metrics=lambda: b"",
    )

    assert not [path for path in api.routes if b"explain" in path]
