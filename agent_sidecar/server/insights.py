"""What would be decided, why, and by which policies: job-form verbs that belong to the admin socket alone.

Each tells whoever probes a policy what it wants to know without leaving a trace. Nothing is counted and no grant is
spent. The work is done in threads that give way to requests.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import partial
from typing import Annotated
from urllib.parse import parse_qsl

import msgspec

from agent_sidecar.activation import Activation, Answering
from agent_sidecar.enforcement import Enforcement
from agent_sidecar.explaining import explain_in_force
from agent_sidecar.history import moment
from agent_sidecar.inventory import snapshots_of
from agent_sidecar.server.connection import Connection
from agent_sidecar.server.decisions import job_form
from agent_sidecar.server.replies import Reply, encode, error_reply
from agent_sidecar.server.service import Routes
from policy_core.decoding import decode_request
from policy_core.errors import ConflictError
from policy_core.memory import Looking, Memory
from policy_core.model import Rule
from policy_core.request import RequestError

EXPLAIN_PATIENCE_S = 10.0
_HINT = "a request in the body; in the query ?snapshot=in_force, current or previous and &now=2026-03-01T12:00:00Z"


class Which(StrEnum):
    """The policy to ask: the one in force, or a snapshot that may not be."""

    IN_FORCE = "in_force"
    CURRENT = "current"
    PREVIOUS = "previous"


class Circumstances(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to suppose; without `now` host time as it is."""

    snapshot: Which = Which.IN_FORCE
    now: Annotated[datetime, msgspec.Meta(tz=True)] | None = None


class InsightApi:
    """Explains and simulates; `under_way` is how many of these are going on."""

    def __init__(self, *, enforcement: Enforcement, clock: Callable[[], float], memory: Memory) -> None:
        self.under_way = 0
        self._one_at_a_time = asyncio.Lock()
        self._enforcement = enforcement
        self._clock = clock
        self._memory = memory
        self._present = _Present(memory, clock)

    @property
    def routes(self) -> Routes:
        """Return the paths of this API."""
        return {
            b"/api/v1/policy/explain": (b"POST", self.explain),
            b"/api/v1/policy/simulate": (b"POST", self.simulate),
            b"/api/v1/policy/snapshots": (b"GET", self.snapshots),
        }

    async def explain(self, body: bytes | bytearray, _peer: Connection) -> Reply:
        """Answer a request and say why, one explanation at a time."""
        raw = decode_request(body)
        self.under_way += 1
        try:
            async with self._one_at_a_time:
                active = self._enforcement.active  # once: what it refers to is not freed while this goes on
                pause = partial(_let_others_run, until=time.monotonic() + EXPLAIN_PATIENCE_S)
                record = await asyncio.to_thread(
                    explain_in_force, active, raw, now=self._clock(), memory=self._memory, pause=pause
                )
        except TimeoutError:
            return error_reply(504, "timeout", f"explaining this takes longer than {EXPLAIN_PATIENCE_S:.0f} s")
        finally:
            self.under_way -= 1
        return 200, encode(record)

    async def simulate(self, body: bytes | bytearray, peer: Connection) -> Reply:
        """Answer a request as it would be answered, under circumstances that need not be those of now."""
        raw, supposed = decode_request(body), read_circumstances(peer.target)
        self.under_way += 1
        try:
            active = self._asked(supposed.snapshot)
            now = supposed.now.timestamp() if supposed.now else self._clock()
            answer = await asyncio.to_thread(active.answer, raw, now=now, decision_id="", memory=self._present)
        finally:
            self.under_way -= 1
        return 200, encode({**job_form(answer), "simulated": {"snapshot": supposed.snapshot, "now": moment(now)}})

    def snapshots(self, _body: bytes | bytearray, _peer: Connection) -> Reply:
        """Reply with the snapshots of this host."""
        return 200, encode({"snapshots": snapshots_of(self._enforcement)})

    def _asked(self, which: Which) -> Answering:
        """Return what would answer. Raises ConflictError if there is no such snapshot, or it cannot be used."""
        state = self._enforcement.state
        if which is Which.IN_FORCE:
            return self._enforcement.active
        ref = state.current if which is Which.CURRENT else state.previous
        found = self._enforcement.as_enforced(ref) if ref else None
        if isinstance(found, Activation):
            return found
        why = self._enforcement.unusable.get(ref, "it is still being loaded") if ref else "there is none"
        raise ConflictError(f"simulate: the {which} snapshot cannot be asked: {why}", hint="see writ-sidecar snapshots")


@dataclass(frozen=True, slots=True)
class _Present(Looking):
    """What is remembered at present, whatever time is supposed: told of the future, a memory would go on from there."""

    clock: Callable[[], float]

    def retry_after(self, rule: Rule, key: str, now: float) -> float | None:  # noqa: ARG002 - the port's signature
        """Return what the other has counted by now. Raises ForgottenError."""
        return self.memory.retry_after(rule, key, self.clock())


def read_circumstances(target: bytes) -> Circumstances:
    """Return the circumstances in the query of a target. Raises RequestError, also for those it does not know."""
    try:
        pairs = parse_qsl(
            target.partition(b"?")[2].decode("ascii"), keep_blank_values=True, strict_parsing=b"?" in target
        )
        if len(dict(pairs)) != len(pairs):
            raise RequestError("simulate: a circumstance is given twice", hint=_HINT)
        found = msgspec.convert(dict(pairs), Circumstances)
        if found.now:
            moment(found.now.timestamp())  # within the years there are in every zone
    except ValueError as error:  # of parse_qsl, of decode, of moment; msgspec.ValidationError is one
        raise RequestError(f"simulate: {error}", hint=_HINT) from error
    return found


def _let_others_run(*, until: float) -> None:
    """Give up the interpreter, so that requests are answered meanwhile. Raises TimeoutError once it is too late."""
    time.sleep(0)
    if time.monotonic() > until:
        raise TimeoutError
