"""Decisions that workers cannot make, as they take the memory of the host: made in the process that has it."""

from collections.abc import Awaitable, Callable
from functools import partial

import msgspec

from agent_sidecar import logs
from agent_sidecar.activation import Answering
from agent_sidecar.memory import AtOnce, HostMemory, WouldWaitError
from agent_sidecar.server.waiting import WaitingRoom
from agent_sidecar.workers.messages import Decide
from policy_core.decision import EVALUATION_ERROR, Answer, refusal
from policy_core.memory import Looking, Memory


class Deciding:
    """Decides from what is in force here, at once where nothing has to be waited for."""

    def __init__(
        self, *, in_force: Callable[[], Answering], clock: Callable[[], float], memory: HostMemory, room: WaitingRoom
    ) -> None:
        self._in_force = in_force
        self._clock = clock
        self._memory = memory
        self._at_once = AtOnce(memory)
        self._room = room

    async def __call__(self, asked: Decide) -> Answer | None:
        """Return the answer to a request of a worker; None if it takes too long."""
        try:
            answering = self._begin(asked)
            return answering if isinstance(answering, Answer) else await answering
        except TimeoutError:
            return None
        except Exception as error:  # noqa: BLE001 - request boundary: what cannot be evaluated is denied
            logs.bug("decision_failed", error, decision_id=asked.decision_id)
            return refusal(EVALUATION_ERROR, "the sidecar failed on this request", decision_id=asked.decision_id)

    def _begin(self, asked: Decide) -> Answer | Awaitable[Answer]:
        """Decide, or begin to in a thread, with one policy and one time."""
        decide = partial(
            self._in_force().answer,
            msgspec.json.decode(asked.request),
            now=self._clock(),
            decision_id=asked.decision_id,
        )
        try:
            return decide(memory=Looking(self._at_once) if asked.is_trial else self._at_once)
        except WouldWaitError:
            memory: Memory = Looking(self._memory) if asked.is_trial else self._memory
            return self._room.answer(partial(decide, memory=memory))
