"""Decisions, asked in the job form or by the adapters of other protocols; status and health.

A decision is one straight line in the event loop: read the activation in force once, decode, answer, encode. One that
turns out to need the network or a synced disk begins anew in a thread, with the same activation and time.
"""

import itertools
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from time import monotonic, perf_counter_ns, sleep
from typing import Any, Protocol, TypeVar

import msgspec

from agent_sidecar import logs
from agent_sidecar.activation import Answering
from agent_sidecar.asked import Asked, AskedAgain
from agent_sidecar.bodies import Bodies
from agent_sidecar.decision_log.batch import Batch
from agent_sidecar.decision_log.log import Log
from agent_sidecar.decision_log.records import Asker, Decided, Spoken
from agent_sidecar.durable import StateError
from agent_sidecar.memory import AtOnce, Elsewhere, HostMemory, WouldWaitError
from agent_sidecar.recording import Recording
from agent_sidecar.server.caller import Caller
from agent_sidecar.server.connection import Connection
from agent_sidecar.server.replies import Reply, Text, encode, error_reply
from agent_sidecar.server.service import Handler, Routes
from agent_sidecar.server.waiting import WaitingRoom
from agent_sidecar.status import Health
from agent_sidecar.tally import Tally
from agent_sidecar.traces.exporting import SpanExporter
from policy_core.decision import CALLER_NOT_BOUND, EVALUATION_ERROR, LOG_UNAVAILABLE, Answer, issued, refusal
from policy_core.memory import Looking, Memory
from policy_core.model import Decision
from policy_core.request import RequestError, normalise

Spelt = TypeVar("Spelt")
"""An answer in the form of a protocol."""
_LOOK_AGAIN_S = 0.005


