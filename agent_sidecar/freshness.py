"""How much the policy in force may still be believed to be the newest: fresh, aging, stale or unreachable.

An expired policy from a store that answers (the builder stopped refreshing, or somebody freezes it) and a store that
does not answer are different incidents, so both facts are kept: the word, and the last failure.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

import msgspec

from policy_core.errors import KnownError
from policy_core.trust.chain import VerifiedRelease

EXPIRING_S = 30 * 86_400.0
"""How long before its expiry a role is worth an alarm. The timestamp lives shorter: of it, `AGING` tells."""


class FreshnessState(StrEnum):
    """`AGING`: the timestamp is older than it should ever be. `STALE`: some role expired, or nothing verified yet."""

    FRESH = "fresh"
    AGING = "aging"
    STALE = "stale"
    UNREACHABLE = "unreachable"


class Failure(msgspec.Struct, frozen=True):
    """Why the store gave no usable answer, and since when (host time) that has been so."""

    since: float
    message: str
    hint: str


@dataclass(frozen=True, slots=True)
class RoleTerm:
    """The version of a role's newest verified metadata, and when (host time) it expires."""

    version: int
    expires: float


@dataclass(frozen=True, slots=True)
class Freshness:
    """What the newest verified metadata says about time (host time, seconds since the epoch).

    `aging_after_s` is how old the timestamp may become before that is worth an alarm; None: three quarters of its life.
    """

    aging_after_s: float | None = None
    terms: Mapping[str, RoleTerm] = field(default_factory=dict)
    signed_at: float = -math.inf
    verified_at: float = 0.0
    answered_at: float = 0.0
    failure: Failure | None = None

    @property
    def expires(self) -> float:
        """Return when the first role expires."""
        return min((term.expires for term in self.terms.values()), default=-math.inf)

    def expiring(self, now: float) -> frozenset[str]:
        """Return the roles that it is time to sign anew; of the timestamp, the state tells."""
        return frozenset(
            role for role, term in self.terms.items() if role != "timestamp" and now >= term.expires - EXPIRING_S
        )

    def state(self, now: float) -> FreshnessState:
        """Return the word for host time `now`; stale wins over unreachable, as it is what may deny."""
        if now >= self.expires:
            return FreshnessState.STALE
        if self.failure:
            return FreshnessState.UNREACHABLE
        limit_s = self.aging_after_s
        if limit_s is None:
            limit_s = (self.terms["timestamp"].expires - self.signed_at) * 3 / 4
        return FreshnessState.AGING if now - self.signed_at > limit_s else FreshnessState.FRESH

    def verified(self, release: VerifiedRelease, now: float) -> "Freshness":
        """Return freshness after metadata verified at host time `now`."""
        return replace(self.loaded(release), verified_at=now, answered_at=now, failure=None)

    def loaded(self, release: VerifiedRelease) -> "Freshness":
        """Return freshness after metadata was verified from disk: its times count, but no store answered."""
        return replace(
            self,
            terms={
                role: RoleTerm(release.versions[role], expires.timestamp()) for role, expires in release.expires.items()
            },
            signed_at=release.signed_at.timestamp(),
        )

    def answered(self, now: float) -> "Freshness":
        """Return freshness after the store answered, with nothing new or nothing acceptable."""
        return replace(self, answered_at=now, failure=None)

    def failed(self, error: KnownError, now: float) -> "Freshness":
        """Return freshness after the store gave no usable answer; a running failure keeps its beginning."""
        since = self.failure.since if self.failure else now
        return replace(self, failure=Failure(since, error.message, error.hint))
