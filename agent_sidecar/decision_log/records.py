"""Decisions as records of the log: what was asked, by whom, what was answered, under which policy, and how.

docs/reference/decision-log.md lists the fields. The input is the request in its canonical form, keys sorted, without
the approval grants it carried: of those the record has what they say, and not the signatures that make them valid, so
that nobody who reads a log can use one.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from functools import lru_cache
from typing import Any, Protocol

import msgspec

from agent_sidecar.asked import Asked, AskedAgain, Told, canonical_parts, tell
from agent_sidecar.history import moment
from agent_sidecar.recording import Recording
from agent_sidecar.server.caller import Caller
from agent_sidecar.tracing import trace_of
from policy_core.decision import CALLER_NOT_BOUND, Answer
from policy_core.grants import Grant

DECISION = b"decision"
_encode = msgspec.json.Encoder().encode
_USUAL = b',%b,"input":%b,"input_digest":"%b","answer":%b,"eval_us":%d%b'
"""What most records are, spelled in one go, as `_Fields` would be."""
_HIT = (b"", b',"cache_hit":true')


class Spoken(StrEnum):
    """The protocol a decision was asked in."""

    JOB = "job"
    AUTHZEN = "authzen"
    OPA = "opa"
    KUBERNETES = "kubernetes"
    ENVOY = "envoy"


class Asker(Protocol):
    """What a record says of whoever asked."""

    @property
    def caller(self) -> Caller:
        """Return who is at the other end, as far as the connection proves it."""
        ...

    @property
    def request_id(self) -> bytes:
        """Return the X-Request-ID."""
        ...

    @property
    def kept_headers(self) -> Sequence[tuple[bytes, bytes]]:
        """Return the headers that were kept."""
        ...


class Decided(msgspec.Struct, eq=False):
    """A decision on its way out: what was asked, its answer, host time, and how long it took.

    `recording` says what the log holds of it, None for everything; `cache_hit`, that the answer was known already.
    """

    asked: Asked | AskedAgain
    answer: Answer
    now: float
    eval_us: int
    protocol: Spoken
    is_trial: bool
    recording: Recording | None = None
    cache_hit: bool = False


class _Fields(msgspec.Struct, omit_defaults=True):
    protocol: Spoken
    caller: str
    caller_kind: str
    correlation_id: str = ""
    trace_id: str = ""
    span_id: str = ""
    trial: bool = False
    host: Mapping[str, str] = {}
    input: object = None
    erased: Sequence[str] = ()
    input_digest: str = ""
    grants: Sequence[object] = ()
    answer: Answer | None = None
    eval_us: int = 0
    cache_hit: bool = False


class Moments:
    """Host time as text, to the millisecond; each is spelled once, and what they share once a second."""

    def __init__(self) -> None:
        self._ms = self._second = -1
        self._start = self._text = ""

    def __call__(self, seconds: float) -> str:
        """Return it in RFC 3339."""
        ms = int(seconds * 1000)
        if ms != self._ms:
            second, rest = divmod(ms, 1000)
            if second != self._second:
                self._second, self._start = second, moment(second)[:-4]
            self._ms, self._text = ms, f"{self._start}{rest:03}Z"
        return self._text


def spell(decided: Decided, peer: Asker, host: Mapping[str, str]) -> bytes | None:
    """Return what a record of a decision has after its time, a comma first; None if the policy wants none.

    `host` are the labels the policy sees.
    """
    caller, answer = peer.caller, decided.answer
    erased: Sequence[str] = ()
    if decided.recording is None:
        told = decided.asked.told
    else:
        kept = _kept(decided.recording, decided)
        if kept is None:
            return None
        told, erased = kept
    if told is not None:
        is_unusual = erased or told.grants or host or decided.is_trial or peer.request_id
        if not is_unusual and not _names_trace(peer.kept_headers):
            preset = _preset(decided.protocol, caller.name, caller.kind)
            return _USUAL % (preset, told.input, told.digest, _encode(answer), decided.eval_us, _HIT[decided.cache_hit])
        given: object = msgspec.Raw(told.input)
        digest, grants = told.digest.decode(), told.grants
    else:  # what is no request is in the log if it was denied without being looked at, as the policy is too stale
        given, digest, grants = decided.asked.raw if decided.recording is None else None, "", ()
    if erased:  # nothing may be left that tells what is missing, or that it could be guessed with
        digest, grants, answer = "", tuple(map(_undigested, grants)), _discreet(answer)
    fields = _Fields(
        decided.protocol,
        caller.name,
        caller.kind,
        peer.request_id.decode("ascii"),
        *_trace(peer.kept_headers),
        decided.is_trial,
        host,
        given,
        erased,
        digest,
        grants,
        answer,
        decided.eval_us,
        decided.cache_hit,
    )
    return b"," + _encode(fields)[1:-1]


def _kept(recording: Recording, decided: Decided) -> tuple[Told | None, Sequence[str]] | None:
    """Return what a policy leaves of a request, and the paths of what is erased; None if it wants no record."""
    raw = decided.asked.raw
    parts, grants = canonical_parts(raw)
    kept = recording.keep(parts, raw, now=decided.now, answer=decided.answer)
    if kept is None:
        return None
    return None if kept.parts is None else tell(kept.parts, grants), kept.erased


@lru_cache(maxsize=1_024)
def _preset(protocol: Spoken, caller: str, kind: str) -> bytes:
    """Return how the records of one caller begin."""
    return _encode(_Fields(protocol, caller, kind))[1:-1]


def _undigested(grant: Grant | dict[str, str]) -> Grant | dict[str, str]:
    return msgspec.structs.replace(grant, request_digest="") if isinstance(grant, Grant) else {}


def _discreet(answer: Answer) -> Answer:
    """Return an answer without what is from the request: its digest, and the name that a bound caller claimed."""
    if answer.approval is not None:
        asked = msgspec.structs.replace(answer.approval, request_digest="")
        return msgspec.structs.replace(answer, approval=asked)
    return msgspec.structs.replace(answer, reason="") if answer.reason_code == CALLER_NOT_BOUND else answer


def _names_trace(headers: Sequence[tuple[bytes, bytes]]) -> bool:
    for name, _ in headers:  # noqa: SIM110 - a generator takes twice as long
        if name == b"traceparent":
            return True
    return False


def _trace(headers: Sequence[tuple[bytes, bytes]]) -> tuple[str, str]:
    """Return the ids of trace and span that a request names, empty if it names none."""
    trace = trace_of(headers)
    return (trace.trace_id, trace.span_id) if trace else ("", "")


def spell_fields(fields: Mapping[str, Any] | msgspec.Struct) -> bytes:
    """Return what a record of another type has after its time; its fields are none of the envelope's."""
    encoded = _encode(fields)[1:-1]
    return b"," + encoded if encoded else b""
