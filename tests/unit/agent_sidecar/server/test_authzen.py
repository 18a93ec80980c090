"""AuthZEN without a socket: batches with their defaults and semantics, what is refused, the metadata document."""

import asyncio
import itertools
import json
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from asking import Asking

from agent_sidecar.decision_log.log import NoLog
from agent_sidecar.freshness import FreshnessState
from agent_sidecar.host_clock import HostClock
from agent_sidecar.memory import AtOnce, HostMemory, WouldWaitError
from agent_sidecar.server import authzen
from agent_sidecar.server.authzen import MAX_BATCHES, MAX_ITEMS, METADATA, AuthZenApi
from agent_sidecar.server.decisions import DecisionApi
from agent_sidecar.server.waiting import WaitingRoom
from agent_sidecar.status import Health
from policy_core.decision import Answer
from policy_core.model import Decision
from policy_core.request import normalise

ADA = {"type": "user", "id": "ada"}
READ, WRITE, WAIT = {"name": "read"}, {"name": "write"}, {"name": "wait"}
PAGE, BOOK = {"type": "page", "id": "p"}, {"type": "book", "id": "b", "properties": {"read": True}}
DEFAULTS = {"subject": ADA, "action": READ, "resource": PAGE}
JSON = ((b"content-type", b"application/json"),)


class Deciding:
    """Allows reading, cannot tell about waiting at once, and remembers in which order it was asked."""

    recording = None
    cache_hits = 0
    deny_after = 0.0  # nothing lasts

    def __init__(self, *, waits: Callable[[], object] = lambda: None) -> None:
        self.asked: list[Any] = []
        self._waits = waits

    def answer(self, raw: Any, *, now: float, decision_id: str, memory: object) -> Answer:
        action = normalise(raw, now=now, host={}).action_name
        if action == "wait":
            if isinstance(memory, AtOnce):
                raise WouldWaitError
            self._waits()
        self.asked.append(raw)
        allowed = action != "write"
        decision = Decision.ALLOW if allowed else Decision.DENY
        return Answer(decision=decision, allowed=allowed, reason_code="matched_rule", decision_id=decision_id)


@pytest.fixture
def deciding() -> Deciding:
    return Deciding()


@pytest.fixture
def make(tmp_path: Path) -> Callable[[Deciding], AuthZenApi]:
    def made(deciding: Deciding) -> AuthZenApi:
        return AuthZenApi(
            DecisionApi(
                in_force=lambda: deciding,
                clock=lambda: 5.0,
                memory=HostMemory(tmp_path, host_id="host-1", clock=HostClock(), fleet=None),
                status=lambda: None,
                health=lambda: Health(ready=True, state=FreshnessState.FRESH),
                metrics=lambda: b"",
                log=NoLog(),
            )
        )

    return made


@pytest.fixture
def api(make: Callable[[Deciding], AuthZenApi], deciding: Deciding) -> AuthZenApi:
    return make(deciding)


def ask(api: AuthZenApi, body: object, *, headers: object = JSON) -> tuple[int, Any]:
    async def run() -> Any:
        peer: Any = Asking(kept_headers=headers)
        reply = api.evaluations(body if isinstance(body, bytes) else json.dumps(body).encode(), peer)
        return await reply if isinstance(reply, Awaitable) else reply

    status, reply = asyncio.run(run())
    return status, json.loads(reply)


def decisions(api: AuthZenApi, body: object) -> list[bool]:
    status, reply = ask(api, body)
    assert status == 200
    return [evaluation["decision"] for evaluation in reply["evaluations"]]


def test_a_batch_is_answered_in_its_order(api: AuthZenApi, deciding: Deciding) -> None:
    items = [{"action": READ}, {"action": WRITE}, {"action": WAIT}, {"action": READ}]

    found = decisions(api, {"subject": ADA, "resource": PAGE, "evaluations": items})

    assert found == [True, False, True, True]
    assert [raw["action"] for raw in deciding.asked] == [READ, WRITE, WAIT, READ]


def test_an_evaluation_of_a_batch_has_the_complete_answer_beside_it(api: AuthZenApi) -> None:
    _, reply = ask(api, {**DEFAULTS, "evaluations": [{}, {}]})

    first, second = (evaluation["context"] for evaluation in reply["evaluations"])
    assert first["decision"] == "allow"
    assert first["decision_id"] != second["decision_id"]


