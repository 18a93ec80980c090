"""Searches over real policies: who is found, how pages end, and that nothing waits long meanwhile."""

import asyncio
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import uvloop
from asking import UID_7, Asking

from agent_sidecar.access.binding import Binds, binds
from agent_sidecar.activation import Activation, Answering, Unavailable
from agent_sidecar.asked import Asked
from agent_sidecar.decision_log.batch import Batch
from agent_sidecar.decision_log.errors import SpoolError
from agent_sidecar.decision_log.log import NoLog
from agent_sidecar.decision_log.records import Decided, Spoken
from agent_sidecar.freshness import FreshnessState
from agent_sidecar.host_clock import HostClock
from agent_sidecar.memory import HostMemory
from agent_sidecar.server import searches
from agent_sidecar.server.caller import Caller, CallerKind
from agent_sidecar.server.decisions import DecisionApi
from agent_sidecar.server.searches import MAX_SEARCHES, SLICE_S, SearchApi
from agent_sidecar.status import Health
from policy_core.decision import PolicyRef
from policy_core.matcher import encode_rules, load
from policy_core.model import Clauses, Decision, Provisions, Rate, Rule
from policy_core.trust.release import Release

JSON = ((b"content-type", b"application/json"),)
PEOPLE = [f"u{number:05}" for number in range(250)]
EVEN = [name for name in PEOPLE if int(name[1:]) % 2 == 0]
SUBJECT, ACTION = b"/access/v1/search/subject", b"/access/v1/search/action"
WHO: dict[str, Any] = {
    "subject": {"type": "user"},
    "action": {"name": "read"},
    "resource": {"type": "page", "id": "p"},
}


def rule(number: int, decision: Decision = Decision.ALLOW, **more: Any) -> Rule:
    match = {"actions": ("read",), "subject": None} | more.pop("match", {})
    return Rule(policy="p", id=f"r{number}", decision=decision, match=Clauses(**match), **more)


def activation(rules: Sequence[Rule], *, people: Any = PEOPLE, number: int = 1) -> Activation:
    subjects = people if isinstance(people, dict) else {name: {"even": name in set(EVEN)} for name in people}
    data = {"directory": {"subjects": {"agent": {}, "user": subjects}, "actions": {"read": {}, "write": {}}}}
    sha256, revision = f"{number:064x}", "0" * 40
    policy = PolicyRef(bundle=f"sha256:{sha256}", revision=revision, channel="prod", release=number)
    matcher = load(encode_rules(list(rules)), policy=policy, provisions=Provisions(data=data))
    release = Release(
        channel="prod", release=number, revision=revision, action="publish", reason="", actor="tests", name="acme",
        sha256=sha256, length=1, content_sha256=sha256, policy_sha256=sha256,
    )  # fmt: skip
    return Activation(release, policy, matcher, host={}, activated_at=0.0, deny_after=math.inf)


def even_ones() -> Activation:
    return activation([rule(1, match={"attributes": {"subject.properties.even": {"eq": True}}})])


class Noting(NoLog):
    """Remembers what is logged."""

    def __init__(self) -> None:
        self.decided: list[Decided] = []
        self.events: list[tuple[str, Any]] = []
        self.error: Exception | None = None

    def write(self, decided: Decided, peer: object) -> None:
        self.decided.append(decided)

    def note(self, kind: str, fields: Any, *, told_as: str) -> None:
        if self.error:
            raise self.error
        assert fields["reply_id"] == told_as
        self.events.append((kind, dict(fields)))


class Host:
    """Answers from whatever is in force, and remembers rates on disk."""

    def __init__(self, folder: Path, active: Answering) -> None:
        self.active = active
        self.memory = HostMemory(folder, host_id="h", clock=HostClock(), fleet=None)
        self.log = Noting()
        self.decisions = DecisionApi(
            in_force=lambda: self.active,
            clock=lambda: 5.0,
            memory=self.memory,
            status=lambda: None,
            health=lambda: Health(ready=True, state=FreshnessState.FRESH),
            metrics=lambda: b"",
            log=self.log,
        )
        self.considered = 0
        self._consider = self.decisions.consider
        self.decisions.consider = self._counting  # type: ignore[method-assign]
        self.api = SearchApi(self.decisions)

    def _counting(self, raw: object, peer: Any) -> Any:
        self.considered += 1
        return self._consider(raw, peer)

    async def asked(
        self, body: object, path: bytes = SUBJECT, headers: object = JSON, caller: Caller = UID_7
    ) -> tuple[int, Any]:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        peer: Any = Asking(kept_headers=headers, caller=caller)  # type: ignore[arg-type]
        reply = self.api.routes[path][1](raw, peer)
        status, found = reply if isinstance(reply, tuple) else await reply
        return status, json.loads(found)

    def ask(
        self, body: object, path: bytes = SUBJECT, headers: object = JSON, caller: Caller = UID_7
    ) -> tuple[int, Any]:
        return asyncio.run(self.asked(body, path, headers, caller))

    def pages(self, body: dict[str, Any], **page: object) -> list[list[str]]:
        found, token = [], ""
        while True:
            status, reply = self.ask({**body, "page": {**page, "token": token}})
            assert status == 200, reply
            assert reply["page"]["count"] == len(reply["results"])
            found.append([each["id"] for each in reply["results"]])
            token = reply["page"]["next_token"]
            if not token:
                return found


