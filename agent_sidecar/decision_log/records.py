"""Decisions as records of the log: what was asked, by whom, what was answered, under which policy, and how.

docs/reference/decision-log.md lists the fields. The input is the request in its canonical form, keys sorted, without
the approval grants it carried: of those the record has what they say, and not the signatures that make them valid, so
that nobody who reads a log can use one.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

import msgspec

from agent_sidecar.history import moment
from agent_sidecar.server.caller import Caller
from policy_core.decision import Answer
from policy_core.grants import claims_of, encoded_request_digest
from policy_core.request import RequestError, canonical

DECISION = b"decision"
_encode = msgspec.json.Encoder().encode
_sorted = msgspec.json.Encoder(order="sorted").encode
_TRACEPARENT = re.compile(rb"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}(?:-.*)?")
_NO_GRANTS: tuple[object, ...] = ()


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


@dataclass(slots=True)
class Decided:
    """A decision on its way out: the decoded request, its answer, host time, and how long it took."""

    raw: object
    answer: Answer
    now: float
    eval_us: int
    protocol: Spoken
    is_trial: bool


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
    input_digest: str = ""
    grants: Sequence[object] = _NO_GRANTS
    answer: Answer | None = None
    eval_us: int = 0


class Moments:
    """Host time as text, to the millisecond; the second is spelled once."""

    def __init__(self) -> None:
        self._second = -1
        self._text = ""

    def __call__(self, seconds: float) -> str:
        """Return it in RFC 3339."""
        whole = int(seconds)
        if whole != self._second:
            self._second, self._text = whole, moment(whole)[:-4]
        return f"{self._text}{int((seconds - whole) * 1000):03}Z"


def spell(decided: Decided, peer: Asker, host: Mapping[str, str]) -> bytes:
    """Return what a record of a decision has after its time, a comma first; `host` are the labels the policy sees."""
    raw, caller = decided.raw, peer.caller
    given: object = raw
    digest = ""
    grants: Sequence[object] = _NO_GRANTS
    try:
        subject, action, resource, context = canonical(raw)
    except RequestError:
        pass  # denied without being looked at: no policy, or one that is too stale
    else:
        if "grants" in context:
            grants = claims_of(context["grants"])
            context = {name: value for name, value in context.items() if name != "grants"}
        parts = _sorted(subject), _sorted(action), _sorted(resource), _sorted(context)
        digest = encoded_request_digest(*parts)
        given = msgspec.Raw(b'{"subject":%b,"action":%b,"resource":%b,"context":%b}' % parts)
    fields = _Fields(
        decided.protocol,
        caller.name,
        caller.kind,
        peer.request_id.decode("ascii"),
        *_trace(peer.kept_headers),
        decided.is_trial,
        host,
        given,
        digest,
        grants,
        decided.answer,
        decided.eval_us,
    )
    return b"," + _encode(fields)[1:-1]


def _trace(headers: Sequence[tuple[bytes, bytes]]) -> tuple[str, str]:
    """Return the ids of trace and span in a ``traceparent`` (W3C Trace Context), empty if there is none to be used."""
    for name, value in headers:
        if name == b"traceparent" and (found := _TRACEPARENT.fullmatch(value)):
            return found[1].decode(), found[2].decode()
    return "", ""


def spell_fields(fields: Mapping[str, Any] | msgspec.Struct) -> bytes:
    """Return what a record of another type has after its time; its fields are none of the envelope's."""
    encoded = _encode(fields)[1:-1]
    return b"," + encoded if encoded else b""
