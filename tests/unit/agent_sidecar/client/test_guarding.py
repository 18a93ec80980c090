"""`@guard`: what runs, what is raised instead, and what the function is given."""

import asyncio
import inspect
import time
from collections.abc import Callable, Iterator
from enum import Enum
from functools import partial
from typing import Any, get_type_hints

import pytest
from scripted_policy import ALLOW, ASK, ASKING, DENY, Script, answer, bound, throttle

from agent_sidecar.client import (
    ApprovalMissing,
    Asked,
    Constraints,
    Denied,
    RequestError,
    SubjectError,
    Throttled,
    acting_as,
    guard,
    obeying,
)
from policy_core.decision import Answer
from policy_core.errors import UsageError
from policy_core.model import Decision, Remediation


@pytest.fixture(autouse=True)
def _ada(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(obeying, "LOOK_EVERY_S", 0.01)
    with acting_as("user", "ada", roles=["sre"]):
        yield


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def call(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Guard a function that returns what it was given, and call it; ``async`` or not."""

    def called(policy: Script, *args: Any, **guarding: Any) -> Any:
        options = {"action": "service.restart", "resource": ("service", "{name}")} | guarding

        def restart(name: str, *, force: bool = False) -> Any:
            return name, force

        def restart_within(name: str, *, constraints: Constraints) -> Any:
            return name, dict(constraints)

        function = restart_within if "keeps" in guarding else restart
        if not request.param:
            return guard(policy, **options)(function)(*args)

        async def waiting(*args: Any, **kwargs: Any) -> Any:
            return function(*args, **kwargs)

        waiting.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]
        return asyncio.run(guard(policy, **options)(waiting)(*args))

    return called


def test_what_is_allowed_runs(call: Callable[..., Any]) -> None:
    policy = Script(ALLOW)

    assert call(policy, "web") == ("web", False)

    assert policy.asked == [
        {
            "subject": {"type": "user", "id": "ada", "properties": {"roles": ["sre"]}},
            "action": {"name": "service.restart"},
            "resource": {"type": "service", "id": "web"},
            "context": {},
        }
    ]


def test_what_is_denied_does_not_run_and_says_why(call: Callable[..., Any]) -> None:
    help_ = Remediation("r", "Ask for a window")

    with pytest.raises(Denied) as caught:
        call(Script(answer(Decision.DENY, remediations=(help_,))), "web")

    denied = caught.value
    assert denied.message == "service.restart: deny: because [p/r] (decision d-1)"
    assert (denied.reason, denied.reason_code) == ("because", "matched_rule")
    assert (denied.matched_rule, denied.decision_id, denied.remediations) == ("p/r", "d-1", (help_,))


def test_another_error_can_be_raised_from_it(call: Callable[..., Any]) -> None:
    with pytest.raises(RuntimeError, match=r"^Not done: service\.restart: deny: because") as caught:
        call(Script(DENY), "web", raises=RuntimeError)

    assert isinstance(caught.value.__cause__, Denied)


def test_constraints_are_given_to_who_can_keep_them(call: Callable[..., Any]) -> None:
    keeps = {"max_targets", "x_note"}

    assert call(Script(bound(max_targets=1)), "web", keeps=keeps) == ("web", {"max_targets": 1})
    assert call(Script(ALLOW), "web", keeps=keeps) == ("web", {})


@pytest.mark.parametrize("more", [{}, {"keeps": {"max_targets"}}])
def test_a_constraint_that_is_not_kept_is_a_deny(call: Callable[..., Any], more: dict[str, Any]) -> None:
    with pytest.raises(Denied, match="allowed within max_runtime_sec only, which nothing here keeps") as caught:
        call(Script(bound(max_targets=1, max_runtime_sec=9) if more else bound(max_runtime_sec=9)), "web", **more)

    assert caught.value.reason_code == "constraints_not_kept"


def test_nobody_is_asked_to_approve_what_could_not_be_kept(call: Callable[..., Any]) -> None:
    asking = answer(Decision.REQUIRE_APPROVAL, approval=ASK, constraints={"max_targets": 1})

    with pytest.raises(Denied, match="nothing here keeps"):
        call(Script(asking), "web", grants=lambda _asked: pytest.fail("asked"), approval_timeout_s=1)


def test_a_throttle_is_waited_for_and_asked_again(call: Callable[..., Any]) -> None:
    policy = Script(throttle(), throttle(), ALLOW)

    assert call(policy, "web", throttle_timeout_s=5) == ("web", False)

    assert len(policy.asked) == 3


@pytest.mark.parametrize(("seconds", "patience_s"), [(0.05, 0.0), (60.0, 5.0), (None, 0.5)])
def test_a_throttle_longer_than_patience_is_raised_at_once(
    call: Callable[..., Any], seconds: float | None, patience_s: float
) -> None:
    started = time.monotonic()

    with pytest.raises(Throttled) as caught:
        call(Script(throttle(seconds)), "web", throttle_timeout_s=patience_s)

    assert caught.value.answer.retry_after_s == seconds
    assert time.monotonic() - started < 0.5


def test_a_throttle_that_does_not_end_is_raised(call: Callable[..., Any]) -> None:
    with pytest.raises(Throttled):
        call(Script(throttle()), "web", throttle_timeout_s=0.3)


def test_an_approval_that_nobody_can_give_is_missing_at_once(call: Callable[..., Any]) -> None:
    with pytest.raises(ApprovalMissing) as caught:
        call(Script(ASKING), "web")

    assert caught.value.answer.approval == ASK


def test_a_rule_that_no_grant_satisfies_asks_for_none(call: Callable[..., Any]) -> None:
    with pytest.raises(ApprovalMissing):
        call(Script(answer(Decision.REQUIRE_APPROVAL)), "web", grants=lambda _asked: ["g"], approval_timeout_s=5)


def test_grants_are_waited_for_and_sent(call: Callable[..., Any]) -> None:
    policy = Script(ASKING, ASKING, ALLOW)
    found: Iterator[list[str]] = iter([[], ["g1"], ["g1"], ["g1", "g2"]])
    asked: list[Asked] = []

    def source(what: Asked) -> list[str]:
        asked.append(what)
        return next(found)

    assert call(policy, "web", grants=source, approval_timeout_s=5) == ("web", False)

    assert [each["context"] for each in policy.asked] == [{}, {"grants": ["g1"]}, {"grants": ["g1", "g2"]}]
    assert asked[0].answer is ASKING
    assert "grants" not in asked[-1].request["context"]


def test_grants_that_do_not_come_are_missing_in_time(call: Callable[..., Any]) -> None:
    started = time.monotonic()

    with pytest.raises(ApprovalMissing):
        call(Script(ASKING), "web", grants=lambda _asked: [], approval_timeout_s=0.1)

    assert 0.1 <= time.monotonic() - started < 1


def test_a_source_that_is_awaited_is_cut_off_in_time() -> None:
    async def source(_asked: Asked) -> list[str]:
        await asyncio.sleep(60)
        return ["g"]

    @guard(Script(ASKING), action="a", resource=("t", "i"), grants=source, approval_timeout_s=0.1)
    async def act() -> None:
        pytest.fail("ran")

    started = time.monotonic()
    with pytest.raises(ApprovalMissing):
        asyncio.run(act())
    assert time.monotonic() - started < 1


def test_a_source_that_is_awaited_gives_grants() -> None:
    async def source(_asked: Asked) -> list[str]:
        return ["g"]

    @guard(Script(ASKING, ALLOW), action="a", resource=("t", "i"), grants=source, approval_timeout_s=1)
    async def act() -> str:
        return "ran"

    assert asyncio.run(act()) == "ran"


def test_a_function_that_is_not_async_cannot_await_grants() -> None:
    async def source(_asked: Asked) -> list[str]:
        return ["g"]

    @guard(Script(ASKING), action="a", resource=("t", "i"), grants=source, approval_timeout_s=1)
    def act() -> None:
        pytest.fail("ran")

    with pytest.raises(UsageError, match="cannot await its grants"):
        act()


def test_each_time_it_is_asked_anew_from_what_the_arguments_are_by_then() -> None:
    policy, targets = Script(throttle(), ALLOW), ["web-1"]
    policy_decide = policy.decide

    def decide(request: dict[str, Any]) -> Answer:
        targets.append("web-2")
        return policy_decide(request)

    policy.decide = decide  # type: ignore[method-assign]

    @guard(policy, action="a", resource=("t", "i"), context=lambda a: {"n": len(a["names"])}, throttle_timeout_s=5)
    def act(names: list[str]) -> None:
        names.clear()

    act(targets)
    assert [each["context"] for each in policy.asked] == [{"n": 1}, {"n": 2}]


def test_parts_come_from_arguments_by_name_and_by_function() -> None:
    policy = Script(ALLOW)

    @guard(
        policy,
        action="tickets.{verb}",
        resource=lambda a: {"type": "ticket", "id": str(a["number"]), "properties": {"queue": a["queue"]}},
        subject=lambda a: {"type": "agent", "id": a["self"]},
        context=["urgent"],
    )
    def change(self: str, verb: str, number: int, queue: str = "q", *, urgent: bool = True) -> int:
        return number

    assert change("bot", "close", number=7) == 7
    assert policy.asked == [
        {
            "subject": {"type": "agent", "id": "bot"},
            "action": {"name": "tickets.close"},
            "resource": {"type": "ticket", "id": "7", "properties": {"queue": "q"}},
            "context": {"urgent": True},
        }
    ]


def test_a_method_is_guarded_below_its_decorator() -> None:
    policy = Script(ALLOW)

    class Desk:
        @guard(policy, action="a", resource=("ticket", "{number}"))
        def close(self, number: int) -> int:
            return number

        @staticmethod
        @guard(policy, action="a", resource=("ticket", "{number}"))
        def reopen(number: int) -> int:
            return number

        @classmethod
        @guard(policy, action="a", resource=("ticket", "{number}"))
        def drop(cls, number: int) -> int:
            return number

    assert (Desk().close(1), Desk.reopen(2), Desk.drop(3)) == (1, 2, 3)
    assert [each["resource"]["id"] for each in policy.asked] == ["1", "2", "3"]


def test_a_value_with_braces_is_taken_as_it_is() -> None:
    policy = Script(ALLOW)

    guard(policy, action="a", resource=("t", "{name}"))(lambda name: name)("{secret}")

    assert policy.asked[0]["resource"]["id"] == "{secret}"


def test_a_word_of_an_enum_is_the_text_it_is_equal_to() -> None:
    class Stage(str, Enum):  # noqa: UP042 - of which Python formats the name
        PROD = "prod"

    policy = Script(ALLOW)

    guard(policy, action="a", resource=("t", "{name}"), context=["name"])(lambda name: name)(Stage.PROD)

    assert policy.asked[0]["resource"]["id"] == policy.asked[0]["context"]["name"] == "prod"


@pytest.mark.parametrize("value", [None, 1.5, True, ["web"], {"a": 1}, b"web"])
def test_a_value_without_one_spelling_is_no_request(value: object) -> None:
    def act(name: object) -> None:
        pytest.fail("ran")

    with pytest.raises(RequestError, match="name is neither a text nor a whole number"):
        guard(Script(ALLOW), action="a", resource=("t", "{name}"))(act)(value)


def test_without_somebody_for_whom_nothing_runs() -> None:
    @guard(Script(ALLOW), action="a", resource=("t", "i"))
    def act() -> None:
        pytest.fail("ran")

    from contextvars import Context

    with pytest.raises(SubjectError, match="for whom"):
        Context().run(act)


def test_who_acts_ends_with_the_block() -> None:
    policy = Script(ALLOW)
    act = guard(policy, action="a", resource=("t", "i"))(lambda: None)

    with acting_as("agent", "bot"):
        act()
    act()

    assert [each["subject"]["id"] for each in policy.asked] == ["bot", "ada"]


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"action": "a.{verb}"}, "verb is no parameter .expected name, force"),
        ({"resource": ("t", "{self.id}")}, "only {name} of a parameter is replaced"),
        ({"resource": ("t", "{name!r}")}, "only {name} of a parameter is replaced"),
        ({"resource": ("t", "{name:>9}")}, "only {name} of a parameter is replaced"),
        ({"resource": ("t", "{}")}, "only {name} of a parameter is replaced"),
        ({"resource": ("t", "{name")}, "guard: '{name'"),
        ({"context": ["name", "size"]}, "size is no parameter"),
        ({"keeps": ["max_targets"]}, "has no parameter constraints"),
        ({"approval_timeout_s": 5}, "waits for nothing"),
        ({"throttle_timeout_s": -1}, "is negative"),
    ],
)
def test_what_could_never_work_is_an_error_where_it_is_written(options: dict[str, Any], why: str) -> None:
    def act(name: str, *, force: bool = False) -> None: ...

    with pytest.raises(UsageError, match=why):
        guard(Script(ALLOW), **({"action": "a", "resource": ("t", "{name}")} | options))(act)


def _positional(constraints: Constraints) -> None: ...


def _silent(*, constraints: Constraints) -> None: ...


def _generator() -> Iterator[int]:
    yield 1


async def _async_generator() -> Any:
    yield 1


class _Later:
    def __call__(self) -> Iterator[int]:
        yield 1


@pytest.mark.parametrize(
    ("function", "keeps", "why"),
    [
        (_positional, ["max_targets"], "must be keyword-only"),
        (_silent, [], "takes constraints, and keeps names 0"),
        (_silent, ["max_target"], "max_target is no constraint"),
        (_generator, [], "is a generator"),
        (_async_generator, [], "is a generator"),
        (_Later(), [], "is a generator"),
        (staticmethod(_generator), [], "goes below @staticmethod"),
        (classmethod(_generator), [], "goes below @classmethod"),
    ],
)
def test_a_function_that_cannot_be_guarded_is_refused(function: Any, keeps: list[str], why: str) -> None:
    with pytest.raises(UsageError, match=why):
        guard(Script(ALLOW), action="a", resource=("t", "i"), keeps=keeps)(function)


def test_a_misspelt_constraint_is_suggested() -> None:
    with pytest.raises(UsageError) as caught:
        guard(Script(ALLOW), action="a", resource=("t", "i"), keeps=["max_target"])(_silent)

    assert caught.value.hint == "did you mean max_targets?"


def test_callers_and_models_do_not_see_constraints_and_cannot_give_them() -> None:
    def restart(name: str, *, constraints: Constraints | None = None, **more: Any) -> Any:
        """Restart a service."""
        return constraints

    guarded = guard(Script(bound(max_targets=1)), action="a", resource=("t", "i"), keeps=["max_targets"])(restart)

    assert str(inspect.signature(guarded)) == "(name: str, **more: Any) -> Any"
    assert get_type_hints(guarded).keys() == {"name", "more", "return"}
    assert (guarded.__name__, guarded.__doc__) == ("restart", "Restart a service.")
    assert guarded("web") == {"max_targets": 1}
    with pytest.raises(TypeError, match="given by the policy"):
        guarded("web", constraints={"max_targets": 99})


def test_a_wrong_call_is_not_decided() -> None:
    policy = Script(ALLOW)

    with pytest.raises(TypeError, match="missing"):
        guard(policy, action="a", resource=("t", "i"))(lambda name: name)()  # type: ignore[call-arg]

    assert policy.asked == []


def test_what_the_function_raises_comes_through() -> None:
    def act() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        guard(Script(ALLOW), action="a", resource=("t", "i"))(act)()


def test_a_partial_function_is_guarded() -> None:
    assert guard(Script(ALLOW), action="a", resource=("t", "i"))(partial(lambda one, two: one + two, 1))(2) == 3


def test_an_object_whose_call_is_async_is_waited_for_without_holding_up_its_loop() -> None:
    class Restart:
        async def __call__(self, name: str) -> str:
            return name

    async def calling() -> tuple[str, int]:
        looks = 0

        async def look() -> None:
            nonlocal looks
            while True:
                looks += 1
                await asyncio.sleep(0.01)

        looking = asyncio.create_task(look())
        guarded: Any = guard(Script(throttle(0.2), ALLOW), action="a", resource=("t", "{name}"), throttle_timeout_s=1)(
            Restart()
        )
        found = await guarded("web")
        looking.cancel()
        return found, looks

    found, looks = asyncio.run(calling())

    assert found == "web"
    assert looks > 3