def test_a_part_of_an_item_takes_the_place_of_the_default_as_a_whole(api: AuthZenApi, deciding: Deciding) -> None:
    body = {**DEFAULTS, "resource": BOOK, "context": {"tenant": "a"}}

    decisions(api, {**body, "evaluations": [{}, {"resource": PAGE}, {"context": {"ip": "::1"}}]})

    assert [raw["resource"] for raw in deciding.asked] == [BOOK, PAGE, BOOK]
    assert [raw["context"] for raw in deciding.asked] == [{"tenant": "a"}, {"tenant": "a"}, {"ip": "::1"}]


@pytest.mark.parametrize(
    ("semantic", "made"),
    [
        ("execute_all", [True, False, True, False]),
        ("deny_on_first_deny", [True, False]),
        ("permit_on_first_permit", [True]),
    ],
)
def test_a_batch_ends_where_its_semantic_says(
    api: AuthZenApi, deciding: Deciding, semantic: str, made: list[bool]
) -> None:
    items = [{"action": READ}, {"action": WRITE}, {"action": READ}, {"action": WRITE}]

    found = decisions(api, {**DEFAULTS, "evaluations": items, "options": {"evaluations_semantic": semantic}})

    assert found == made
    assert len(deciding.asked) == len(made)


def test_a_batch_that_permits_nothing_goes_to_its_end(api: AuthZenApi) -> None:
    body = {**DEFAULTS, "action": WRITE, "evaluations": [{}, {}]}

    assert decisions(api, {**body, "options": {"evaluations_semantic": "permit_on_first_permit"}}) == [False, False]


@pytest.mark.parametrize("item", [{}, None, "x", [], {"subject": "ada"}, {"subject": {"type": "user", "id": 7}}])
def test_an_item_that_is_no_request_is_denied_and_the_others_are_answered(
    api: AuthZenApi, deciding: Deciding, item: object
) -> None:
    status, reply = ask(api, {"action": READ, "resource": PAGE, "evaluations": [item, {"subject": ADA}]})

    broken, sound = reply["evaluations"]
    assert (status, broken["decision"], sound["decision"]) == (200, False, True)
    assert broken["context"]["error"]["status"] == 400
    assert broken["context"]["error"]["message"].startswith("request: ")
    assert len(deciding.asked) == 1


def test_an_item_that_is_no_request_ends_a_batch_as_a_deny_does(api: AuthZenApi) -> None:
    body = {"action": READ, "resource": PAGE, "options": {"evaluations_semantic": "deny_on_first_deny"}}

    assert decisions(api, {**body, "evaluations": [{}, {"subject": ADA}]}) == [False]


@pytest.mark.parametrize("form", [{"job": {"topic": "read"}}, {"input": {**DEFAULTS}}])
def test_an_item_cannot_slip_in_another_form_of_request(api: AuthZenApi, form: dict[str, Any]) -> None:
    assert decisions(api, {"evaluations": [form]}) == [False]


@pytest.mark.parametrize("more", [{}, {"evaluations": []}, {"evaluations": [], "options": {}}])
def test_without_items_the_body_is_an_evaluation(api: AuthZenApi, more: dict[str, Any]) -> None:
    status, reply = ask(api, {**DEFAULTS, **more})

    assert (status, reply["decision"], reply["context"]["decision"]) == (200, True, "allow")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        [],
        {},
        {**DEFAULTS, "evaluations": {}},
        {**DEFAULTS, "evaluations": None},
        {**DEFAULTS, "evaluations": [{}], "options": []},
        {**DEFAULTS, "evaluations": [{}], "options": None},
        {**DEFAULTS, "evaluations": [{}], "options": {"evaluations_semantic": "first"}},
        {**DEFAULTS, "evaluations": [{}], "options": {"evaluations_semantic": None}},
        {**DEFAULTS, "evaluations": [{}], "options": {"evaluations_semantic": ["execute_all"]}},
        {**DEFAULTS, "evaluations": [{}] * (MAX_ITEMS + 1)},
        b'{"evaluations":[{"subject":{"type":"user","id":"ada","id":"root"}}]}',
    ],
)
def test_what_is_no_batch_is_refused_and_nothing_decided(api: AuthZenApi, deciding: Deciding, body: object) -> None:
    status, message = ask(api, body)

    assert status == 400
    assert message.startswith("request: ")
    assert deciding.asked == []


def test_the_longest_batch_is_answered(api: AuthZenApi) -> None:
    assert decisions(api, {**DEFAULTS, "evaluations": [{}] * MAX_ITEMS}) == [True] * MAX_ITEMS


