"""What decisions remember of each other: how often a rate was counted, and which grants are spent.

A matcher is pure; whoever asks it brings the memory. The sidecar's survives swaps and restarts, that of policy tests is
what a case says, and `Oblivious` remembers nothing: every rate is unreached, no grant is accepted. Through `Looking`
another memory is read, and not written.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from policy_core.decision import GRANT_FOREIGN, GRANT_SELF_APPROVED, Ask, RefusedGrant
from policy_core.errors import RemoteError
from policy_core.grants import NO_GRANTS, Verdict, own_subjects, requesters_of
from policy_core.model import Approver, Rule
from policy_core.request import Request


class ForgottenError(RemoteError):
    """What should be remembered cannot be read or written: a rate then is an error, a grant is refused."""


class Memory(Protocol):
    """What a matcher asks of whoever remembers. `now` is host time, `key` names what a rule counts apart."""

    @property
    def audience(self) -> str:
        """Return for whom grants must be given to be accepted here, empty if none is."""
        ...

    def retry_after(self, rule: Rule, key: str, now: float) -> float | None:
        """Return None while the rate of a rule is not reached, else after how many seconds it may no longer be.

        Raises ForgottenError.
        """
        ...

    def count(self, rule: Rule, key: str, now: float, *, reached: bool) -> bool:
        """Count an allowed request; False, counting nothing, if another one reached the rate since it was looked up.

        `reached` says that it was reached already and did not keep the answer from allowing. Raises ForgottenError.
        """
        ...

    def check(self, ask: Ask, request: Request, approvers: Mapping[str, Approver]) -> Verdict:
        """Return what the grants of a request are worth to an ask, spending none of them."""
        ...

    def spend(self, verdict: Verdict, now: float) -> tuple[RefusedGrant, ...]:
        """Make the grants of a verdict unusable from now on, durably; those that could not be are returned."""
        ...


class Oblivious:
    """Remembers nothing."""

    @property
    def audience(self) -> str:
        """Return the empty text: no grant is for nobody."""
        return ""

    def retry_after(self, rule: Rule, key: str, now: float) -> float | None:  # noqa: ARG002 - the port's signature
        """Return None: nothing was counted."""
        return None

    def count(self, rule: Rule, key: str, now: float, *, reached: bool) -> bool:  # noqa: ARG002 - the port's signature
        """Count nothing."""
        return True

    def check(self, ask: Ask, request: Request, approvers: Mapping[str, Approver]) -> Verdict:  # noqa: ARG002
        """Accept no grant."""
        return NO_GRANTS

    def spend(self, verdict: Verdict, now: float) -> tuple[RefusedGrant, ...]:  # noqa: ARG002 - the port's signature
        """Have nothing to spend."""
        return ()


@dataclass(frozen=True, slots=True)
class Looking:
    """Remembers what another memory does, and adds nothing to it: for requests that are only tried."""

    memory: Memory

    @property
    def audience(self) -> str:
        """Return the other's audience."""
        return self.memory.audience

    def retry_after(self, rule: Rule, key: str, now: float) -> float | None:
        """Return what the other has counted. Raises ForgottenError."""
        return self.memory.retry_after(rule, key, now)

    def count(self, rule: Rule, key: str, now: float, *, reached: bool) -> bool:  # noqa: ARG002 - the port's signature
        """Count nothing."""
        return True

    def check(self, ask: Ask, request: Request, approvers: Mapping[str, Approver]) -> Verdict:
        """Return what grants would be worth."""
        return self.memory.check(ask, request, approvers)

    def spend(self, verdict: Verdict, now: float) -> tuple[RefusedGrant, ...]:  # noqa: ARG002 - the port's signature
        """Spend nothing."""
        return ()


@dataclass(frozen=True, slots=True)
class Assumed(Oblivious):
    """Remembers what a policy test says: allowed requests counted by rule, and who has approved."""

    counted: Mapping[str, int]
    approved_by: tuple[str, ...] = ()

    def retry_after(self, rule: Rule, key: str, now: float) -> float | None:  # noqa: ARG002 - the port's signature
        """Return the whole window if the rate of a rule is reached, as if all were counted just now."""
        if rule.rate is None or self.counted.get(rule.name, 0) < rule.rate.limit:
            return None
        return float(rule.rate.window_s)

    def check(self, ask: Ask, request: Request, approvers: Mapping[str, Approver]) -> Verdict:  # noqa: ARG002
        """Accept everybody named, once, if the policy knows them and they do not ask for this request themselves."""
        requesters = requesters_of(request)
        accepted, refused = [], []
        for number, name in enumerate(dict.fromkeys(self.approved_by)):
            approver = approvers.get(name)
            if approver is None:
                refused.append(RefusedGrant(number, GRANT_FOREIGN, f"{name} is no approver of this policy"))
            elif own_subjects(approver.subjects, requesters):
                refused.append(RefusedGrant(number, GRANT_SELF_APPROVED, f"{name} asks, and cannot approve it too"))
            else:
                accepted.append(name)
        return Verdict(tuple(accepted), refused=tuple(refused))
