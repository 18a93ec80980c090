"""How an answer is obeyed, whatever waits for it: asked again after a throttle, or with grants; refused otherwise.

`deciding` is the one sequence of steps; who runs it asks, sleeps and looks for grants, by blocking or by awaiting.
"""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable, Collection, Generator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from agent_sidecar.client.refusals import NOT_KEPT, ApprovalMissing, Denied, Throttled
from policy_core.decision import Answer
from policy_core.errors import UsageError
from policy_core.model import Decision

LOOK_EVERY_S = 1.0
MIN_PAUSE_S = 0.05
NO_HINT_S = 1.0
"""How long to wait where a throttle does not say."""


class Deciding(Protocol):
    """What a guard needs of a `Policy`."""

    def decide(self, request: dict[str, Any]) -> Answer:
        """Return the answer to a request."""
        ...

    async def decide_async(self, request: dict[str, Any]) -> Answer:
        """Return the answer to a request."""
        ...


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that needs approval, and the answer that says whose: what approvers are shown and sign."""

    request: dict[str, Any]
    answer: Answer


GrantSource = Callable[[Asked], Sequence[str] | Awaitable[Sequence[str]]]
"""Returns the grants there are for a request so far; called again and again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """Where grants come from, and how many seconds to wait for them, and for a throttle to end."""

    grants: GrantSource | None = None
    approval_timeout_s: float = 0.0
    throttle_timeout_s: float = 0.0

    def __post_init__(self) -> None:
        if self.approval_timeout_s < 0 or self.throttle_timeout_s < 0:
            raise UsageError("guard: a time to wait is negative")
        if self.approval_timeout_s and self.grants is None:
            raise UsageError("guard: approval_timeout_s waits for nothing without grants")


@dataclass(frozen=True, slots=True)
class Ask:
    """Step: ask this, and come back with the answer."""

    request: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Pause:
    """Step: come back after so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Seek:
    """Step: come back with the grants there are, within so many seconds."""

    asked: Asked
    seconds: float


Steps = Generator[Ask | Pause | Seek, Any, Answer]


def deciding(make: Callable[[], dict[str, Any]], keeps: Collection[str], patience: Patience) -> Steps:
    """Return an answer that allows, within constraints that are among `keeps`; as steps.

    The request is made anew each time it is asked: what a grant does not fit any more is not approved. Raises Denied,
    ApprovalMissing, Throttled, and what `make` raises.
    """
    started = time.monotonic()
    grants: tuple[str, ...] = ()
    while True:
        request = make()
        answer: Answer = yield Ask(_with_grants(request, grants))
        name = str(request["action"]["name"])
        if answer.decision is Decision.DENY:
            raise Denied(name, answer)
        _check_kept(name, answer, keeps)  # before anybody is asked to approve what would not run then
        if answer.allowed:
            return answer
        if answer.decision is Decision.THROTTLE:
            wait_s = max(NO_HINT_S if answer.retry_after_s is None else answer.retry_after_s, MIN_PAUSE_S)
            if time.monotonic() + wait_s > started + patience.throttle_timeout_s:
                raise Throttled(name, answer)
            yield Pause(wait_s)
        else:
            grants = yield from _new_grants(Asked(request, answer), grants, started, patience)


def _check_kept(name: str, answer: Answer, keeps: Collection[str]) -> None:
    broken = sorted(set(answer.constraints) - set(keeps))
    if broken:
        reason = f"allowed within {', '.join(broken)} only, which nothing here keeps"
        raise Denied(name, answer, reason=reason, reason_code=NOT_KEPT)


def _new_grants(
    asked: Asked, tried: tuple[str, ...], started: float, patience: Patience
) -> Generator[Pause | Seek, Any, tuple[str, ...]]:
    """Wait until there are other grants than those that were not enough."""
    deadline = started + patience.approval_timeout_s
    while patience.grants is not None and asked.answer.approval is not None:
        left_s = deadline - time.monotonic()
        found = tuple((yield Seek(asked, max(left_s, MIN_PAUSE_S))))
        if found and found != tried:
            return found
        if left_s <= 0:
            break
        yield Pause(min(LOOK_EVERY_S, left_s))
    raise ApprovalMissing(str(asked.request["action"]["name"]), asked.answer)


def _with_grants(request: dict[str, Any], grants: tuple[str, ...]) -> dict[str, Any]:
    return {**request, "context": {**request["context"], "grants": list(grants)}} if grants else request


def decide(
    policy: Deciding, make: Callable[[], dict[str, Any]], *, keeps: Collection[str], patience: Patience
) -> Answer:
    """Run the steps by blocking this thread. Raises as `deciding`."""
    steps = deciding(make, keeps, patience)
    found: Any = None
    while True:
        try:
            step = steps.send(found)
        except StopIteration as done:
            answer: Answer = done.value
            return answer
        if isinstance(step, Ask):
            found = policy.decide(step.request)
        elif isinstance(step, Pause):
            time.sleep(step.seconds)
        else:
            found = patience.grants(step.asked) if patience.grants else ()
            if inspect.isawaitable(found):
                if inspect.iscoroutine(found):
                    found.close()
                raise UsageError("guard: a function that is not async cannot await its grants")


async def decide_async(
    policy: Deciding, make: Callable[[], dict[str, Any]], *, keeps: Collection[str], patience: Patience
) -> Answer:
    """Run the steps by awaiting. Raises as `deciding`."""
    steps = deciding(make, keeps, patience)
    found: Any = None
    while True:
        try:
            step = steps.send(found)
        except StopIteration as done:
            answer: Answer = done.value
            return answer
        if isinstance(step, Ask):
            found = await policy.decide_async(step.request)
        elif isinstance(step, Pause):
            await asyncio.sleep(step.seconds)
        else:
            found = await _sought(step, patience)


async def _sought(step: Seek, patience: Patience) -> Sequence[str]:
    found = patience.grants(step.asked) if patience.grants else ()
    if not inspect.isawaitable(found):
        return found
    try:
        async with asyncio.timeout(step.seconds):
            return await found
    except TimeoutError:
        return ()
