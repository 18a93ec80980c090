"""Changes to a request, one value each, and the request they lead to."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

import msgspec

from policy_core.decision import Ask, RefusedGrant
from policy_core.grants import Verdict, own_subjects, requesters_of
from policy_core.memory import ForgottenError, Memory
from policy_core.model import Approver, Rule
from policy_core.request import Request
from policy_core.windows import timestamp

_SCALARS = frozenset(
    {("subject", "type"), ("subject", "id"), ("action", "name"), ("resource", "type"), ("resource", "id")}
)


class Kind(StrEnum):
    """What a change does: to a set, to an attribute, to the time, to who has approved."""

    ADD = "add"
    REMOVE = "remove"
    SET = "set"
    UNSET = "unset"
    AT = "at"
    GRANT = "grant"


class Change(msgspec.Struct, frozen=True, omit_defaults=True):
    """One change; `path` leads to a set (add, remove) or to an attribute (set, unset).

    `value` is the member of the set, the value of the attribute, the time in whole seconds since the epoch (at), or the
    ids of the approvers whose grants the request would bring (grant).
    """

    kind: Kind
    path: tuple[str, ...] = ()
    value: Any = None

    @property
    def key(self) -> bytes:
        """Return what tells changes apart; values alone would not, as true, 1 and 1.0 are equal."""
        return msgspec.json.encode(self)

    def __str__(self) -> str:
        """Return the change as part of a sentence."""
        path = ".".join(map(_shown, self.path))
        match self.kind:
            case Kind.ADD:
                return f"with {_shown(self.value)} in {path}"
            case Kind.REMOVE:
                return f"without {_shown(self.value)} in {path}"
            case Kind.SET:
                return f"with {path} = {_shown(self.value)}"
            case Kind.UNSET:
                return f"without {path}"
            case Kind.AT:
                return f"at {timestamp(self.value)}"
            case Kind.GRANT:
                return f"approved by {' and '.join(map(_shown, self.value))}"


class ImpossibleChangeError(Exception):
    """A change that this request cannot undergo, such as a field of a text."""


@dataclass(frozen=True, slots=True)
class Situation:
    """A request with what is remembered about it: all that an answer depends on beside the policy.

    Deciding it counts nothing and spends no grant.
    """

    request: Request
    memory: "Looking"

    def after(self, changes: Iterable[Change]) -> "Situation":
        """Return the situation with all changes made. Raises ImpossibleChangeError."""
        situation = self
        for change in changes:
            situation = situation._after(change)
        return situation

    def _after(self, change: Change) -> "Situation":
        request = self.request
        if change.kind is Kind.GRANT:
            memory = Approving(self.memory, self.memory.now, approved_by=tuple(change.value))
            return replace(self, memory=memory)
        if change.kind is Kind.AT:
            if not change.value > request.now:
                raise ImpossibleChangeError  # what was remembered then is not known
            return replace(self, request=_rebuilt(request, {}, now=float(change.value)))
        root, *rest = change.path
        if change.path in _SCALARS and (change.kind is not Kind.SET or type(change.value) is not str):
            raise ImpossibleChangeError
        return replace(self, request=_rebuilt(request, {root: _edited(getattr(request, root), rest, change)}))


@dataclass(slots=True)
class Looking:
    """A memory that is only looked at, and only as of `now`: nothing is counted, no grant is spent.

    What is remembered is never asked about a later time, as some memories forget what is over by then. A rate that is
    reached now is taken to be so until its wait is over, as if nobody asked meanwhile. `failed` tells whether a rate
    could not be told: then nothing is known of later times.
    """

    memory: Memory
    now: float
    failed: bool = False
    _waits: dict[tuple[str, str], float | ForgottenError | None] = field(default_factory=dict)

    @property
    def audience(self) -> str:
        """Return for whom grants must be given."""
        return self.memory.audience

    def retry_after(self, rule: Rule, key: str, now: float) -> float | None:
        """Return what is remembered, less the time that has passed since `now`."""
        name = (rule.name, key)
        if name not in self._waits:
            try:
                self._waits[name] = self.memory.retry_after(rule, key, self.now)
            except ForgottenError as error:
                self._waits[name], self.failed = error, True
        wait_s = self._waits[name]
        if isinstance(wait_s, ForgottenError):
            raise ForgottenError(wait_s.message)
        left = None if wait_s is None else wait_s - (now - self.now)
        return left if left is not None and left > 0 else None

    def count(self, rule: Rule, key: str, now: float, *, reached: bool) -> bool:  # noqa: ARG002 - the port's signature
        """Count nothing."""
        return True

    def check(self, ask: Ask, request: Request, approvers: Mapping[str, Approver]) -> Verdict:
        """Return what the grants are worth."""
        return self.memory.check(ask, request, approvers)

    def spend(self, verdict: Verdict, now: float) -> tuple[RefusedGrant, ...]:  # noqa: ARG002 - the port's signature
        """Spend nothing."""
        return ()


@dataclass(slots=True)
class Approving(Looking):
    """Takes it as given that some people approve, beside those whose grants count; nobody approves for themselves."""

    approved_by: tuple[str, ...] = ()

    def check(self, ask: Ask, request: Request, approvers: Mapping[str, Approver]) -> Verdict:
        """Return what the grants are worth together with theirs."""
        found = self.memory.check(ask, request, approvers)
        requesters = requesters_of(request)
        assumed = (
            name
            for name in self.approved_by
            if name in approvers and not own_subjects(approvers[name].subjects, requesters)
        )
        return replace(found, approvers=tuple(dict.fromkeys((*found.approvers, *assumed))))


def _rebuilt(request: Request, parts: Mapping[str, dict[str, Any]], *, now: float | None = None) -> Request:
    return Request(
        parts.get("subject", request.subject),
        parts.get("action", request.action),
        parts.get("resource", request.resource),
        parts.get("context", request.context),
        now=request.now if now is None else now,
        host=request.host,
    )


def _edited(value: Any, path: list[str], change: Change) -> Any:
    """Return a copy of a value in which one thing is changed; what is shared stays untouched."""
    if path:
        if value is None and change.kind in (Kind.ADD, Kind.SET):
            value = {}
        if type(value) is not dict:
            raise ImpossibleChangeError
        name, *rest = path
        edited = {**value, name: _edited(value.get(name), rest, change)}
        if edited[name] is None:
            del edited[name]
        return edited
    if change.kind is Kind.SET:
        return change.value
    if change.kind is Kind.UNSET:
        return None
    if change.kind is Kind.ADD:
        return [*value, change.value] if type(value) is list else [change.value]
    if type(value) is not list:
        raise ImpossibleChangeError
    return [item for item in value if item != change.value]


def _shown(value: object) -> str:
    if type(value) is str:
        return value if value.isprintable() and value else ascii(value)
    return {True: "true", False: "false"}.get(value, str(value)) if type(value) is bool else str(value)
