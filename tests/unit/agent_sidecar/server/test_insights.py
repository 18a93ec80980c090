"""Explanations, simulations and the snapshots of a host, against a real state directory."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from asking import Asking
from polled_host import Host
from signed_store import SignedStore, bundle, denial, rules

from agent_sidecar.server import insights
from agent_sidecar.server.insights import InsightApi
from policy_core.errors import ConflictError
from policy_core.memory import Oblivious
from policy_core.model import Clauses, Decision, Rate, Rule, TimeWindow
from policy_core.request import RequestError

REQUEST = {
    "subject": {"type": "user", "id": "ann"},
    "action": {"name": "act.0"},
    "resource": {"type": "service", "id": "web"},
}
RAW = msgspec.json.encode(REQUEST)
EXPLAIN, SIMULATE, SNAPSHOTS = (f"/api/v1/policy/{verb}".encode() for verb in ("explain", "simulate", "snapshots"))


@pytest.fixture
def host(store: SignedStore, host: Any) -> Any:
    for number, word in enumerate(("allow", "deny"), start=1):
        store.publish(bundle(rules(word), number=number))
        host.poll()
    return host


@pytest.fixture
def api(host: Any) -> InsightApi:
    return make_api(host)


def make_api(host: Any) -> InsightApi:
    return InsightApi(enforcement=host.enforcement, clock=host.clock, memory=host.new_memory())


def ask(api: InsightApi, path: bytes, body: bytes = RAW, query: str = "") -> Any:
    async def run() -> Any:
        peer: Any = Asking(target=path + query.encode())
        reply = api.routes[path][1](body, peer)
        return reply if isinstance(reply, tuple) else await reply

    status, reply = asyncio.run(run())
    return status, msgspec.json.decode(reply)


def throttled(store: SignedStore, host: Any) -> None:
    throttle = Rule("p", "t", Decision.THROTTLE, rate=Rate(1, 3600, ("resource.id",)))
    store.publish(bundle([*rules("allow"), throttle], number=3))
    host.poll()


# explanations


def test_an_explanation_says_why_from_the_policy_in_force(api: InsightApi) -> None:
    status, reply = ask(api, EXPLAIN)

    assert (status, reply["answer"]["decision"], reply["answer"]["policy"]["release"]) == (200, "deny", 2)
    assert reply["rules"][0]["outcome"] == "true"


def test_an_explanation_after_a_rollback_is_of_the_previous_policy(host: Any, api: InsightApi) -> None:
    host.enforcement.rollback(reason="why", by="me")

    _, reply = ask(api, EXPLAIN)

    assert (reply["answer"]["decision"], reply["answer"]["policy"]["release"]) == ("allow", 1)


def test_an_explanation_sees_what_this_host_has_counted_and_counts_nothing(store: SignedStore, host: Any) -> None:
    throttled(store, host)
    api = make_api(host)
    explained = []

    for _ in range(2):
        for _ in range(2):
            _, reply = ask(api, EXPLAIN)
            explained.append(reply["answer"]["decision"])
        host.enforcement.active.answer(REQUEST, now=host.clock(), decision_id="", memory=api._memory)

    assert explained == ["allow", "allow", "throttle", "throttle"]


def test_a_policy_too_stale_to_answer_from_explains_nothing(host: Any, api: InsightApi) -> None:
    host.enforcement.active = replace(host.enforcement.active, deny_after=0.0)

    _, reply = ask(api, EXPLAIN)

    assert (reply["answer"]["reason_code"], reply["rules"], reply["suggestions"]) == ("policy_stale", [], [])


@pytest.mark.parametrize("path", [EXPLAIN, SIMULATE])
@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"subject":{}}', b'{"job":{},"job":{}}'])
def test_what_is_no_request_is_neither_explained_nor_simulated(api: InsightApi, path: bytes, body: bytes) -> None:
    with pytest.raises(RequestError):
        ask(api, path, body)

    assert api.under_way == 0


def test_a_policy_is_known_to_be_in_use_while_it_is_explained(api: InsightApi, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(insights, "_let_others_run", lambda **_: seen.append(api.under_way))

    ask(api, EXPLAIN)

    assert set(seen) == {1}
    assert api.under_way == 0


def test_an_explanation_that_takes_too_long_is_told(api: InsightApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(insights, "EXPLAIN_PATIENCE_S", -1.0)

    status, reply = ask(api, EXPLAIN)

    assert (status, reply["error"]["code"], api.under_way) == (504, "timeout", 0)


# simulations


def test_a_simulation_says_what_would_be_answered_in_the_job_form(host: Any, api: InsightApi) -> None:
    status, reply = ask(api, SIMULATE)

    assert (status, reply["decision"], reply["policy"]["release"]) == (200, "DENY", 2)
    assert reply["simulated"]["snapshot"] == "in_force"
    assert "decision_id" not in reply


@pytest.mark.parametrize(("snapshot", "found"), [("current", ("DENY", 2)), ("previous", ("ALLOW", 1))])
@pytest.mark.parametrize("rolled_back", [False, True])
def test_another_snapshot_can_be_asked_whichever_is_in_force(
    host: Any, api: InsightApi, snapshot: str, found: tuple[str, int], rolled_back: bool
) -> None:
    if rolled_back:
        host.enforcement.rollback(reason="why", by="me")

    _, reply = ask(api, SIMULATE, query=f"?snapshot={snapshot}")

    assert (reply["decision"], reply["policy"]["release"]) == found
    assert reply["simulated"]["snapshot"] == snapshot


def test_the_job_form_is_simulated_too(api: InsightApi) -> None:
    _, reply = ask(api, SIMULATE, msgspec.json.encode({"job": {"topic": "act.0"}}), "?snapshot=previous")

    assert reply["decision"] == "ALLOW"


def test_another_time_can_be_supposed(store: SignedStore, host: Any) -> None:
    freeze = Rule("p", "f", Decision.DENY, match=Clauses(time=TimeWindow(after=4_102_444_800)))  # 2100
    store.publish(bundle([*rules("allow"), freeze], number=3))
    host.poll()
    api = make_api(host)

    found = [
        ask(api, SIMULATE, query=f"?now={quote(now)}")[1]
        for now in ("2099-12-31T23:59:59Z", "2100-01-01T02:00:00+02:00")
    ]

    assert [each["decision"] for each in found] == ["ALLOW", "DENY"]
    assert [each["simulated"]["now"] for each in found] == ["2099-12-31T23:59:59.000Z", "2100-01-01T00:00:00.000Z"]


def test_a_simulation_sees_what_was_counted_and_counts_nothing(store: SignedStore, host: Any) -> None:
    throttled(store, host)
    api = make_api(host)
    found = []

    for _ in range(2):
        found += [ask(api, SIMULATE)[1]["decision"] for _ in range(2)]
        host.enforcement.active.answer(REQUEST, now=host.clock(), decision_id="", memory=api._memory)

    assert found == ["ALLOW", "ALLOW", "THROTTLE", "THROTTLE"]


def test_supposing_the_future_makes_nothing_remembered_old(store: SignedStore, host: Any) -> None:
    throttled(store, host)
    api = make_api(host)
    answer = host.enforcement.active.answer
    answer(REQUEST, now=host.clock(), decision_id="", memory=api._memory)

    ask(api, SIMULATE, query="?now=2199-01-01T00:00:00Z")

    assert answer(REQUEST, now=host.clock(), decision_id="", memory=api._memory).decision == "throttle"


def test_an_emergency_lies_over_whichever_snapshot_is_asked(tmp_path: Path) -> None:
    store = SignedStore(tmp_path / "oncall", oncall=True)
    host = Host(tmp_path / "other", store).start()
    try:
        for number in (1, 2):
            store.publish(bundle(rules("allow"), number=number))
            host.poll()
        store.call(denial("act.0"))
        host.poll()
        api = make_api(host)

        found = [ask(api, SIMULATE, query=f"?snapshot={which}")[1] for which in ("in_force", "current", "previous")]
    finally:
        host.stop()

    assert [each["reason_code"] for each in found] == ["emergency_deny"] * 3


def test_a_snapshot_that_is_not_there_is_a_conflict(store: SignedStore, new_host: Any) -> None:
    host = new_host("fresh").start()
    api = make_api(host)

    for which in ("current", "previous"):
        with pytest.raises(ConflictError, match=f"the {which} snapshot cannot be asked: there is none"):
            ask(api, SIMULATE, query=f"?snapshot={which}")
    assert ask(api, SIMULATE)[1]["reason_code"] == "policy_unavailable"
    assert ask(api, SNAPSHOTS, b"") == (200, {"snapshots": []})


@pytest.mark.parametrize(
    "query",
    ["?snapshot=newest", "?snapshots=previous", "?now=yesterday", "?now=2026-03-01T12:00:00", "?now=1", "?now", "?now=",
     "?snapshot=current&snapshot=previous", "?now=99999-01-01T00:00:00Z", "?\xff=1", "?&&",
     "?now=0001-01-01T00:00:00%2B14:00", "?now=9999-12-31T23:59:59-14:00", "?now=9999-12-31T23:59:59.999999Z"],
)  # fmt: skip
def test_circumstances_that_are_not_understood_are_refused(api: InsightApi, query: str) -> None:
    with pytest.raises(RequestError, match=r"^simulate: "):
        ask(api, SIMULATE, query=query)

    assert api.under_way == 0


def test_a_policy_is_known_to_be_in_use_while_it_is_asked(store: SignedStore, host: Any) -> None:
    throttled(store, host)
    seen = []

    class Seeing(Oblivious):
        def retry_after(self, rule: Rule, key: str, now: float) -> float | None:
            seen.append(api.under_way)
            return None

    api = InsightApi(enforcement=host.enforcement, clock=host.clock, memory=Seeing())

    ask(api, SIMULATE)

    assert (seen, api.under_way) == ([1], 0)


# snapshots


def test_the_snapshots_of_a_host_are_listed_with_what_may_be_done_with_them(host: Any, api: InsightApi) -> None:
    _, reply = ask(api, SNAPSHOTS, b"")

    current, previous = reply["snapshots"]
    assert [(each["role"], each["release"], each["enforced"]) for each in (current, previous)] == [
        ("current", 2, True),
        ("previous", 1, False),
    ]
    assert current["loaded"] is previous["loaded"] is True
    assert current["rules"] == previous["rules"] == 1
    assert not current["problem"]
    assert not previous["pinned"]


def test_after_a_rollback_the_previous_one_is_enforced_and_pinned(host: Any, api: InsightApi) -> None:
    host.enforcement.rollback(reason="why", by="me")

    current, previous = ask(api, SNAPSHOTS, b"")[1]["snapshots"]

    assert (current["enforced"], current["pinned"]) == (False, False)
    assert (previous["enforced"], previous["pinned"]) == (True, True)


def test_one_that_cannot_be_used_says_why(host: Any, new_host: Any, store: SignedStore) -> None:
    previous = host.enforcement.state.previous
    (host.path / "snapshots" / previous.sha256 / "bundle.tar.gz").write_bytes(b"x")
    host.stop()
    host.start()
    host.enforcement.load_rest()
    api = make_api(host)

    found = ask(api, SNAPSHOTS, b"")[1]["snapshots"][1]

    assert (found["loaded"], found["rules"]) == (False, None)
    assert "missing or damaged" in found["problem"]
    with pytest.raises(ConflictError, match="missing or damaged"):
        ask(api, SIMULATE, query="?snapshot=previous")
