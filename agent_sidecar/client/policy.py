"""`Policy`: decisions in the process that needs them, from what a sidecar on the same host has in force.

A request is answered here if the sidecar would answer it from the policy alone. What takes its memory (rates, grants)
is asked over its decision socket, and so is everything for as long as the policy cannot be followed. Without a sidecar
everything is denied (``policy_unavailable``), at the latest `timeout_s` after it was asked.
"""

import itertools
import json
import logging
import os
import secrets
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import msgspec

from agent_sidecar.client.asking import SidecarSocket, Unanswered
from agent_sidecar.client.following import Follower
from agent_sidecar.client.owners import owners_of
from agent_sidecar.host_clock import HostClock
from policy_core.decision import EVALUATION_ERROR, POLICY_UNAVAILABLE, Answer, Ask, RefusedGrant, refusal
from policy_core.decoding import MAX_DEPTH, decode_request
from policy_core.errors import UsageError
from policy_core.grants import Verdict
from policy_core.model import Approver, Rule
from policy_core.request import Request, RequestError

SOCKET = "decision.sock"
TIMEOUT_S = 2.0

_log = logging.getLogger("writ.client")


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision for the application's own records. `in_process` ones are in no decision log of the sidecar."""

    request: bytes
    answer: Answer
    in_process: bool


class Policy:
    """What a sidecar has in force, to be asked from any thread, any event loop, and after a fork."""

    def __init__(
        self,
        *,
        state_dir: str | Path | None = None,
        socket: str | Path | None = None,
        owner: int | str | None = None,
        on_decision: Callable[[Decided], object] | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        """Follow the state directory of a sidecar, or just ask its decision socket (default: the one in `state_dir`).

        `owner` is the account the sidecar runs under, if it is neither root nor the one of this process: nobody else is
        believed. `on_decision` is called with every decision before it is returned; what it raises is raised instead.
        Nothing is read before the first request. Raises UsageError.
        """
        if state_dir is None and socket is None:
            raise UsageError("Policy: neither state_dir nor socket is given")
        if not 0 < timeout_s <= TIMEOUT_S:
            raise UsageError(f"Policy: timeout_s is out of range (expected up to {TIMEOUT_S:g}, found {timeout_s})")
        owners = owners_of(owner)
        path = Path(socket) if socket is not None else Path(state_dir or "") / SOCKET
        self._socket = SidecarSocket(path.absolute(), owners, timeout_s=timeout_s)
        self._clock = HostClock()
        self._follower = Follower(Path(state_dir).absolute(), owners, clock=self._clock) if state_dir else None
        self._on_decision = on_decision
        self._forked()
        _living.add(self)

    @property
    def in_process(self) -> bool:
        """Tell whether a request would be answered in this process now."""
        return self._follower is not None and self._follower.view() is not None

    @property
    def problem(self) -> str:
        """Return why nothing is answered in this process, empty if that is not so."""
        if self._follower is None:
            return "only a socket was given"
        return "" if self._follower.view() else self._follower.problem or "the policy is being loaded"

    def decide(self, request: Mapping[str, object] | bytes) -> Answer:
        """Return the answer to a request (docs/reference/requests.md), as an object or as JSON; never later than 2 s.

        Raises RequestError for a wrong shape.
        """
        body, answer = self._try(request)
        if answer is not None:
            return self._told(body, answer, in_process=True)
        try:
            answer = self._socket.ask(body)
        except Unanswered as why:
            answer = self._unavailable(why)
        return self._told(body, answer, in_process=False)

    async def decide_async(self, request: Mapping[str, object] | bytes) -> Answer:
        """Return what `decide` does without holding up the event loop."""
        body, answer = self._try(request)
        if answer is not None:
            return self._told(body, answer, in_process=True)
        try:
            answer = await self._socket.ask_async(body)
        except Unanswered as why:
            answer = self._unavailable(why)
        return self._told(body, answer, in_process=False)

    def close(self) -> None:
        """End following, and let go of idle connections; from now on the socket is asked."""
        if self._follower is not None:
            self._follower.close()
        self._socket.forget()

    def __enter__(self) -> "Policy":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _try(self, request: Mapping[str, object] | bytes) -> tuple[bytes, Answer | None]:
        """Return the request as JSON, and its answer if it can be given here.

        It is read back from the JSON, so that it means here what it would mean over the socket.
        """
        body = request if isinstance(request, bytes) else _encoded(request)
        found = self._follower.view() if self._follower is not None else None
        if found is None:
            return body, None
        view, head = found
        now = max(self._clock(), head.host_time)
        decision_id = self._next_id()
        try:
            raw = decode_request(body) if body is request or len(body) > _SMALL_BYTES else _decode(body)
            return body, view.activation.answer(raw, now=now, decision_id=decision_id, memory=_ELSEWHERE)
        except _TakesMemory:
            return body, None
        except RequestError:
            raise
        except Exception:  # noqa: BLE001 - request boundary: what cannot be evaluated is denied
            _log.exception("decision %s failed", decision_id)
            return body, refusal(EVALUATION_ERROR, "the client failed on this request", decision_id=decision_id)

    def _told(self, body: bytes, answer: Answer, *, in_process: bool) -> Answer:
        if self._on_decision is not None:
            self._on_decision(Decided(body, answer, in_process))
        return answer

    def _unavailable(self, why: Unanswered) -> Answer:
        return refusal(POLICY_UNAVAILABLE, str(why), decision_id=self._next_id())

    def _forked(self) -> None:
        """Begin anew in a child process: its ids are its own, its connections and its thread are not the parent's."""
        self._next_id = map((secrets.token_hex(6) + "-%x").__mod__, itertools.count(1)).__next__
        self._socket.forget()
        if self._follower is not None:
            self._follower.forked()


class _TakesMemory(Exception):  # noqa: N818 - an outcome
    """The answer takes the memory of the sidecar."""


class _Elsewhere:
    """The memory of decisions made here: it is the sidecar's. Nothing is counted or spent before it says so."""

    audience = ""

    def retry_after(self, rule: Rule, key: str, now: float) -> float | None:  # noqa: ARG002 - the port's signature
        """Raise _TakesMemory."""
        raise _TakesMemory

    def count(self, rule: Rule, key: str, now: float, *, reached: bool) -> bool:  # noqa: ARG002 - the port's signature
        """Raise _TakesMemory."""
        raise _TakesMemory

    def check(self, ask: Ask, request: Request, approvers: Mapping[str, Approver]) -> Verdict:  # noqa: ARG002
        """Raise _TakesMemory."""
        raise _TakesMemory

    def spend(self, verdict: Verdict, now: float) -> tuple[RefusedGrant, ...]:  # noqa: ARG002 - the port's signature
        """Raise _TakesMemory."""
        raise _TakesMemory


_decode = msgspec.json.Decoder().decode  # of what was encoded here: no key occurs twice
_encode = msgspec.json.Encoder().encode
_SMALL_BYTES = 2 * MAX_DEPTH
"""What was encoded here and is no longer breaks none of the bounds of requests."""


def _encoded(request: Mapping[str, object]) -> bytes:
    try:
        encoded = _encode(request)
        if b"null" in encoded:  # what is no number in JSON, such as NaN, is among them
            json.dumps(msgspec.to_builtins(request), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise RequestError(f"request: is not JSON: {error}") from error
    return encoded


def _begin_anew() -> None:
    for policy in _living:
        policy._forked()  # noqa: SLF001 - this module's own


_ELSEWHERE = _Elsewhere()
_living: "weakref.WeakSet[Policy]" = weakref.WeakSet()
os.register_at_fork(after_in_child=_begin_anew)
