"""The decision API: AuthZEN evaluation, the job form, status and health.

A decision is one straight line in the event loop: read the activation in force once, decode, answer, encode.
"""

import itertools
import secrets
from collections.abc import Callable

import msgspec

from agent_sidecar import logs
from agent_sidecar.activation import Answering
from agent_sidecar.server.protocol import Connection, Handler, Routes
from agent_sidecar.server.replies import Reply, encode, error_reply
from policy_core.decision import EVALUATION_ERROR, Answer, refusal
from policy_core.decoding import decode_request
from policy_core.request import RequestError


class Evaluation(msgspec.Struct):
    """The AuthZEN answer: its boolean, and the complete answer beside it."""

    decision: bool
    context: Answer


class DecisionApi:
    """Answers requests with whatever `in_force` returns at that moment, at the host time of `clock`."""

    def __init__(
        self,
        *,
        in_force: Callable[[], Answering],
        clock: Callable[[], float],
        status: Callable[[], object],
        is_ready: Callable[[], bool],
    ) -> None:
        self._in_force = in_force
        self._clock = clock
        self._status = status
        self._is_ready = is_ready
        self._next_id = map((secrets.token_hex(6) + "-%x").__mod__, itertools.count(1)).__next__
        self.decisions = 0

    @property
    def routes(self) -> Routes:
        """Return the paths of this API."""
        post: dict[bytes, Handler] = {
            b"/access/v1/evaluation": self.evaluation,
            b"/api/v1/policy/evaluate": self.job_evaluation,
        }
        get: dict[bytes, Handler] = {
            b"/status": lambda body, peer: (200, encode(self._status())),  # noqa: ARG005
            b"/health/live": lambda body, peer: (200, b'{"live":true}'),  # noqa: ARG005
            b"/health/ready": self.ready,
        }
        return {path: (b"POST", handler) for path, handler in post.items()} | {
            path: (b"GET", handler) for path, handler in get.items()
        }

    def evaluation(self, body: bytes | bytearray, _peer: Connection) -> Reply:
        """Answer an AuthZEN evaluation; a bad request gets 400 and a message string, as AuthZEN has it."""
        try:
            answer = self._answer(body)
        except RequestError as error:
            return 400, encode(error.message)
        return 200, encode(Evaluation(answer.allowed, answer))

    def job_evaluation(self, body: bytes | bytearray, _peer: Connection) -> Reply:
        """Answer the job form: the answer itself, its decision in capitals."""
        try:
            answer = self._answer(body)
        except RequestError as error:
            return error_reply(400, "bad_request", error.message, error.hint)
        return 200, encode({**msgspec.to_builtins(answer), "decision": answer.decision.upper()})

    def ready(self, _body: bytes | bytearray, _peer: Connection) -> Reply:
        """Tell whether a policy is enforced that is not too stale to answer from."""
        ready = self._is_ready()
        return 200 if ready else 503, encode({"ready": ready})

    def _answer(self, body: bytes | bytearray) -> Answer:
        """Return the answer to an encoded request. Raises RequestError; anything else unexpected is answered deny."""
        self.decisions += 1
        decision_id = self._next_id()
        raw = decode_request(body)
        try:
            return self._in_force().answer(raw, now=self._clock(), decision_id=decision_id)
        except RequestError:
            raise
        except Exception as error:  # noqa: BLE001 - request boundary: what cannot be evaluated is denied
            logs.bug("decision_failed", error, decision_id=decision_id)
            return refusal(EVALUATION_ERROR, "the sidecar failed on this request", decision_id=decision_id)
