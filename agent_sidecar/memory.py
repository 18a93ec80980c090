"""What decisions on this host remember of each other: the `Memory` that matchers are asked with.

It belongs to the process, not to a policy, so a swap forgets nothing; rules are known by their names. Rates of host
scope are counted here, those of fleet scope in the fleet store; grants are spent here, and those for the audience
``any`` in the fleet store too. `AtOnce` is the same memory for the event loop, where nothing may wait.
"""

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import msgspec

from agent_sidecar import logs
from agent_sidecar.counting import HostRates
from agent_sidecar.durable import StateError
from agent_sidecar.fleet import FleetStore
from agent_sidecar.history import moment
from agent_sidecar.host_clock import HostClock
from agent_sidecar.spending import SpentGrants, kept_until
from policy_core.decision import GRANT_REPLAYED, GRANT_UNVERIFIABLE, Answer, Ask, RefusedGrant
from policy_core.grants import ANY_AUDIENCE, NO_GRANTS, USED, Grant, Verdict, check_grants
from policy_core.memory import ForgottenError
from policy_core.model import Approver, RateScope, Rule
from policy_core.request import Request

_NO_FLEET = "this host has no fleet_store"


class WouldWaitError(Exception):
    """An answer needs the network or a synced disk: ask again in a thread. Nothing has been counted or spent."""


class FleetStatus(msgspec.Struct, frozen=True, omit_defaults=True):
    """The fleet store, and why it does not answer if so."""

    store: str
    error: str = ""


class MemoryStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What is remembered; `forgot_at` is when a damaged journal was found, empty if none was."""

    host_id: str
    counted_keys: int
    spent_grants: int
    journal_bytes: int
    forgot_at: str
    fleet: FleetStatus | None


class HostMemory:
    """Remembers for one host, in the state directory and, for the fleet, in `fleet`; safe to use from any thread."""

    def __init__(self, state: Path, *, host_id: str, clock: HostClock, fleet: FleetStore | None) -> None:
        """Read what was remembered; nothing on the disk, not even that it is full, keeps a host from starting."""
        directory = state / "memory"
        self.audience = host_id
        self.rates = HostRates(directory, clock)
        self.fleet = fleet
        self._spent = SpentGrants(directory, clock)
        self._clock = clock
        self._reported = ""
        self._is_missing_reported = False

    def retry_after(self, rule: Rule, key: str, now: float) -> float | None:
        """Return None while the rate of a rule is not reached, else after how many seconds it may no longer be.

        Raises ForgottenError.
        """
        return (self.fleet_for(rule) if is_fleet_wide(rule) else self.rates).retry_after(rule, key, now)

    def count(self, rule: Rule, key: str, now: float, *, reached: bool) -> bool:
        """Count an allowed request; False, counting nothing, if another one reached the rate since it was looked up.

        Raises ForgottenError.
        """
        return (self.fleet_for(rule) if is_fleet_wide(rule) else self.rates).count(rule, key, now, reached=reached)

    def check(self, ask: Ask, request: Request, approvers: Mapping[str, Approver]) -> Verdict:
        """Return what the grants of a request are worth to an ask, spending none of them."""
        return check_grants(request, ask, approvers, is_spent=self._is_spent)

    def spend(self, verdict: Verdict, now: float) -> tuple[RefusedGrant, ...]:  # noqa: ARG002 - the port's signature
        """Make the grants of a verdict unusable, durably; those that could not be are returned.

        The fleet store comes first, as it is the likelier to refuse: what it took and the disk then refuses is used up.
        """
        refused = [
            found
            for number, grant in enumerate(verdict.grants)
            if grant.audience == ANY_AUDIENCE and (found := self._claim(number, grant))
        ]
        return tuple(refused) or self._spent.spend(verdict.grants)

    def tend(self) -> None:
        """Sync and fold what was written: once a second, in a thread. A disk that refuses is logged once."""
        try:
            self.rates.tend()
            self._spent.tend()
            self._reported = ""
        except StateError as error:
            if error.message != self._reported:
                logs.warning("journal_unwritable", reason=error.message, hint=error.hint)
            self._reported = error.message

    def status(self) -> MemoryStatus:
        """Return what is remembered as of now."""
        forgot = [at for at in (self.rates.forgot_at, self._spent.forgot_at) if at is not None]
        return MemoryStatus(
            host_id=self.audience,
            counted_keys=self.rates.keys,
            spent_grants=len(self._spent),
            journal_bytes=self.rates.journal_bytes + self._spent.journal_bytes,
            forgot_at=moment(max(forgot)) if forgot else "",
            fleet=FleetStatus(self.fleet.place, self.fleet.error) if self.fleet else None,
        )

    def fleet_for(self, rule: Rule) -> FleetStore:
        """Return the store that counts a rule of fleet scope. Raises ForgottenError if there is none."""
        if self.fleet is None:
            if not self._is_missing_reported:
                logs.warning("fleet_store_missing", rule=rule.name, hint="set fleet_store: rules of fleet scope deny")
            self._is_missing_reported = True
            raise ForgottenError(f"{rule.name} counts for the whole fleet, and {_NO_FLEET}")
        return self.fleet

    def _is_spent(self, grant: Grant) -> bool:
        if self._spent.is_spent(grant):
            return True
        return grant.audience == ANY_AUDIENCE and self._fleet_of_grants().is_claimed(grant)

    def _claim(self, number: int, grant: Grant) -> RefusedGrant | None:
        try:
            if self._fleet_of_grants().claim(grant, keep_s=max(0.0, kept_until(grant) - self._clock())):
                return None
        except ForgottenError as error:
            return RefusedGrant(number, GRANT_UNVERIFIABLE, error.message)
        return RefusedGrant(number, GRANT_REPLAYED, USED)

    def _fleet_of_grants(self) -> FleetStore:
        if self.fleet is None:
            raise ForgottenError(f"for any host, which takes a fleet store to be used just once, and {_NO_FLEET}")
        return self.fleet


class AtOnce:
    """A `HostMemory` for the event loop: where that would wait it raises WouldWaitError, before anything is counted.

    Rates are looked at, and grants checked, before the first count (`policy_core.matcher.judging`): an answer that gets
    as far as counting has met nothing that waits.
    """

    def __init__(self, memory: HostMemory) -> None:
        self._memory = memory
        self.audience = memory.audience

    def retry_after(self, rule: Rule, key: str, now: float) -> float | None:
        """Return as `HostMemory.retry_after` does, for a rule of host scope."""
        if is_fleet_wide(rule):
            self._memory.fleet_for(rule).check_up()
            raise WouldWaitError
        return self._memory.rates.retry_after(rule, key, now)

    def count(self, rule: Rule, key: str, now: float, *, reached: bool) -> bool:
        """Count as `HostMemory.count` does, for a rule of host scope."""
        if is_fleet_wide(rule):
            raise WouldWaitError
        return self._memory.rates.count(rule, key, now, reached=reached)

    def check(self, ask: Ask, request: Request, approvers: Mapping[str, Approver]) -> Verdict:  # noqa: ARG002
        """Return that there are no grants, if there are none."""
        if request.context.get("grants"):
            raise WouldWaitError
        return NO_GRANTS

    def spend(self, verdict: Verdict, now: float) -> tuple[RefusedGrant, ...]:  # noqa: ARG002 - the port's signature
        """Raise WouldWaitError."""
        raise WouldWaitError


class Elsewhere:
    """The memory of another process: whatever takes it is decided there as a whole, by `decide`.

    That takes a decoded request, a decision id and whether it is a trial; it raises TimeoutError if no answer comes.
    """

    def __init__(self, audience: str, decide: Callable[[object, str, bool], Awaitable[Answer]]) -> None:
        self.audience = audience
        self.decide = decide

    def retry_after(self, rule: Rule, key: str, now: float) -> float | None:  # noqa: ARG002 - the port's signature
        """Raise WouldWaitError."""
        raise WouldWaitError

    def count(self, rule: Rule, key: str, now: float, *, reached: bool) -> bool:  # noqa: ARG002
        """Raise WouldWaitError."""
        raise WouldWaitError

    def check(self, ask: Ask, request: Request, approvers: Mapping[str, Approver]) -> Verdict:  # noqa: ARG002
        """Return that there are no grants, if there are none."""
        if request.context.get("grants"):
            raise WouldWaitError
        return NO_GRANTS

    def spend(self, verdict: Verdict, now: float) -> tuple[RefusedGrant, ...]:  # noqa: ARG002 - the port's signature
        """Raise WouldWaitError."""
        raise WouldWaitError


def is_fleet_wide(rule: Rule) -> bool:
    """Tell whether a rule is counted by all hosts together."""
    return rule.rate is not None and rule.rate.scope is RateScope.FLEET