@pytest.fixture
def make(tmp_path: Path) -> Callable[[Answering], Host]:
    return lambda active: Host(tmp_path, active)


@pytest.fixture
def host(make: Callable[[Answering], Host]) -> Host:
    return make(even_ones())


def test_found_are_those_the_policy_allows_in_the_order_of_the_bundle(host: Host) -> None:
    status, reply = host.ask({**WHO, "page": {"limit": 1000}})

    assert status == 200
    assert [each["id"] for each in reply["results"]] == EVEN
    assert reply["results"][0] == {"type": "user", "id": "u00000", "properties": {"even": True}}
    assert reply["page"] == {"next_token": "", "count": len(EVEN)}
    assert reply["context"]["policy"]["release"] == 1


@pytest.mark.parametrize("limit", [1, 7, 124, 125, 126, 1000, 10**18])
def test_pages_together_are_the_whole_whatever_their_size(host: Host, limit: int) -> None:
    pages = host.pages(WHO, limit=limit)

    assert [name for page in pages for name in page] == EVEN
    assert max(map(len, pages)) <= limit


def test_without_a_limit_a_page_has_a_hundred(host: Host) -> None:
    assert [len(page) for page in host.pages(WHO)] == [100, 25]


def test_with_a_limit_of_zero_nothing_is_found_and_nothing_is_skipped(host: Host) -> None:
    _, reply = host.ask({**WHO, "page": {"limit": 0}})

    assert reply["results"] == []
    assert (
        host.ask({**WHO, "page": {"limit": 1, "token": reply["page"]["next_token"]}})[1]["results"][0]["id"] == EVEN[0]
    )


def test_a_page_ends_when_enough_candidates_were_looked_at(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searches, "MAX_EXAMINED", 10)

    pages = host.pages(WHO)

    assert [len(page) for page in pages] == [5] * 25
    assert [name for page in pages for name in page] == EVEN


def test_a_page_ends_when_it_has_taken_long_enough(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searches, "PAGE_S", 0.0)

    status, reply = host.ask(WHO)

    assert (status, reply["results"]) == (200, [])
    assert reply["page"]["next_token"]


def test_every_result_asked_about_alone_gets_true(host: Host) -> None:
    found = host.ask({**WHO, "page": {"limit": 1000}})[1]["results"]

    for each in found:
        answer = host.decisions.answer(
            Asked({**WHO, "subject": each}), lambda answer: answer.allowed, Asking(), Spoken.AUTHZEN
        )  # type: ignore[arg-type]
        assert answer is True


def test_who_may_within_constraints_is_found_and_who_needs_approval_is_not(make: Callable[[Answering], Host]) -> None:
    within = rule(1, Decision.ALLOW_WITH_CONSTRAINTS, constraints={"max_targets": 1})
    asked = rule(2, Decision.REQUIRE_APPROVAL, match={"attributes": {"subject.properties.even": {"eq": True}}})

    found = make(activation([within, asked])).pages(WHO, limit=1000)[0]

    assert found == [name for name in PEOPLE if name not in EVEN]


def test_nothing_is_counted_by_searching(make: Callable[[Answering], Host]) -> None:
    rate = Rate(limit=1, window_s=60, key=("resource.id",))
    host = make(activation([rule(1), rule(2, Decision.THROTTLE, rate=rate)]))

    assert [len(host.pages(WHO, limit=1000)[0]) for _ in range(3)] == [250] * 3
    assert host.memory.rates.keys == 0

    host.decisions.answer(
        Asked({**WHO, "subject": {"type": "user", "id": "u"}}), lambda answer: answer, Asking(), Spoken.AUTHZEN
    )  # type: ignore[arg-type]
    assert host.pages(WHO) == [[]]


def test_a_caller_finds_nobody_as_whom_it_may_not_speak(host: Host) -> None:
    bounds = Binds(binds([{"uid": 7, "subjects": ["user/u0001?"]}])).of(CallerKind.UNIX, "7")
    bound = replace(UID_7, bounds=bounds)

    subjects = host.ask({**WHO, "page": {"limit": 1000}}, caller=bound)[1]["results"]
    what = {"subject": {"type": "user", "id": EVEN[0], "properties": {"even": True}}, "resource": WHO["resource"]}
    mine, others = (
        host.ask({**what, "subject": {**what["subject"], "id": name}}, ACTION, caller=bound)[1]["results"]
        for name in ("u00010", "u00020")
    )

    assert [each["id"] for each in subjects] == ["u00010", "u00012", "u00014", "u00016", "u00018"]
    assert (mine, others) == ([{"name": "read"}], [])


