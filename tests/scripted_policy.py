"""A policy that answers as a test says, and what it was asked: what stands in for a sidecar where none is needed."""

import asyncio
from typing import Any

from policy_core.decision import Answer, Ask
from policy_core.model import Decision

ASK = Ask(("p/ask",), "sha256:r", "sha256:q", {"security": 1}, 3600, "host-1")


def answer(decision: Decision = Decision.ALLOW, **more: Any) -> Answer:
    allowed = decision in (Decision.ALLOW, Decision.ALLOW_WITH_CONSTRAINTS)
    about = {"reason_code": "matched_rule", "matched_rule": "p/r", "decision_id": "d-1", "reason": "because"}
    return Answer(decision=decision, allowed=allowed, **(about | more))


ALLOW, DENY = answer(), answer(Decision.DENY)
ASKING = answer(Decision.REQUIRE_APPROVAL, approval=ASK)


def bound(**constraints: Any) -> Answer:
    return answer(Decision.ALLOW_WITH_CONSTRAINTS, constraints=constraints)


def throttle(seconds: float | None = 0.05) -> Answer:
    return answer(Decision.THROTTLE, retry_after_s=seconds)


class Script:
    """A policy that gives these answers in turn, the last one for ever, and keeps what it was asked."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.asked: list[dict[str, Any]] = []

    def decide(self, request: dict[str, Any]) -> Answer:
        self.asked.append(request)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    async def decide_async(self, request: dict[str, Any]) -> Answer:
        await asyncio.sleep(0)
        return self.decide(request)
