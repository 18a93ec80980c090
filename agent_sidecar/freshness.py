"""How much the policy in force may still be believed to be the newest: fresh, aging, stale or unreachable.

An expired policy from a store that answers (the builder stopped refreshing, or somebody freezes it) and a store that
does not answer are different incidents, so both facts are kept: the word, and the last failure.
"""

import math
from dataclasses import dataclass, replace
from enum import StrEnum

import msgspec

from policy_core.errors import KnownError
from policy_core.trust.chain import VerifiedRelease


class FreshnessState(StrEnum):
    """`AGING`: under a quarter of the timestamp's lifetime is left. `STALE`: some role expired, or none verified."""

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
class Freshness:
    """What the newest verified metadata says about time (host time, seconds since the epoch)."""

    expires: float = -math.inf
    timestamp_expires: float = -math.inf
    signed_at: float = -math.inf
    verified_at: float = 0.0
    answered_at: float = 0.0
    failure: Failure | None = None

    def state(self, now: float) -> FreshnessState:
        """Return the word for host time `now`; stale wins over unreachable, as it is what may deny."""
        if now >= self.expires:
            return FreshnessState.STALE
        if self.failure:
            return FreshnessState.UNREACHABLE
        left, lifetime = self.timestamp_expires - now, self.timestamp_expires - self.signed_at
        return FreshnessState.AGING if left < lifetime / 4 else FreshnessState.FRESH

    def verified(self, release: VerifiedRelease, now: float) -> "Freshness":
        """Return freshness after metadata verified at host time `now`."""
        return replace(self.loaded(release), verified_at=now, answered_at=now, failure=None)

    def loaded(self, release: VerifiedRelease) -> "Freshness":
        """Return freshness after metadata was verified from disk: its times count, but no store answered."""
        return replace(
            self,
            expires=min(moment.timestamp() for moment in release.expires.values()),
            timestamp_expires=release.expires["timestamp"].timestamp(),
            signed_at=release.signed_at.timestamp(),
        )

    def answered(self, now: float) -> "Freshness":
        """Return freshness after the store answered, with nothing new or nothing acceptable."""
        return replace(self, answered_at=now, failure=None)

    def failed(self, error: KnownError, now: float) -> "Freshness":
        """Return freshness after the store gave no usable answer; a running failure keeps its beginning."""
        since = self.failure.since if self.failure else now
        return replace(self, failure=Failure(since, error.message, error.hint))