def test_the_log_has_a_record_of_each_page_and_no_decisions(host: Host) -> None:
    host.pages(WHO)

    assert host.log.decided == []
    assert host.decisions.decisions == 0
    assert [(kind, found["found"], found["examined"]) for kind, found in host.log.events] == [
        ("searched", 100, 199),
        ("searched", 25, 51),
    ]
    told = host.log.events[0][1]
    assert (told["search"], told["caller"], told["policy"].release) == ("subject", "uid 7", 1)


@pytest.mark.parametrize(("error", "status"), [(SpoolError("the disk is full"), 503), (ZeroDivisionError(), None)])
def test_nobody_is_found_unlogged(host: Host, error: Exception, status: int | None) -> None:
    host.log.error = error

    if status is None:  # a bug: the server refuses the request
        with pytest.raises(ZeroDivisionError):
            host.ask(WHO)
    else:
        assert host.ask(WHO) == (status, "nobody is found unlogged: the disk is full")

    assert host.decisions.walks == []
    host.log.error = None
    assert host.ask(WHO)[0] == 200


def test_a_page_leaves_once_its_record_is_on_the_disk(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    held, batch = list[Any](), Batch()
    monkeypatch.setattr(host.log, "note", lambda *_, **__: batch)
    monkeypatch.setattr(Asking, "hold", lambda _peer, *what: held.append(what))

    host.ask(WHO)

    ((waits_for, instead),) = held
    assert waits_for is batch
    assert instead() == (503, b'"nobody is found unlogged: the decision log cannot be written"')


def test_without_a_policy_nobody_is_found_and_the_reply_says_why(make: Callable[[Answering], Host]) -> None:
    status, reply = make(Unavailable("no policy yet")).ask(WHO)

    assert (status, reply["results"], reply["page"]["next_token"]) == (200, [], "")
    assert reply["context"] == {"reason_code": "policy_unavailable", "reason": "no policy yet"}


def test_nor_under_one_that_is_too_stale(make: Callable[[Answering], Host]) -> None:
    _, reply = make(replace(even_ones(), deny_after=5.0)).ask(WHO)

    assert reply["results"] == []
    assert reply["context"]["reason_code"] == "policy_stale"


def test_a_directory_of_another_form_is_an_error_and_nobody_is_left_out_in_silence(
    make: Callable[[Answering], Host],
) -> None:
    host = make(activation([rule(1)], people={"ada": {}, "bob": ["x"]}))

    assert host.ask(WHO) == (500, "the subject bob in data.directory: is not a mapping")


def test_a_token_of_another_policy_is_refused(host: Host) -> None:
    token = host.ask({**WHO, "page": {"limit": 1}})[1]["page"]["next_token"]

    host.active = activation([rule(1)], number=2)

    status, message = host.ask({**WHO, "page": {"token": token}})
    assert status == 400
    assert "begin without one" in message


def test_a_policy_that_comes_into_force_ends_the_page_and_is_not_mixed_into_it(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searches, "SLICE_S", 0.0)
    everybody = activation([rule(1)], number=2)

    async def run() -> Any:
        search = asyncio.ensure_future(host.asked({**WHO, "page": {"limit": 1000}}))
        while host.considered < 20:
            await asyncio.sleep(0)
        host.active = everybody
        return await search

    status, reply = asyncio.run(run())

    found = [each["id"] for each in reply["results"]]
    assert status == 200
    assert 0 < len(found) < len(EVEN)
    assert found == EVEN[: len(found)]
    assert reply["context"]["policy"]["release"] == 1
    assert host.ask({**WHO, "page": reply["page"] | {"token": reply["page"]["next_token"]}})[0] == 400


def test_a_policy_is_not_taken_apart_under_a_search(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searches, "SLICE_S", 0.0)
    old = host.active
    assert isinstance(old, Activation)
    waited: list[bool] = []

    def swap() -> None:
        host.active = activation([rule(1)], number=2)
        waited.append(host.decisions.wait_for_walks(10.0))
        for _ in old.matcher.dismantle():
            pass

    async def run() -> Any:
        search = asyncio.ensure_future(host.asked({**WHO, "page": {"limit": 1000}}))
        while host.considered < 100:
            await asyncio.sleep(0)
        async with host.api._turn:  # the search waits for its turn while the policies change
            swapping = asyncio.ensure_future(asyncio.to_thread(swap))
            await asyncio.sleep(0.05)
        await swapping
        return await search

    results = asyncio.run(run())[1]["results"]

    assert waited == [True]
    assert not old.matcher.provisions.data
    assert len(results) >= 50
    assert all(each["properties"] == {"even": True} for each in results)


def test_searches_through_the_policy_in_force_keep_nothing_waiting(host: Host) -> None:
    async def run() -> bool:
        search = asyncio.ensure_future(host.asked(WHO))
        await asyncio.sleep(0)
        assert host.decisions.walks
        ended = host.decisions.wait_for_walks(0.0)
        await search
        return ended

    assert asyncio.run(run()) is True
    assert host.decisions.walks == []


def test_a_search_that_does_not_end_is_told_of(host: Host) -> None:
    host.decisions.walks.append("sha256:other")

    assert host.decisions.wait_for_walks(0.01) is False


@pytest.mark.parametrize("instead", [Unavailable("gone"), replace(activation([rule(1)]), deny_after=5.0)])
def test_a_policy_that_ends_meanwhile_ends_the_page_and_is_not_taken_for_nobody(
    host: Host, instead: Answering, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searches, "SLICE_S", 0.0)

    async def run() -> Any:
        search = asyncio.ensure_future(host.asked(WHO))
        while host.considered < 20:
            await asyncio.sleep(0)
        host.active = instead
        return await search

    assert asyncio.run(run())[1]["page"]["next_token"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{", "is not JSON"),
        (b"", "is not JSON"),
        (b'{"subject":{"type":"user"},"subject":{"type":"user"}}', "twice"),
        ({**WHO, "action": None}, "action is missing"),
        ({**WHO, "page": {"limit": -1}}, "page"),
        ({**WHO, "page": {"token": "forged"}}, "page.token"),
        (b'{"context":' + b'{"a":' * 40_000 + b"1" + b"}" * 40_001, "is not JSON"),
    ],
)
def test_what_is_no_search_is_status_400_with_a_message(host: Host, body: object, message: str) -> None:
    status, found = host.ask(body)

    assert status == 400
    assert message in found


def test_a_body_that_is_said_to_be_text_is_refused(host: Host) -> None:
    assert host.ask(WHO, headers=((b"content-type", b"text/plain"),))[0] == 400


def test_there_is_no_end_of_searches_at_the_same_time(host: Host) -> None:
    async def run() -> list[Any]:
        return await asyncio.gather(*(host.asked(WHO) for _ in range(MAX_SEARCHES + 1)))

    replies = asyncio.run(run())

    assert [status for status, _ in replies] == [200] * MAX_SEARCHES + [503]
    assert host.ask(WHO)[0] == 200


def test_while_searches_go_on_others_get_their_turn_after_each_slice(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searches, "SLICE_S", 0.0)
    decided: list[int] = []

    async def watch() -> None:
        while True:
            before = host.considered
            await asyncio.sleep(0)
            decided.append(host.considered - before)

    async def run() -> None:
        watching = asyncio.ensure_future(watch())
        await asyncio.gather(*(host.asked(WHO) for _ in range(MAX_SEARCHES)))
        watching.cancel()

    asyncio.run(run())

    assert max(decided) == 1
    assert sum(decided) > MAX_SEARCHES * 100


def test_a_search_that_waits_for_the_network_keeps_no_other_waiting(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    consider = host.decisions.consider

    async def both() -> tuple[Any, Any]:
        answers = asyncio.Event()

        async def waiting(raw: object, peer: Any) -> Any:
            await answers.wait()
            return consider(raw, peer)

        def considered(raw: Any, peer: Any) -> Any:
            return waiting(raw, peer) if raw["resource"]["id"] == "slow" else consider(raw, peer)

        monkeypatch.setattr(host.decisions, "consider", considered)
        slow = asyncio.ensure_future(host.asked({**WHO, "resource": {"type": "page", "id": "slow"}}))
        await asyncio.sleep(0)
        async with asyncio.timeout(10):
            quick = await host.asked(WHO)
            answers.set()
            return quick, await slow

    quick, slow = asyncio.run(both())

    assert [each["id"] for each in quick[1]["results"]] == EVEN[:100]
    assert slow[1]["results"] == quick[1]["results"]


def test_a_slice_ends_by_a_clock_that_goes_on_meanwhile(host: Host) -> None:
    consider = host.decisions.consider
    decided: list[int] = []

    def slowly(raw: object, peer: Any) -> Any:
        end = time.perf_counter() + SLICE_S / 4
        while time.perf_counter() < end:
            pass
        return consider(raw, peer)

    host.decisions.consider = slowly  # type: ignore[method-assign]

    async def run() -> None:
        search = asyncio.ensure_future(host.asked({**WHO, "page": {"limit": 1000}}))
        while not search.done():
            before = host.considered
            await asyncio.sleep(0)
            decided.append(host.considered - before)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())

    assert sum(decided) == len(PEOPLE)
    assert max(decided) <= 4
