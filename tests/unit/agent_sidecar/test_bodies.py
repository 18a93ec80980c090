"""What is remembered of bodies: what it says is what reading them anew says, it is bounded, and it pays."""

import gc
import json
import tracemalloc
from typing import Any

import pytest
from effort import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent_sidecar import bodies
from agent_sidecar.asked import Asked, AskedAgain
from agent_sidecar.bodies import MAX_BODY_BYTES, Bodies
from policy_core.decision import Answer, RuleError
from policy_core.decoding import decode_request
from policy_core.model import Decision
from policy_core.request import RequestError
from policy_core.testing import strategies

REQUEST = {"subject": {"type": "user", "id": "ann"}, "action": {"name": "act"}, "resource": {"type": "t", "id": "i"}}


def body_of(number: object = 0, **more: Any) -> bytes:
    return json.dumps({**REQUEST, "context": {"number": number}, **more}).encode()


def asked_often(memory: Bodies, body: bytes | bytearray) -> Asked | AskedAgain:
    for _ in range(3):
        found = memory.asked(body)
    return found


def test_a_body_is_known_once_it_has_come_twice() -> None:
    memory = Bodies()

    assert [type(memory.asked(body_of())) for _ in range(4)] == [Asked, Asked, AskedAgain, AskedAgain]


@settings(max_examples=examples(100, nightly=3_000), deadline=None, suppress_health_check=list(HealthCheck))
@given(strategies.requests, st.booleans(), st.sampled_from([(",", ":"), (", ", ": ")]))
def test_what_is_known_of_a_body_is_what_reading_it_anew_says(
    raw: Any, ascii_only: bool, separators: tuple[str, str]
) -> None:
    memory = Bodies()
    try:
        body = json.dumps(raw, ensure_ascii=ascii_only, separators=separators).encode()
        anew = Asked(decode_request(body))
    except (RequestError, UnicodeEncodeError):
        return

    known = asked_often(memory, body)

    assert (known.raw, known.told) == (anew.raw, anew.told)


def test_whoever_changes_a_request_changes_nobody_elses() -> None:
    known = asked_often(Bodies(), body_of())
    raw: Any = known.raw
    raw["subject"]["id"] = "eve"

    assert known.raw == json.loads(body_of())


def test_the_garbage_collector_has_nothing_to_walk() -> None:
    known = asked_often(Bodies(), body_of())

    assert isinstance(known, AskedAgain)
    assert not gc.is_tracked(known)
    assert not any(type(each) in (dict, list) for each in (known.told.input, known.told.digest, known.told.grants))


@pytest.mark.parametrize(
    "body",
    [
        bytearray(body_of()),
        body_of("x" * MAX_BODY_BYTES),
        body_of(context={"grants": ["one that is used once"]}),
        b"5",
        b'{"subject":{}}',
    ],
    ids=["not bytes", "long", "with a grant", "no object", "no request"],
)
def test_what_is_not_worth_it_or_no_request_is_not_kept(body: bytes) -> None:
    memory = Bodies()

    assert isinstance(asked_often(memory, body), Asked)
    assert len(memory) == 0


@pytest.mark.parametrize("body", [b"{", b'{"a":1,"a":1}', b'"\xff"', b""])
def test_what_cannot_be_read_is_refused_each_time(body: bytes) -> None:
    memory = Bodies()

    for _ in range(4):
        with pytest.raises(RequestError):
            memory.asked(body)


def test_a_part_of_a_body_is_picked_each_time() -> None:
    memory = Bodies(lambda decoded: decoded["input"])  # type: ignore[index]

    assert asked_often(memory, json.dumps({"input": REQUEST}).encode()).raw == REQUEST


def test_what_is_kept_is_bounded_however_many_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "MAX_BYTES", 100_000)
    memory = Bodies()

    for number in range(1_000):
        asked_often(memory, body_of(number))

    assert 0 < len(memory) <= 100_000 / 2_000


class Answering:
    """Answers anything, for ever, with so many rules that apply or are in error."""

    number, deny_after = 1, 1.0

    def __init__(self, rules: int, errors: int) -> None:
        self._rules, self._errors = rules, errors

    def lasting(self, raw: Any, *, now: float) -> Answer:
        names = [f"p/{number:02x}" for number in range(self._rules)]
        errors = [RuleError(f"p/{number:x}", f"context.tenant {number}: is absent") for number in range(self._errors)]
        return Answer(
            decision=Decision.DENY, allowed=False, reason_code="matched_rule", applied_rules=names, errors=errors
        )


@pytest.mark.parametrize(("rules", "errors"), [(n, 0) for n in (1, 5, 9, 20, 90)] + [(n, n) for n in (1, 2, 3, 4, 12)])
def test_what_is_kept_takes_no_more_memory_than_it_may_whatever_is_answered(
    monkeypatch: pytest.MonkeyPatch, rules: int, errors: int
) -> None:
    monkeypatch.setattr(bodies, "MAX_BYTES", 400_000)
    active: Any = Answering(rules, errors)
    tracemalloc.start()
    try:
        memory = Bodies()
        before, _ = tracemalloc.get_traced_memory()
        for number in range(400):
            asked_often(memory, body_of(number)).lasting(active, 0.0)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert len(memory) > 100
    assert after - before < 400_000


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Return the bodies that are looked up."""
    looked_up: list[bytes] = []
    monkeypatch.setattr(bodies, "PATIENCE", 20)
    monkeypatch.setattr(bodies, "REST", 100)
    unknown = Bodies._unknown
    monkeypatch.setattr(Bodies, "_unknown", lambda self, body: looked_up.append(body) or unknown(self, body))
    return looked_up


def test_where_nothing_repeats_bodies_are_left_alone_for_a_while(read: list[bytes]) -> None:
    memory = Bodies()

    for number in range(1_000):
        memory.asked(body_of(number))

    assert 100 < len(read) < 200


def test_what_repeats_is_found_out_also_after_a_rest(read: list[bytes]) -> None:
    memory = Bodies()
    for number in range(30):
        memory.asked(body_of(number))
    del read[:]

    found = [memory.asked(body_of("again")) for _ in range(200)]

    assert len(read) == 2
    assert isinstance(found[-1], AskedAgain)


def test_one_that_repeats_keeps_the_others_looked_up(read: list[bytes]) -> None:
    memory = Bodies()
    asked_often(memory, body_of("again"))
    del read[:]

    for number in range(500):
        memory.asked(body_of(number))
        memory.asked(body_of("again"))

    assert len(read) == 500