class DecisionApi:
    """Answers requests with whatever `in_force` returns at that moment, at the host time of `clock`, from `memory`."""

    def __init__(
        self,
        *,
        in_force: Callable[[], Answering],
        clock: Callable[[], float],
        memory: HostMemory | Elsewhere,
        status: Callable[[], object],
        health: Callable[[], Health],
        metrics: Callable[[], bytes],
        log: Log,
        spans: SpanExporter | None = None,
    ) -> None:
        self.in_force = in_force
        self.clock = clock
        self._status = status
        self._health = health
        self._metrics = metrics
        self._memory = memory
        self._log = log
        self._spans = spans
        self.tally = Tally()
        self._at_once: Memory = memory if isinstance(memory, Elsewhere) else AtOnce(memory)
        self._trial_at_once = Looking(self._at_once)
        self.waiting_room = WaitingRoom()
        self.bodies = Bodies()
        self._next_id = map((secrets.token_hex(6) + "-%x").__mod__, itertools.count(1)).__next__
        self.decisions = 0
        self.walks: list[str] = []  # bundles that searches walk through
        self._noted: list[str] = []  # bundles by whose rules decisions under way will be logged

    @property
    def routes(self) -> Routes:
        """Return the paths of this API."""
        post: dict[bytes, Handler] = {
            b"/api/v1/policy/evaluate": self.job_evaluation,
        }
        get: dict[bytes, Handler] = {
            b"/status": lambda body, peer: (200, encode(self._status())),  # noqa: ARG005
            b"/metrics": lambda body, peer: (200, Text(self._metrics())),  # noqa: ARG005
            b"/health/live": lambda body, peer: (200, b'{"live":true}'),  # noqa: ARG005
            b"/health/ready": self.ready,
        }
        return {path: (b"POST", handler) for path, handler in post.items()} | {
            path: (b"GET", handler) for path, handler in get.items()
        }

    def job_evaluation(self, body: bytes | bytearray, peer: Connection) -> Reply | Awaitable[Reply]:
        """Answer the job form: the answer itself, its decision in capitals."""
        try:
            return self.answer(self.bodies.asked(body), _as_job_form, peer, Spoken.JOB)
        except RequestError as error:
            return error_reply(400, "bad_request", error.message, error.hint)

    def ready(self, _body: bytes | bytearray, _peer: Connection) -> Reply:
        """Tell whether a policy is enforced that is not too stale to answer from, and how fresh it is."""
        health = self._health()
        return 200 if health.ready else 503, encode(health)

    def answer(
        self,
        asked: Asked | AskedAgain,
        spell: Callable[[Answer], Spelt],
        peer: "Peer",
        protocol: Spoken,
        *,
        is_trial: bool = False,
    ) -> Spelt | Awaitable[Spelt]:
        """Answer what was asked, in any protocol. Raises RequestError; all else unexpected is answered deny.

        The decision is in the log before its reply leaves. What its caller may not say is denied and never evaluated. A
        trial counts under no rate and spends no grant.
        """
        self.decisions += 1
        decision_id = self._next_id()
        started = perf_counter_ns()
        active, now = self.in_force(), self.clock()
        try:
            known = asked.lasting(active, now) if peer.caller.bounds is None else None
            if known is not None:
                answer, cache_hit = issued(known, decision_id), True
            else:
                raw, hits = asked.raw, active.cache_hits
                at_once = self._trial_at_once if is_trial else self._at_once
                answer = _out_of_bounds(peer.caller, raw, now, decision_id) or active.answer(
                    raw, now=now, decision_id=decision_id, memory=at_once
                )
                cache_hit = active.cache_hits != hits
        except RequestError:
            raise
        except WouldWaitError:
            bundle = _bundle_of(active)
            under_way = _UnderWay(
                asked, decision_id, now, started, protocol, is_trial, active.recording, bundle, _Asker.of(peer)
            )
            self._noted.append(bundle)
            return self._reply_later(
                self._aside(active, asked.raw, now, decision_id, is_trial=is_trial), under_way, spell, peer
            )
        except Exception as error:  # noqa: BLE001 - request boundary: what cannot be evaluated is denied
            answer, cache_hit = _failed(error, decision_id, peer.caller), False
        took_us = (perf_counter_ns() - started) // 1000
        decided = Decided(asked, answer, now, took_us, protocol, is_trial, active.recording, cache_hit)
        return spell(self._given(decided, peer, spell, peer))

    def consider(self, raw: object, peer: "Peer") -> Answer | Awaitable[Answer]:
        """Return how a request of a peer would be answered. It is nobody's answer: not counted, logged or spent on.

        Raises RequestError; all else unexpected is deny.
        """
        active, now = self.in_force(), self.clock()
        try:
            return _out_of_bounds(peer.caller, raw, now, "") or active.answer(
                raw, now=now, decision_id="", memory=self._trial_at_once
            )
        except RequestError:
            raise
        except WouldWaitError:
            return self._considered_later(self._aside(active, raw, now, "", is_trial=True), peer.caller)
        except Exception as error:  # noqa: BLE001 - request boundary: what cannot be evaluated is denied
            return _failed(error, "", peer.caller)

    def wait_for_walks(self, timeout_s: float) -> bool:
        """Wait, in another thread, while a policy that is not in force is walked through; False if it still is.

        A search ends its page as soon as it sees the other policy. A decision that waits is logged by the one it began
        under, whose data says what is masked.
        """
        end = monotonic() + timeout_s
        while (is_walked := self._is_walked()) and monotonic() < end:
            sleep(_LOOK_AGAIN_S)
        return not is_walked

    def _is_walked(self) -> bool:
        in_force = _bundle_of(self.in_force())
        return any(bundle != in_force for bundle in (*tuple(self.walks), *tuple(self._noted)))

    async def _considered_later(self, answering: Awaitable[Answer], caller: Caller) -> Answer:
        try:
            return await answering
        except TimeoutError:
            return refusal(EVALUATION_ERROR, "the decision took too long")
        except Exception as error:  # noqa: BLE001 - request boundary: what cannot be evaluated is denied
            return _failed(error, "", caller)

    def note(self, kind: str, peer: "Peer", fields: Mapping[str, object], instead: Callable[[], Reply]) -> None:
        """Have logged what a peer is about to be told that is no decision. Raises StateError: then it may not be.

        The reply is held back until the log has it, and `instead` makes another one if it cannot.
        """
        caller, reply_id = peer.caller, self._next_id()
        who = {"caller": caller.name, "caller_kind": caller.kind, "correlation_id": peer.request_id.decode("ascii")}
        batch = self._log.note(kind, {"reply_id": reply_id, **who, **fields}, told_as=reply_id)
        if batch:
            peer.hold(batch, instead)

    def _aside(
        self, active: Answering, raw: object, now: float, decision_id: str, *, is_trial: bool
    ) -> Awaitable[Answer]:
        """Begin a decision that would wait: in a thread, or where the memory is."""
        memory = self._memory
        if isinstance(memory, Elsewhere):
            return memory.decide(raw, decision_id, is_trial)
        used = Looking(memory) if is_trial else memory
        return self.waiting_room.answer(partial(active.answer, raw, now=now, decision_id=decision_id, memory=used))

    async def _reply_later(
        self, answering: Awaitable[Answer], under_way: "_UnderWay", spell: Callable[[Answer], Spelt], peer: "Peer"
    ) -> Spelt:
        """Answer once a decision is made that is under way. What it counts or spends stays so if it takes too long."""
        try:
            decided = under_way.decided(await self._settled(answering, under_way))
            return spell(self._given(decided, under_way.asker, spell, peer))
        finally:
            self._noted.remove(under_way.bundle)

    async def _settled(self, answering: Awaitable[Answer], under_way: "_UnderWay") -> Answer:
        try:
            return await answering
        except TimeoutError:
            return refusal(EVALUATION_ERROR, "the decision took too long", decision_id=under_way.decision_id)
        except Exception as error:  # noqa: BLE001 - request boundary: what cannot be evaluated is denied
            return _failed(error, under_way.decision_id, under_way.asker.caller)

    def _given(self, decided: Decided, asker: Asker, spell: Callable[[Answer], Spelt], peer: "Peer") -> Answer:
        """Have a decision logged, count it, export its span if its caller records the trace; return the answer to give.

        That is deny if it cannot be logged, whatever was decided: what it has counted or spent stays so. The reply is
        held back until the log has it.
        """
        made = answer = decided.answer
        try:
            batch = self._log.write(decided, asker)
        except Exception as error:  # noqa: BLE001 - request boundary: nothing leaves unlogged
            if not isinstance(error, StateError):
                logs.bug("decision_not_logged", error, decision_id=made.decision_id)
            answer, batch = _unlogged(made), None
        if batch:
            peer.hold(batch, lambda: spell(_unlogged(made)))
        self.tally.count(answer.decision, decided.eval_us)
        if self._spans:
            self._spans.decided(asker.kept_headers, answer, decided.protocol, took_us=decided.eval_us)
        return answer


