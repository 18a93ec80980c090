"""Why the policy in force answers a request as it does: for the admin socket only, as it tells a prober everything."""

from collections.abc import Callable
from typing import Any

import msgspec

from agent_sidecar.activation import Activation, Answering
from policy_core.decision import Answer
from policy_core.explaining import explain, explanation_record
from policy_core.memory import Memory
from policy_core.request import normalise


def explain_in_force(
    active: Answering, raw: object, *, now: float, memory: Memory, pause: Callable[[], object]
) -> dict[str, Any]:
    """Return the explanation of a decoded request as a JSON object; nothing is counted and no grant is spent.

    Rates are as `memory` has them. Without a policy that may be enforced there is nothing to explain but the refusal.
    `pause` is called between slices of the work. Raises RequestError for a wrong shape.
    """
    if not isinstance(active, Activation) or now >= active.deny_after:
        return _refused(active.answer(raw, now=now, decision_id=""))
    request = normalise(raw, now=now, host=active.host)
    return explanation_record(explain(active.matcher, request, memory=memory, pause=pause))


def _refused(answer: Answer) -> dict[str, Any]:
    return {"answer": msgspec.to_builtins(answer), "rules": [], "hidden": 0, "suggestions": []}
