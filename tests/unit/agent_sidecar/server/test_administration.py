"""Orders on the admin API, against a real state directory."""

import asyncio
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from asking import Asking
from signed_store import SignedStore, bundle, rules

from agent_sidecar.server import administration
from agent_sidecar.server.administration import AdminApi
from agent_sidecar.updating import Outcome
from policy_core.errors import ConflictError, UsageError

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