@pytest.mark.parametrize(
    "value", [b"text/plain", b"", b"application/x-www-form-urlencoded", b"application/jsonp", b"text/json"]
)
def test_another_content_type_is_refused(api: AuthZenApi, value: bytes) -> None:
    peer: Any = Asking(kept_headers=(*JSON, (b"content-type", value)))

    assert ask(api, DEFAULTS, headers=peer.kept_headers)[0] == 400
    assert api.evaluation(json.dumps(DEFAULTS).encode(), peer) == (
        400,
        b'"request: Content-Type is not application/json"',
    )


@pytest.mark.parametrize("value", [b"application/json; charset=utf-8", b"Application/JSON", b"application/json ;a=b"])
def test_json_may_be_named_in_other_words(api: AuthZenApi, value: bytes) -> None:
    assert ask(api, DEFAULTS, headers=((b"content-type", value),))[0] == 200


def test_a_batch_that_takes_too_long_begins_no_more_items(
    make: Callable[[Deciding], AuthZenApi], monkeypatch: pytest.MonkeyPatch
) -> None:
    release = threading.Event()
    deciding = Deciding(waits=release.wait)
    api = make(deciding)
    api._decisions.waiting_room = WaitingRoom(patience_s=0.01)
    monkeypatch.setattr(authzen, "PATIENCE_S", 0.01)

    _, reply = ask(api, {**DEFAULTS, "evaluations": [{"action": WAIT}, {}, {}]})
    asked = list(deciding.asked)
    release.set()

    assert [evaluation["decision"] for evaluation in reply["evaluations"]] == [False] * 3
    assert [evaluation["context"]["error"]["status"] for evaluation in reply["evaluations"][1:]] == [503, 503]
    assert asked == []


def test_while_an_item_waits_others_are_answered(make: Callable[[Deciding], AuthZenApi]) -> None:
    waiting, release = threading.Event(), threading.Event()

    def wait() -> None:
        waiting.set()
        release.wait()

    api, peer = make(Deciding(waits=wait)), Asking(kept_headers=JSON)

    async def run() -> tuple[Any, Any]:
        body = json.dumps({**DEFAULTS, "evaluations": [{"action": WAIT}]}).encode()
        batch = asyncio.ensure_future(api.evaluations(body, peer))  # type: ignore[arg-type]
        await asyncio.to_thread(waiting.wait)
        other = api.evaluation(json.dumps(DEFAULTS).encode(), peer)  # type: ignore[arg-type]
        was_done = batch.done()
        release.set()
        return (other, was_done), await batch

    (other, was_done), (status, body) = asyncio.run(run())

    assert (other[0], was_done, status) == (200, False, 200)
    assert json.loads(body)["evaluations"][0]["decision"] is True


def test_between_two_items_others_get_their_turn(api: AuthZenApi, deciding: Deciding) -> None:
    seen = [0]

    async def run() -> None:
        peer: Any = Asking(kept_headers=JSON)
        batch: Any = api.evaluations(json.dumps({**DEFAULTS, "evaluations": [{}] * 9}).encode(), peer)
        task = asyncio.ensure_future(batch)
        while not task.done():
            await asyncio.sleep(0)
            seen.append(len(deciding.asked))

    asyncio.run(run())

    assert {later - earlier for earlier, later in itertools.pairwise(seen)} <= {0, 1}


def test_of_too_many_batches_one_is_turned_away_until_another_ends(api: AuthZenApi) -> None:
    async def run() -> tuple[int, int]:
        peer: Any = Asking(kept_headers=JSON)
        body = json.dumps({**DEFAULTS, "evaluations": [{}]}).encode()
        underway: list[Any] = [api.evaluations(body, peer) for _ in range(MAX_BATCHES)]
        refused: Any = api.evaluations(body, peer)
        await asyncio.gather(*underway)
        later: Any = api.evaluations(body, peer)
        return refused[0], (await later)[0]

    assert asyncio.run(run()) == (503, 200)


def test_metadata_names_what_is_there_under_the_url_that_was_configured(api: AuthZenApi) -> None:
    routes = AuthZenApi(api._decisions, url="https://pdp.example.com").routes
    status, body = routes[METADATA][1](b"", Asking())  # type: ignore[arg-type, misc]

    found = json.loads(body)
    paths = {url.removeprefix("https://pdp.example.com").encode() for url in found.values()}
    assert status == 200
    assert found["policy_decision_point"] == "https://pdp.example.com"
    assert paths == routes.keys() - {METADATA} | {b""}


def test_without_a_configured_url_there_is_no_metadata(api: AuthZenApi) -> None:
    assert METADATA not in api.routes