class Peer(Asker, Protocol):
    """Whoever asks, and to whom the reply is held back."""

    def hold(self, batch: Batch, instead: Callable[[], Any]) -> None:
        """Let the reply leave once a batch of the log is durable, and what `instead` makes if it cannot be."""
        ...


@dataclass(frozen=True, slots=True)
class _Asker:
    """What the log says of whoever asked, while its connection may go on to something else."""

    caller: Caller
    request_id: bytes
    kept_headers: Sequence[tuple[bytes, bytes]]

    @classmethod
    def of(cls, peer: "Peer") -> "_Asker":
        """Return it as it is now."""
        return cls(peer.caller, peer.request_id, peer.kept_headers)


@dataclass(frozen=True, slots=True)
class _UnderWay:
    """A request whose decision is under way; `started` is in nanoseconds of the performance counter."""

    asked: Asked | AskedAgain
    decision_id: str
    now: float
    started: int
    protocol: Spoken
    is_trial: bool
    recording: Recording | None
    bundle: str
    asker: _Asker

    def decided(self, answer: Answer) -> Decided:
        """Return the decision that is made now."""
        took_us = (perf_counter_ns() - self.started) // 1000
        return Decided(self.asked, answer, self.now, took_us, self.protocol, self.is_trial, self.recording)


def _bundle_of(active: Answering) -> str:
    """Return which bundle is answered from, empty if none is."""
    policy = getattr(active, "policy", None)
    return policy.bundle if policy is not None else ""


def job_form(answer: Answer) -> dict[str, Any]:
    """Return an answer as schedulers of jobs expect it: its decision in capitals."""
    return {**msgspec.to_builtins(answer), "decision": answer.decision.upper()}


def _as_job_form(answer: Answer) -> Reply:
    """Spell the job form as `job_form` does, without taking the answer apart: its decision comes first."""
    small, capital = _BEGINNINGS[answer.decision]
    return 200, capital + encode(answer)[len(small) :]


def _unlogged(answer: Answer) -> Answer:
    return refusal(LOG_UNAVAILABLE, _UNLOGGED, decision_id=answer.decision_id, policy=answer.policy)


def _out_of_bounds(caller: Caller, raw: object, now: float, decision_id: str) -> Answer | None:
    """Return the refusal of a request in which a caller says what its binds do not let it say. Raises RequestError."""
    if caller.bounds is None:
        return None
    violation = caller.bounds.violation(normalise(raw, now=now, host={}))
    return refusal(CALLER_NOT_BOUND, f"{caller.name} {violation}", decision_id=decision_id) if violation else None


def _failed(error: Exception, decision_id: str, caller: Caller) -> Answer:
    logs.bug("decision_failed", error, decision_id=decision_id, caller=caller.name)
    return refusal(EVALUATION_ERROR, "the sidecar failed on this request", decision_id=decision_id)


_BEGINNINGS = {word: tuple(b'{"decision":"%b"' % each.encode() for each in (word, word.upper())) for word in Decision}
_UNLOGGED = "the decision log cannot be written, and nothing is allowed unlogged"
